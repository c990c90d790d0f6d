package dispatch

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// deskRunner owns the desk: one goroutine that takes events and sends what was decided to the shards. It hears of a conversation only after it
// is durable, and a decision becomes true when the conversation's shard has written it.
type deskRunner struct {
	center    *Center
	desk      *desk.Desk
	watchers  *watchers
	inbox     mailbox[core.DeskEvent]
	questions mailbox[question]
	ticked    atomic.Bool // a second has passed
	waker     *waker
	quit      chan struct{}
}

// deskCrowd is how many events may wait for the desk before what clients ask of it is refused: claims, transfers, statuses and the watching of queues. What
// has happened to conversations and agents is never left out; there is at most so much of it as there are those.
const deskCrowd = 8192

// crowded tells that the desk is far behind; any goroutine.
func (d *deskRunner) crowded() bool { return d.inbox.depth() >= deskCrowd }

// asksDesk tells whether a frame is a question to the desk alone.
func asksDesk(typ frame.Type) bool {
	switch typ {
	case frame.TypeClaim, frame.TypeTransfer, frame.TypeStatus, frame.TypeWatch:
		return true
	}
	return false
}

func newDeskRunner(c *Center) *deskRunner {
	d := &deskRunner{center: c, desk: desk.New(c.cfg.desk()), waker: newWaker(), quit: make(chan struct{})}
	d.watchers = newWatchers(d.desk)
	d.inbox.wake, d.questions.wake = d.waker.wake, d.waker.wake
	return d
}

// restore fills the desk with what people said of agents, and the conversations that were open, when the server stopped. Before run.
func (d *deskRunner) restore() (int, error) {
	d.desk.Tick(time.Now().UnixMilli())
	if err := d.restoreMemos(); err != nil {
		return 0, fmt.Errorf("dispatch: read what is remembered of agents and visitors: %w", err)
	}
	n, records := 0, core.NewOpenDecoder()
	err := d.center.store.OpenConversations(func(conv frame.ID, state []byte) error {
		r, s, ok, err := records.Decode(conv, state)
		if err != nil {
			return err
		}
		n++
		if ok {
			d.desk.Restore(r, s)
		}
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("dispatch: read the open conversations: %w", err)
	}
	return n, nil
}

// restoreMemos tells the desk what people said of agents before the server stopped, and who served visitors last. Nobody is there yet.
func (d *deskRunner) restoreMemos() error {
	if err := d.center.store.Memos(core.ServedMemos, func(key string, value []byte) error {
		s, err := core.DecodeServed(key, value)
		if err == nil {
			d.desk.Remember(s.Group, s.Visitor, s.Agent, s.EndedMS)
		}
		return err
	}); err != nil {
		return err
	}
	for _, prefix := range []string{core.CapacityMemos, core.StatusMemos} { // in this order: with a capacity alone the status is online
		err := d.center.store.Memos(prefix, func(key string, value []byte) error {
			s, err := core.DecodeSaid(key, value)
			if err == nil {
				d.desk.Status(s.Agent, s.Status, s.Capacity)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tick tells that a second has passed; any goroutine.
func (d *deskRunner) tick() {
	d.ticked.Store(true)
	d.waker.wake()
}

// run is the desk's goroutine; it ends when quit is closed.
func (d *deskRunner) run() {
	d.desk.Places(d.tellPlace) // from now on who comes is noted, to be told its place with the next second
	for {
		d.waker.sleep(d.idle)
		select {
		case <-d.quit:
			return
		default:
		}
		d.desk.Tick(time.Now().UnixMilli())
		d.carryOut(nil)
		for _, e := range d.inbox.take() {
			d.event(&e)
		}
		for _, q := range d.questions.take() {
			d.answer(q)
		}
		if d.ticked.Swap(false) {
			d.desk.Places(d.tellPlace)
		}
		d.watchers.send(time.Now(), d.center.jobs.write, d.waker.wake)
	}
}

func (d *deskRunner) idle() bool {
	select {
	case <-d.quit:
		return false
	default:
		return d.inbox.depth()+d.questions.depth() == 0 && !d.ticked.Load() && !d.watchers.due.Load()
	}
}

// event makes the desk decide, and sends out what it decided.
func (d *deskRunner) event(e *core.DeskEvent) {
	var err error
	switch e.Kind {
	case core.DeskOpened:
		d.desk.Opened(request(e))
	case core.DeskClosed:
		d.desk.Closed(e.Conv)
	case core.DeskWrote:
		d.desk.Wrote(e.Conv, e.Agent, e.ByAgent)
	case core.DeskHold:
		d.desk.Hold(e.Conv, e.Agent, e.On)
	case core.DeskAgentUp:
		d.desk.AgentUp(e.Agent, profile(e))
		d.tellStatus(e.Agent)
	case core.DeskAgentDown:
		d.desk.AgentDown(e.Agent)
	case core.DeskSay:
		err = d.say(e)
	case core.DeskStatus:
		d.desk.Status(e.Agent, e.Status, e.Capacity)
		d.tellStatus(e.Agent)
	case core.DeskClaim:
		err = d.desk.Claim(e.Conv, e.Agent)
	case core.DeskTransfer:
		err = d.transfer(e)
	case core.DeskWatch:
		d.watch(e)
	case core.DeskPlace:
		if p, waits := d.desk.Place(e.Conv); waits {
			d.tellPlace(p)
		}
	case core.DeskUnwatch:
		d.watchers.gone(e.For.Conn)
	}
	if err != nil {
		d.refuse(e.For, err)
	}
	d.carryOut(e)
}

func request(e *core.DeskEvent) desk.Request {
	return desk.Request{Conv: e.Conv, Group: e.Group, Visitor: e.Visitor, AtMS: e.AtMS, Life: e.Life, Priority: e.Priority, Need: *e.Need}
}

func profile(e *core.DeskEvent) desk.Profile {
	if e.Profile == nil {
		return desk.Profile{}
	}
	return *e.Profile
}

// transfer does what was allowed when the shard saw it; an agent must still have the conversation, for it may have been given to somebody since.
func (d *deskRunner) transfer(e *core.DeskEvent) error {
	if who := e.For.Who; who.Role == frame.RoleAgent && !d.desk.Has(e.Conv, who.User) {
		return desk.ErrPast
	}
	if e.Back != nil {
		return d.desk.Return(request(e.Back), e.Target)
	}
	return d.desk.Transfer(e.Conv, e.Target)
}

// errNoAgent refuses to say something of somebody whom the desk does not know, or who is for others to speak of; which of the two, is not told.
var errNoAgent = errors.New("desk: in the groups that you are for no agent of this name is connected, serves anybody, or has a status")

// say lets a supervisor, or an application, say something of an agent: the machine of the agent writes it and answers.
func (d *deskRunner) say(e *core.DeskEvent) error {
	all := e.For.Who.Role == frame.RoleSystem && len(e.Groups) == 0
	if !d.desk.Serves(e.Agent, e.Groups) && !(all && d.desk.Knows(e.Agent)) {
		return errNoAgent
	}
	said := core.Said{Agent: e.Agent, Status: e.Status, Capacity: e.Capacity, For: e.For}
	d.center.ownerOfUser(core.UserKey{Role: frame.RoleAgent, Name: e.Agent}).inbox.put(control{kind: ctlSay, said: &said})
	return nil
}

// tellStatus tells all devices of an agent what counts now, by way of its machine, so that what comes last is right.
func (d *deskRunner) tellStatus(agent string) {
	a, _ := d.desk.Agent(agent)
	if !a.Connected {
		return
	}
	f := frame.Status{Status: a.Status, Capacity: uint64(a.Capacity), User: []byte(agent)}
	key := core.UserKey{Role: frame.RoleAgent, Name: agent}
	d.center.ownerOfUser(key).inbox.put(control{kind: ctlNotify, user: key, frames: f.Append(nil)})
}

// carryOut sends what was decided to the shards. Who asked about a conversation is answered by its shard, with the last decision about it.
func (d *deskRunner) carryOut(e *core.DeskEvent) {
	effects := d.desk.Take()
	last := -1
	if e != nil && e.For.Conn != 0 {
		last = lastAbout(effects, e.Conv)
	}
	for i, f := range effects {
		decision := core.Decision{Kind: f.Kind, Life: f.Life, Group: f.Group, Agent: f.Agent, Reason: f.Reason, Front: f.Front, AtMS: f.AtMS, OpensMS: f.OpensMS}
		if i == last {
			decision.For = e.For
		}
		d.center.owner(f.Conv).inbox.put(control{kind: ctlDecide, conv: f.Conv, decision: decision})
	}
}

// lastAbout is the index of the last effect about a conversation, -1 if there is none.
func lastAbout(effects []desk.Effect, conv frame.ID) int {
	for i := len(effects) - 1; i >= 0; i-- {
		if effects[i].Conv == conv {
			return i
		}
	}
	return -1
}

func (d *deskRunner) tellPlace(p desk.Place) {
	d.center.owner(p.Conv).inbox.put(control{kind: ctlPlace, place: p})
}

// refuse answers a request that the desk does not carry out.
func (d *deskRunner) refuse(r core.Request, err error) {
	e := frame.Error{Ref: r.Ref, Code: frame.ErrorConflict, Text: []byte(strings.TrimPrefix(err.Error(), "desk: "))} // the package means nothing to a client
	switch taken := (*desk.TakenError)(nil); {
	case errors.As(err, &taken):
		e.Code, e.Text = frame.ErrorTaken, []byte(taken.By)
	case errors.Is(err, desk.ErrUnknown):
		e.Code = frame.ErrorNotFound
	case errors.Is(err, desk.ErrForeign), errors.Is(err, desk.ErrPast), errors.Is(err, errNoAgent):
		e.Code = frame.ErrorForbidden
	}
	d.center.jobs.write(r.Conn, e.Append(nil))
}

func (d *deskRunner) acked(r core.Request) {
	if r.Ref != 0 {
		ack := frame.Ack{Ref: r.Ref, TimeMS: uint64(time.Now().UnixMilli())}
		d.center.jobs.write(r.Conn, ack.Append(nil))
	}
}

// watch begins or ends what a connection sees of a queue.
func (d *deskRunner) watch(e *core.DeskEvent) {
	if e.Limit == 0 {
		d.watchers.leave(e.Group, e.For.Conn)
		d.acked(e.For)
		return
	}
	d.watchers.join(e.Group, e.For.Conn)
	d.center.jobs.write(e.For.Conn, snapshot(d.desk.Snapshot(e.Group, e.Limit), e.For.Ref))
}
