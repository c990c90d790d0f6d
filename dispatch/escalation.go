package dispatch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/escalate"
	"github.com/switchyard-im/switchyard/frame"
)

// escalation owns the escalate.Machine: one goroutine that hears of what is durable, and writes what is decided. The shards never wait for it, nor
// do those who send the notifications. While the store takes no writes it repeats them; nothing that was decided is lost, and what comes meanwhile
// is bounded, as no message is stored then.
type escalation struct {
	// Fixed after construction.
	center *Center
	cfg    *EscalationConfig
	inbox  mailbox[core.UnackedEvent]
	sent   mailbox[notified]
	waker  *waker
	quit   chan struct{}

	ticked atomic.Bool  // a second has passed
	commit atomic.Int32 // of type commitState: set to committing by run, then by the store's completion goroutine

	// Owned by run.
	machine *escalate.Machine
	effects []escalate.Effect // that are being written; the machine's until the next Take
	closed  []frame.ID        // whose notes go with them
	noted   []frame.ID        // whose notes go with the next ones
	behind  bool              // a second passed while a commit was under way
	restore []frame.ID        // conversations to be read at the start

	mu   sync.Mutex
	late map[recipient]lateAck // guarded by mu; acks that came after something fired, until the store surely has the mark

	stats escalationStats
}

type commitState = int32

const (
	commitNone commitState = iota
	commitUnderWay
	commitDone
	commitRefused
)

// notified is a notification that was sent, or given up.
type notified struct {
	conv frame.ID
	user string
	step string
	last uint64
}

// newEscalation returns nil if nothing is escalated.
func newEscalation(c *Center) (*escalation, error) {
	cfg := &c.cfg.Escalation
	if !cfg.on() {
		return nil, nil
	}
	m, err := escalate.New(escalate.Config{Policies: cfg.Policies, Grace: cfg.Grace}, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	e := &escalation{center: c, cfg: cfg, machine: m, waker: newWaker(), quit: make(chan struct{}), late: map[recipient]lateAck{}}
	e.inbox.wake, e.sent.wake = e.waker.wake, e.waker.wake
	return e, nil
}

// told takes what a batch tells, after its commit ended; any goroutine.
func (e *escalation) told(events []core.UnackedEvent, err error) {
	if err == nil {
		e.inbox.put(events...)
		return
	}
	for i := range events {
		if events[i].Lasts() {
			e.inbox.put(events[i])
		}
	}
}

// tick tells that a second has passed; any goroutine.
func (e *escalation) tick() {
	e.ticked.Store(true)
	e.waker.wake()
}

// Committed implements Completion.
func (e *escalation) Committed(err error) {
	if err == nil {
		e.commit.Store(commitDone)
	} else {
		e.commit.Store(commitRefused)
	}
	e.waker.wake()
}

// run is the goroutine; it ends when quit is closed. It leaves things as a crash would: the next start reads them again.
func (e *escalation) run() {
	if !e.readPast() {
		return
	}
	for {
		e.waker.sleep(e.idle)
		select {
		case <-e.quit:
			return
		default:
		}
		for _, ev := range e.inbox.take() {
			e.event(&ev)
		}
		for _, n := range e.sent.take() {
			e.machine.Done(now(), n.conv, n.user, n.step, n.last)
		}
		e.write(e.ticked.Swap(false))
	}
}

func now() int64 { return time.Now().UnixMilli() }

func (e *escalation) idle() bool {
	select {
	case <-e.quit:
		return false
	default:
		return e.inbox.depth()+e.sent.depth() == 0 && !e.ticked.Load() && e.commit.Load() != commitDone
	}
}

// event tells the machine.
func (e *escalation) event(ev *core.UnackedEvent) {
	user := ev.User.String()
	switch ev.Kind {
	case core.UnackedSent:
		e.machine.Sent(now(), escalate.Message{Conv: ev.Conv, User: user, Policy: e.cfg.policy(ev.Group, ev.User.Role), Seq: ev.Seq, AtMS: ev.AtMS})
	case core.UnackedMark:
		e.acked(ev.Conv, user, ev.Seq)
	case core.UnackedSince:
		e.since(ev.Conv, ev.Group, core.Recipient{User: ev.User, Delivered: ev.Seq}, ev.Head, ev.AtMS)
		e.acked(ev.Conv, user, ev.Seq)
	case core.UnackedLeft:
		e.machine.Left(now(), ev.Conv, user)
	case core.UnackedClosed:
		e.machine.Closed(now(), ev.Conv, user)
		if ev.Noted {
			e.noted = append(e.noted, ev.Conv)
		}
	case core.UnackedReopened:
		e.machine.Reopened(now(), ev.Conv, user, e.cfg.policy(ev.Group, ev.User.Role), ev.Seq, ev.Head)
	}
}

// write carries out what was decided, one transaction at a time; the machine decides nothing more until it is durable.
func (e *escalation) write(ticked bool) {
	switch e.commit.Load() {
	case commitUnderWay:
		e.behind = e.behind || ticked // the end of the commit wakes us
		return
	case commitRefused:
		if ticked && e.center.store.Available() {
			e.put()
		}
		return
	}
	e.commit.Store(commitNone)
	ticked, e.behind = ticked || e.behind, false
	next, due := e.machine.Next()
	if ticked || due && next == 0 {
		e.machine.Tick(now())
	}
	if ticked {
		e.forgetLate(time.Now().Add(-lateKeep))
	}
	e.effects = e.machine.Take()
	e.closed, e.noted = e.noted, e.closed[:0]
	e.stats.watched.Store(int64(e.machine.Watched()))
	if len(e.effects)+len(e.closed) > 0 {
		e.stats.count(e.effects)
		e.put()
	}
}

// put commits the effects, and the notes that they make superfluous. What is cancelled needs no write: who sends looks at the mark.
func (e *escalation) put() {
	e.commit.Store(commitUnderWay)
	tx := e.center.store.Begin(e.center.store.Generation())
	for _, f := range e.effects {
		switch f.Kind {
		case escalate.Put:
			tx.Escalation(f.Conv, f.User, f.Record)
		case escalate.Delete:
			tx.Escalation(f.Conv, f.User, nil)
		case escalate.Fire:
			tx.Notify(f.Channel, f.Conv, e.cfg.Notice(f))
		}
	}
	for _, conv := range e.closed {
		tx.Escalation(conv, "", nil)
	}
	tx.Commit(e)
}

// Notified tells that a notification was sent, or given up; any goroutine.
func (c *Center) Notified(conv frame.ID, user, step string, last uint64) {
	if c.escalation != nil {
		c.escalation.sent.put(notified{conv: conv, user: user, step: step, last: last})
	}
}

// forget lets go of what a user has not acked.
func (e *escalation) forget(user string, convs []frame.ID) {
	if e == nil {
		return
	}
	for _, conv := range convs {
		for role := frame.RoleVisitor; role <= frame.RoleSupervisor; role++ {
			e.inbox.put(core.UnackedEvent{Kind: core.UnackedLeft, Conv: conv, User: core.UserKey{Role: role, Name: user}})
		}
	}
}
