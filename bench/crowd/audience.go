package crowd

import (
	"encoding/binary"
	"fmt"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// Audience is one conversation with one speaker, its agent, and many listeners, which are devices of its visitor. Everything on it
// belongs to one loop. A connection of it that ends is Gone.
type Audience struct {
	Ledger    oracle.Ledger
	Listeners []*Listener
	Attached  int64 // listeners that have the conversation

	// Heard, if any, is called for each message that a listener got for the first time, with the time at which it was said.
	Heard func(l *Listener, due int64)
	// Acked, if any, is called when a message was accepted.
	Acked func()
	// Gone is called when a connection ended: of a listener, or of the speaker (nil).
	Gone func(l *Listener, err error)

	scene  *Scene
	loop   *client.Loop
	size   int
	key    frame.ID
	agent  string
	user   *User // the speaker
	speech speech
	retry  client.Timer // armed: sends what is open again
	body   []byte
}

// Listener is one device of the visitor.
type Listener struct {
	*User
	Stream oracle.Stream

	audience *Audience
	attached bool
	ask      client.Timer // open again, when told to try later
}

// NewAudience makes the speaker and n listeners on a loop; first is the number of the first connection, size that of a body. Open dials.
func (s *Scene) NewAudience(l *client.Loop, first, n, size int) (*Audience, error) {
	a := &Audience{scene: s, loop: l, size: size, agent: s.Agent(first)}
	a.Gone = func(_ *Listener, err error) { s.Fail(fmt.Errorf("a connection ended: %w", err)) }
	a.retry.Fire = a.repeat
	binary.BigEndian.PutUint32(a.key[:], s.Run)
	binary.BigEndian.PutUint32(a.key[4:], uint32(first))
	var err error
	if a.user, err = s.NewUser(l, first, Agent, a.agent, a.agent, (*speaker)(a)); err != nil {
		return nil, err
	}
	for i := range n {
		m := &Listener{audience: a, Stream: oracle.Stream{Number: i}}
		m.ask.Fire = m.join
		if m.User, err = s.NewUser(l, first+1+i, Visitor, s.Visitor(first), "", m); err != nil {
			return nil, err
		}
		a.Listeners = append(a.Listeners, m)
	}
	return a, nil
}

// Open dials the speaker; the first listener follows when it is welcomed, and the others when the conversation is assigned.
func (a *Audience) Open() { a.user.Conn.Dial() }

// Under is how many messages are said and not acked.
func (a *Audience) Under() int { return len(a.speech.open) }

// Sample is what the audience has done, and how many of its listeners are attached.
func (a *Audience) Sample() meter.Sample {
	return meter.Sample{Counts: counts(&a.Ledger), Gauges: map[string]float64{"connections": float64(a.Attached), "under_way": float64(a.Under())}}
}

// Accepted is how many messages were acked.
func (a *Audience) Accepted() uint64 { return a.speech.accepted }

// Say sends one more message; due is when it should have gone.
func (a *Audience) Say(due int64) {
	s := a.speech.say(due)
	a.Ledger.Sent++
	if !a.retry.Armed() {
		a.send(s)
	}
}

func (a *Audience) send(s saying) {
	var send frame.Send
	send, a.body = a.speech.frame(a.scene.Run, a.size, s, FirstRef+s.index, a.body)
	a.user.Send(&send)
}

// repeat sends everything that is open again, in order.
func (a *Audience) repeat() {
	for _, s := range a.speech.open {
		a.send(s)
	}
}

// CloseConversation leaves no open conversation behind for the next run on this server.
func (a *Audience) CloseConversation() {
	if a.user.Ready && !a.speech.conv.IsZero() {
		a.user.Send(&frame.Close{Ref: FirstRef - 1, Conv: a.speech.conv})
	}
}

// speaker is the audience as the handler of its speaker.
type speaker Audience

// Welcomed implements Handler.
func (s *speaker) Welcomed(*frame.Welcome) { s.Listeners[0].Conn.Dial() }

// Ended implements Handler.
func (s *speaker) Ended(err error) { s.Gone(nil, err) }

// Frame implements Handler.
func (s *speaker) Frame(typ frame.Type, f []byte) error {
	switch typ {
	case frame.TypeConversation:
		return s.assigned(f)
	case frame.TypeAck:
		return s.accepted(f)
	case frame.TypeError:
		return s.refused(f)
	}
	return nil
}

// assigned takes the notice that the speaker serves the conversation.
func (s *speaker) assigned(f []byte) error {
	var m frame.Conversation
	if err := m.Parse(f); err != nil {
		return err
	}
	if m.State != frame.StateAssigned || !s.speech.conv.IsZero() {
		return nil
	}
	s.speech.conv, s.speech.known = m.Conv, m.Head
	for _, l := range s.Listeners[1:] {
		l.Conn.Dial()
	}
	return nil
}

func (s *speaker) accepted(f []byte) error {
	var m frame.Ack
	if err := m.Parse(f); err != nil {
		return err
	}
	if m.Ref >= FirstRef && s.speech.acked(m.Ref-FirstRef, m.Seq) {
		s.Ledger.Accepted++
		if s.Acked != nil {
			s.Acked()
		}
	}
	return nil
}

func (s *speaker) refused(f []byte) error {
	var m frame.Error
	if err := m.Parse(f); err != nil {
		return err
	}
	if !frame.ErrorRetry(m.Code) {
		s.scene.Fail(Refusal(s.agent, &m))
		return nil
	}
	if m.Ref >= FirstRef && !s.retry.Armed() {
		s.loop.Arm(&s.retry, client.Now()+later(m.RetryMS))
	}
	return nil
}

// Welcomed implements Handler.
func (l *Listener) Welcomed(*frame.Welcome) { l.join() }

// join opens the conversation, which the first listener makes and the others find.
func (l *Listener) join() {
	l.Send(&frame.Open{Ref: FirstRef, Key: l.audience.key, Group: []byte(l.audience.agent)})
}

// Ended implements Handler.
func (l *Listener) Ended(err error) {
	l.audience.loop.Disarm(&l.ask)
	l.audience.Gone(l, err)
}

// Frame implements Handler.
func (l *Listener) Frame(typ frame.Type, f []byte) error {
	switch typ {
	case frame.TypeMessage:
		return l.message(f)
	case frame.TypeConversation:
		return l.joined(f)
	case frame.TypeError:
		return l.refused(f)
	}
	return nil
}

func (l *Listener) message(f []byte) error {
	var m frame.Message
	if err := m.Parse(f); err != nil {
		return err
	}
	a := l.audience
	if due, fresh := l.Stream.Received(&a.Ledger, a.scene.Run, a.size, &m); fresh && a.Heard != nil {
		a.Heard(l, due)
	}
	return nil
}

func (l *Listener) joined(f []byte) error {
	var m frame.Conversation
	if err := m.Parse(f); err != nil {
		return err
	}
	if m.Ref == FirstRef && !l.attached {
		l.attached = true
		l.audience.Attached++
		l.Stream.Attached(m.Head)
	}
	return nil
}

func (l *Listener) refused(f []byte) error {
	var m frame.Error
	if err := m.Parse(f); err != nil {
		return err
	}
	if !frame.ErrorRetry(m.Code) {
		l.audience.scene.Fail(Refusal("a listener", &m))
		return nil
	}
	l.audience.loop.Arm(&l.ask, client.Now()+later(m.RetryMS))
	return nil
}
