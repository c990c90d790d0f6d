package dispatch

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// runner owns a range of the shards: one goroutine with one machine.
type runner struct {
	// Fixed after construction.
	center *Center
	rings  []*ring // by loop
	inbox  mailbox[control]
	waker  *waker
	free   chan *unit // units that are not under way; capacity Config.Units
	quit   chan struct{}

	// Owned by the runner's goroutine.
	machine    *core.Machine
	generation uint64 // of the store that this runner's state was built on
	unit       *unit  // the batch that is being made
	quiet      quietTicks

	// Set by the store's completion goroutine, read by the runner.
	mu       sync.Mutex
	failures []failure   // guarded by mu
	broken   atomic.Bool // failures may not be empty: cheap to ask for each batch

	stats runnerStats
	out   frameStats

	// The method values of the hot path, made once: making one allocates.
	idleFunc  func() bool
	frameFunc func(*inbound, []byte)
}

// control is a rare event for a runner.
type control struct {
	kind   controlKind
	list   bool // ctlOnline
	ok     bool // ctlLoaded
	conv   frame.ID
	conn   frame.ConnID
	who    *core.Identity
	user   core.UserKey
	agent  string // ctlErase
	frames []byte // ctlLoaded: the last message; ctlReplayed, ctlNotify, ctlCall
	state  []byte // ctlLoaded
	after  uint64 // ctlReplayed, ctlLookedUp; ctlCall: arrived, in Unix nanoseconds
	seq    uint64 // ctlReplayed: last; ctlLookedUp: upto; ctlHandedOver: ticket
	seen   []core.Seen
	err    error
	done   chan<- struct{} // ctlErase; has room

	decision core.Decision // ctlDecide
	place    desk.Place    // ctlPlace
	said     *core.Said    // ctlSay
}

type controlKind uint8

const (
	ctlTick controlKind = iota
	ctlOnline
	ctlOffline
	ctlGone
	ctlNotify
	ctlDecide
	ctlPlace
	ctlSay
	ctlDismiss
	ctlShow
	ctlLoaded
	ctlLookedUp
	ctlReplayed
	ctlErase
	ctlHandedOver
	ctlCall
)

func newRunner(c *Center) *runner {
	r := &runner{
		center: c, machine: core.New(c.cfg.machine()), waker: newWaker(),
		free: make(chan *unit, c.cfg.Units), quit: make(chan struct{}), generation: c.store.Generation(),
	}
	r.inbox.wake = r.waker.wake
	r.idleFunc, r.frameFunc = r.idle, r.frame
	for range c.cfg.Loops {
		r.rings = append(r.rings, newRing(c.cfg.RingFrames, c.cfg.RingBytes))
	}
	for range c.cfg.Units {
		r.free <- newUnit(r, c.cfg.Loops+1) // and the calls
	}
	return r
}

// run is the runner's goroutine; it ends when quit is closed and all units are back.
func (r *runner) run() {
	for {
		r.waker.sleep(r.idleFunc)
		u := <-r.free // flow control: what comes meanwhile joins this batch
		if r.broken.Load() {
			r.recover(u)
			continue
		}
		select {
		case <-r.quit:
			r.finish(u)
			return
		default:
			r.batch(u)
		}
	}
}

// idle tells whether nothing waits.
func (r *runner) idle() bool {
	for _, g := range r.rings {
		if !g.empty() {
			return false
		}
	}
	select {
	case <-r.quit:
		return false
	default:
	}
	return !r.broken.Load() && r.inbox.depth() == 0
}

// batch steps the machine through all that waits. The mailbox is taken first and handled last: a close was put there after the
// frames of its connection went into the ring, so it cannot overtake them.
func (r *runner) batch(u *unit) {
	r.begin(u)
	events := r.inbox.take()
	frames := 0
	for i, g := range r.rings {
		u.taken[i] = g.drain(r.frameFunc)
		frames += u.taken[i]
	}
	for i := range events {
		r.control(&events[i])
	}
	r.quiet.frames += frames
	conversations, users := r.machine.Sizes()
	r.stats.batch(frames, conversations, users)
	r.end(u)
}

func (r *runner) begin(u *unit) {
	u.reset()
	if r.quiet.quiet() {
		u.trim()
		r.machine.Trim(idleBuf, idleItems)
	}
	r.unit = u
	r.machine.Withhold(r.center.governor.sheds(classPresence))
	r.machine.Begin(time.Now().UnixMilli(), r.center.store.Available(), &u.effects)
}

// end commits what the batch did, if it did anything.
func (r *runner) end(u *unit) {
	r.machine.End()
	e := &u.effects
	r.center.governor.shed(classPresence, e.Withheld)
	if len(e.Targets)+len(e.Writes)+len(e.Memos)+len(e.Jobs)+len(e.Desk)+len(e.Users)+len(e.Unacked)+len(e.Answers)+len(u.replayed) == 0 {
		u.finish()
		return
	}
	u.commit()
}

func (r *runner) frame(in *inbound, f []byte) {
	if in.typ == frame.TypeStatus && !r.machine.Knows(in.from) {
		r.machine.Online(in.from, false) // it came in one batch with the welcome, which is handled after the frames
	}
	r.machine.Frame(in.from, in.typ, f, in.arrived)
}

func (r *runner) control(e *control) {
	m := r.machine
	switch e.kind {
	case ctlTick:
		r.quiet.tick()
		m.Tick()
	case ctlOnline:
		m.Online(core.Origin{Conn: e.conn, Who: e.who}, e.list)
	case ctlOffline:
		m.Offline(core.Origin{Conn: e.conn, Who: e.who})
	case ctlGone:
		m.Gone(e.conv, e.conn)
	case ctlNotify:
		m.Notify(e.user, e.frames, e.conn)
	case ctlDecide:
		m.Decide(e.conv, e.decision)
	case ctlPlace:
		m.Place(e.place)
	case ctlSay:
		m.Say(*e.said)
	case ctlDismiss:
		m.Dismiss(e.conv)
	case ctlShow:
		m.Show(e.conv, core.Origin{Conn: e.conn})
	case ctlLoaded:
		m.Loaded(e.conv, e.state, e.frames, e.ok, e.err)
	case ctlLookedUp:
		m.LookedUp(e.conv, e.after, e.seq, e.seen, e.err)
	case ctlErase:
		m.Erase(e.conv, e.agent)
		e.done <- struct{}{}
	case ctlCall:
		typ, f, _, err := frame.Next(e.frames)
		if err != nil {
			panic("BUG: dispatch: a call was not checked: " + err.Error())
		}
		m.Call(core.Origin{Conn: e.conn, Who: e.who}, typ, f, int64(e.after))
	case ctlHandedOver:
		m.HandedOver(e.conv, e.conn, e.seq)
	case ctlReplayed:
		sent := m.Replayed(e.conv, e.conn, e.after, e.frames, e.seq, e.err)
		r.unit.replayed = append(r.unit.replayed, replayed{conv: e.conv, conn: e.conn, sent: sent})
	}
}

// failed remembers what a failed commit leaves invalid; called by the store's completion goroutine.
func (r *runner) failed(list []failure) {
	r.mu.Lock()
	r.failures = append(r.failures, list...)
	r.mu.Unlock()
	r.broken.Store(true)
	r.waker.wake()
}

// recover waits until every batch that is under way has ended (all of them fail: they carry the old generation), and makes the machine
// forget what they changed.
func (r *runner) recover(u *unit) {
	units := []*unit{u}
	for len(units) < r.center.cfg.Units {
		units = append(units, <-r.free)
	}
	r.mu.Lock()
	failures := r.failures
	r.failures = nil
	r.mu.Unlock()
	r.broken.Store(false)
	r.generation = r.center.store.Generation()

	for _, other := range units[1:] {
		r.free <- other
	}
	r.begin(u)
	for i := range slices.Backward(failures) { // see Machine.Refused
		r.takeBack(&failures[i])
	}
	r.end(u)
}

// takeBack makes the machine forget one thing that was promised or written in vain.
func (r *runner) takeBack(f *failure) {
	switch f.answer.Kind {
	case core.AnswerAttached:
		r.machine.Unattached(f.answer.Conv, f.answer.Conn)
	case core.AnswerTold:
		r.machine.Invalidate(f.answer.Conv, math.MaxUint64)
	case core.AnswerAccepted:
		r.machine.Refused(f.answer.Conv, f.answer.Conn, f.answer.ID)
	default:
		r.machine.Invalidate(f.conv, f.released)
	}
}

// finish writes the marks and waits until everything is committed.
func (r *runner) finish(u *unit) {
	r.batch(u)
	r.lastTick(<-r.free)
	for range r.center.cfg.Units {
		<-r.free
	}
}

// lastTick writes the marks.
func (r *runner) lastTick(u *unit) {
	r.begin(u)
	r.machine.WriteMarks()
	r.end(u)
}
