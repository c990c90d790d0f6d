package dispatch

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/escalate"
	"github.com/switchyard-im/switchyard/frame"
)

// EscalationConfig says who is told of messages that somebody did not ack, when, and how. Without policies nobody is, and it costs nothing.
type EscalationConfig struct {
	Policies map[string][]escalate.Step
	Default  EscalationPolicies            // of groups that are not in Groups
	Groups   map[string]EscalationPolicies // by the group's name
	Grace    time.Duration                 // see escalate.Config; default 30s

	// Notice makes what is put into the lane of the effect's channel; called on the escalation's goroutine.
	Notice func(escalate.Effect) []byte
	// Queued returns the ids (escalate.NotificationID) of what waits in the lanes; called once, at start.
	Queued func() (map[string]bool, error)
}

// EscalationPolicies are names of policies; with an empty one nobody is told.
type EscalationPolicies struct {
	Visitors string
	Staff    string // of the agent, or the supervisor, who has the conversation
}

func (c *EscalationConfig) policies(group string) EscalationPolicies {
	if p, ok := c.Groups[group]; ok {
		return p
	}
	return c.Default
}

func (c *EscalationConfig) policy(group string, role frame.Role) string {
	p := c.policies(group)
	if role == frame.RoleVisitor {
		return p.Visitors
	}
	return p.Staff
}

// machine is what the shards have to know.
func (c *EscalationConfig) machine() (e core.Escalate) {
	add := func(p EscalationPolicies) {
		e.Visitors, e.Staff = e.Visitors || p.Visitors != "", e.Staff || p.Staff != ""
	}
	add(c.Default)
	for _, p := range c.Groups {
		add(p)
	}
	return e
}

func (c *EscalationConfig) on() bool { return c.machine() != core.Escalate{} }

func (c *EscalationConfig) validate() error {
	check := func(group string, p EscalationPolicies) error {
		for _, name := range []string{p.Visitors, p.Staff} {
			if name != "" && c.Policies[name] == nil {
				return fmt.Errorf("dispatch: escalation of %s: there is no policy %q: define it, or take the name out", group, name)
			}
		}
		return nil
	}
	if err := check("all groups", c.Default); err != nil {
		return err
	}
	for group, p := range c.Groups {
		if err := check("group "+group, p); err != nil {
			return err
		}
	}
	_, err := escalate.New(escalate.Config{Policies: c.Policies, Grace: c.Grace}, 0)
	return err
}

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

type recipient struct {
	conv frame.ID
	user string
}

// lateAck is kept for lateKeep: marks are in the store after two seconds, or the store is away, and then the lanes are not read either.
type lateAck struct {
	seq uint64
	at  time.Time
}

const lateKeep = time.Minute

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

// acked tells the machine of a mark. One that comes after something fired counts from now on for those who send, though the store may not have it yet.
func (e *escalation) acked(conv frame.ID, user string, seq uint64) {
	if !e.machine.Acked(now(), conv, user, seq) {
		return
	}
	e.stats.late.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.late[recipient{conv, user}] = lateAck{seq: seq, at: time.Now()}
}

// forgetLate drops acks that the store has.
func (e *escalation) forgetLate(before time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for r, ack := range e.late {
		if ack.at.Before(before) {
			delete(e.late, r)
		}
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

// Acked tells up to which message somebody has everything in a conversation; ok is false if nothing there has to be acked by this user any more. For those
// who send notifications, before they do; any goroutine. It reads the store.
func (c *Center) Acked(conv frame.ID, user string) (seq uint64, ok bool, err error) {
	state, _, found, err := c.store.LoadConversation(conv, 0)
	if err != nil || !found {
		return 0, false, err
	}
	_, _, list, err := core.NewOpenDecoder().Recipients(conv, state)
	if err != nil {
		return 0, false, err
	}
	for _, r := range list {
		if r.User.String() == user {
			return max(r.Delivered, c.escalation.lateAck(conv, user)), true, nil
		}
	}
	return 0, false, nil
}

func (e *escalation) lateAck(conv frame.ID, user string) uint64 {
	if e == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.late[recipient{conv, user}].seq
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

// sinceMax is how many of the latest messages are looked at for what is unacked: the machine tells no more apart.
const sinceMax = 256

// since tells the machine of what others wrote after the recipient's mark, up to head; it has to be acked since sinceMS at the earliest. What cannot be read is
// taken for one message.
func (e *escalation) since(conv frame.ID, group string, r core.Recipient, head uint64, sinceMS int64) {
	policy := e.cfg.policy(group, r.User.Role)
	if policy == "" || r.Delivered >= head {
		return
	}
	after := max(r.Delivered, head-min(head, sinceMax))
	msg := escalate.Message{Conv: conv, User: r.User.String(), Policy: policy}
	for after < head {
		frames, last, n, err := e.center.store.ReadAfter(nil, conv, after, head, sinceMax, pageBytes)
		if err != nil || n == 0 {
			e.center.log.Warn("dispatch: messages cannot be read to see what is unacked; they count as unacked", "conversation", conv.String(), "cause", err)
			msg.Seq, msg.AtMS = head, now()
			e.machine.Sent(now(), msg)
			return
		}
		for len(frames) > 0 {
			var m frame.Message
			_, f, rest, err := frame.Next(frames)
			if err == nil {
				err = m.Parse(f)
			}
			if err != nil {
				break // the next start of a client finds the damage
			}
			if m.Kind == frame.KindChat && string(m.Sender) != r.User.Name {
				msg.Seq, msg.AtMS = m.Seq, max(int64(m.TimeMS), sinceMS)
				e.machine.Sent(now(), msg)
			}
			frames = rest
		}
		after = last
	}
}

// load puts the stored records back, and finds the conversations that have to be read. Before run; nothing else uses the store yet.
func (e *escalation) load() error {
	var noted []frame.ID
	err := e.center.store.Escalations(func(conv frame.ID, user string, record []byte) error {
		if user == "" {
			noted = append(noted, conv)
			return nil
		}
		return e.machine.Restore(conv, user, record)
	})
	if err == nil {
		err = e.center.store.OpenConversations(func(conv frame.ID, _ []byte) error {
			e.restore = append(e.restore, conv)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("dispatch: read what is unacked: %w", err)
	}
	e.restore, e.noted = append(e.restore, noted...), noted
	return nil
}

// readPast tells the machine of what is unacked in each conversation that was open, or closed and not known to be. It tries until it can; false: the end came.
func (e *escalation) readPast() bool {
	began := time.Now()
	for _, conv := range e.restore {
		if !e.untilRead(func() error { return e.past(conv) }) {
			return false
		}
	}
	var queued map[string]bool
	if !e.untilRead(func() (err error) { queued, err = e.cfg.Queued(); return err }) {
		return false
	}
	if queued != nil {
		e.machine.Reconcile(func(conv frame.ID, user, step string, last uint64) bool {
			return queued[escalate.NotificationID(conv, user, step, last)]
		})
	}
	e.center.log.Info("dispatch: unacked messages restored", "conversations", len(e.restore), "waiting", e.machine.Watched(), "took", time.Since(began))
	e.restore = nil
	return true
}

// untilRead reads until the store can. What it reads and cannot be understood is left out, or the others would wait for it for ever. False: the end
// came.
func (e *escalation) untilRead(read func() error) bool {
	for {
		err := read()
		if err == nil {
			return true
		}
		e.center.log.Error("dispatch: what is unacked cannot be read; who has not acked it may not be told", "cause", err)
		if !errors.Is(err, ErrUnavailable) {
			return true
		}
		select {
		case <-e.quit:
			return false
		case <-time.After(time.Second):
		}
	}
}

func (e *escalation) past(conv frame.ID) error {
	state, tail, ok, err := e.center.store.LoadConversation(conv, 1)
	if err != nil || !ok {
		return err
	}
	access, err := core.DecodeAccess(conv, state, tail)
	if err != nil {
		return err
	}
	group, closed, list, err := core.NewOpenDecoder().Recipients(conv, state)
	if err != nil {
		return err
	}
	for _, r := range list {
		e.since(conv, group, r, access.Head, 0)
		e.acked(conv, r.User.String(), r.Delivered)
		if closed {
			e.machine.Closed(now(), conv, r.User.String())
		}
	}
	return nil
}
