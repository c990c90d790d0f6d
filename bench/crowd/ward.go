package crowd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/frame"
)

// WardSize is how many guests one clerk serves at most: as many as a server lets one connection follow.
const WardSize = 1000

// Ward is some visitors, the guests, each with one conversation, and the one agent that serves all of them, the clerk. The clerk speaks, the
// guests listen. Everything on it belongs to one loop. Set what is given before Open.
type Ward struct {
	// Given.
	Size    int                       // bytes of a body
	Retry   retry.Policy              // for dialling again
	Redial  bool                      // connections that end are dialled again; else they end the run
	Hold    bool                      // a guest that comes back waits for Resume
	Back    func(g *Guest)            // if any: a guest that came back has everything
	Heard   func(g *Guest, due int64) // if any: a guest got a message for the first time
	Dropped func(g *Guest, err error) // if any: the connection of a guest ended

	// To be read.
	Number   int // among the wards of the run
	Ledger   oracle.Ledger
	Guests   []*Guest
	Attached int64 // guests whose conversation is open and assigned
	Welcome  int64 // guests that are welcomed on their present connection
	Live     int64 // guests that have everything up to what they were told on their present connection
	Under    int64 // messages said and not acked

	scene  *Scene
	loop   *client.Loop
	agent  string
	clerk  *User
	names  map[string]*Guest
	random *rand.Rand
	tries  retry.Backoff
	dial   client.Timer
	again  client.Timer // armed: sends what is open again
	body   []byte
	begun  bool
}

// Guest is one visitor with one conversation.
type Guest struct {
	*User
	Stream oracle.Stream

	ward      *Ward
	index     uint64 // in the ward
	speech    speech // of the clerk, in this conversation
	key       frame.ID
	opened    bool // the conversation exists
	assigned  bool
	welcomed  bool
	resumed   bool // on the present connection
	live      bool
	upto      uint64 // the head that the resume named
	tries     retry.Backoff
	notBefore int64        // a drain's time to come back
	timer     client.Timer // dials, or asks again
}

// NewWard makes a clerk and n guests on a loop; first is the number of the first connection. Open dials.
func (s *Scene) NewWard(l *client.Loop, first, n, size int) (*Ward, error) {
	w := &Ward{Size: size, scene: s, loop: l, agent: s.Agent(first), names: map[string]*Guest{}, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	var err error
	if w.clerk, err = s.NewUser(l, first, Agent, w.agent, w.agent, (*clerk)(w)); err != nil {
		return nil, err
	}
	w.again.Fire, w.dial.Fire = w.repeat, w.clerk.Conn.Dial
	for i := range n {
		number := first + 1 + i
		g := &Guest{ward: w, index: uint64(i), speech: speech{pair: uint32(number)}, Stream: oracle.Stream{Number: number, Pair: uint32(number)}}
		binary.BigEndian.PutUint32(g.key[:], s.Run)
		binary.BigEndian.PutUint32(g.key[4:], uint32(number))
		g.timer.Fire = g.act
		if g.User, err = s.NewUser(l, number, Visitor, s.Visitor(number), "", g); err != nil {
			return nil, err
		}
		w.names[s.Visitor(number)] = g
		w.Guests = append(w.Guests, g)
	}
	return w, nil
}

// Open dials the clerk; the guests follow when it is welcomed.
func (w *Ward) Open() {
	w.tries = retry.New(w.Retry)
	for _, g := range w.Guests {
		g.tries = retry.New(w.Retry)
	}
	w.clerk.Conn.Dial()
}

// Speaking tells whether the clerk is connected, so that what is said goes out at once.
func (w *Ward) Speaking() bool { return w.clerk.Ready && !w.again.Armed() }

// refBits is the width of a message's index in a ref; the guest's stands above.
const refBits = 40

func ref(g *Guest, index uint64) uint64 { return g.index<<refBits | index + FirstRef }

// Say sends one more message to a guest, now or when the clerk is back; due is when it should have gone.
func (w *Ward) Say(g *Guest, due int64) {
	s := g.speech.say(due)
	w.Ledger.Sent++
	w.Under++
	if w.Speaking() {
		w.send(g, s)
	}
}

func (w *Ward) send(g *Guest, s saying) {
	var send frame.Send
	send, w.body = g.speech.frame(w.scene.Run, w.Size, s, ref(g, s.index), w.body)
	w.clerk.Send(&send)
}

// repeat sends everything that is open again, in order.
func (w *Ward) repeat() {
	if !w.clerk.Ready {
		return // the welcome does it
	}
	for _, g := range w.Guests {
		for _, s := range g.speech.open {
			w.send(g, s)
		}
	}
}

// Finish judges what is still open. Call it once, when nothing more is expected.
func (w *Ward) Finish() {
	for _, g := range w.Guests {
		g.Stream.Finish(&w.Ledger, g.speech.accepted)
		for _, s := range g.speech.open {
			g.Stream.Unanswered(&w.Ledger, s.index)
		}
	}
}

// CloseConversations leaves no open conversations behind for the next run on this server.
func (w *Ward) CloseConversations() {
	for _, g := range w.Guests {
		if w.clerk.Ready && g.assigned {
			w.clerk.Send(&frame.Close{Ref: FirstRef - 1, Conv: g.speech.conv})
		}
	}
}

// clerk is the ward as the handler of its clerk.
type clerk Ward

// Welcomed implements Handler: the first time it asks for all the guests, later it says again what nobody acked.
func (c *clerk) Welcomed(m *frame.Welcome) {
	w := (*Ward)(c)
	w.tries.Welcomed(m, w.Retry)
	if w.begun {
		w.repeat()
		return
	}
	w.begun = true
	w.clerk.Send(&frame.Status{Ref: FirstRef - 1, Status: frame.AgentOnline, Capacity: uint64(len(w.Guests))})
	for _, g := range w.Guests {
		g.Conn.Dial()
	}
}

// Ended implements Handler.
func (c *clerk) Ended(err error) {
	w := (*Ward)(c)
	w.loop.Disarm(&w.again)
	if w.mayDial("the clerk", err) {
		w.loop.Arm(&w.dial, client.Now()+w.wait(&w.tries, err))
	}
}

// mayDial tells whether a connection that ended is dialled again; if not, the run is over.
func (w *Ward) mayDial(who string, err error) bool {
	remedy, fatal := retry.Hopeless(err)
	if w.Redial && !fatal {
		return true
	}
	if retry.Unreachable(err) {
		remedy = ": is the server running, and is --url its address?"
	}
	w.scene.Fail(fmt.Errorf("the connection of %s ended: %w%s", who, err, remedy))
	return false
}

// wait is how long to wait before the next dial.
func (w *Ward) wait(tries *retry.Backoff, err error) int64 {
	wait := tries.Next(w.random)
	var refused *client.UpgradeError
	if errors.As(err, &refused) {
		wait = max(wait, refused.RetryAfter)
	}
	return int64(wait)
}

// Frame implements Handler.
func (c *clerk) Frame(typ frame.Type, f []byte) error {
	switch typ {
	case frame.TypeConversation:
		return c.notice(f)
	case frame.TypeAck:
		return c.acked(f)
	case frame.TypeError:
		return c.refused(f)
	}
	return nil
}

// notice tells the clerk of a guest's conversation.
func (c *clerk) notice(f []byte) error {
	var m frame.Conversation
	if err := m.Parse(f); err != nil {
		return err
	}
	if g := c.names[string(m.Visitor)]; g != nil && m.State == frame.StateAssigned && !g.assigned {
		g.assigned = true
		g.speech.conv, g.speech.known = m.Conv, m.Head
		g.begin()
	}
	return nil
}

func (c *clerk) acked(f []byte) error {
	var m frame.Ack
	if err := m.Parse(f); err != nil {
		return err
	}
	if m.Ref < FirstRef {
		return nil
	}
	guest := (m.Ref - FirstRef) >> refBits
	if guest >= uint64(len(c.Guests)) {
		return fmt.Errorf("an ack for request %d, which was never made", m.Ref)
	}
	if g := c.Guests[guest]; g.speech.acked((m.Ref-FirstRef)&(1<<refBits-1), m.Seq) {
		c.Under--
		c.Ledger.Accepted++
	}
	return nil
}

func (c *clerk) refused(f []byte) error {
	var m frame.Error
	if err := m.Parse(f); err != nil {
		return err
	}
	if !frame.ErrorRetry(m.Code) {
		c.scene.Fail(Refusal(c.agent, &m))
		return nil
	}
	if m.Ref >= FirstRef && !c.again.Armed() {
		c.loop.Arm(&c.again, client.Now()+later(m.RetryMS))
	}
	return nil
}
