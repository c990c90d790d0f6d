package escalate

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Message is one that the user has to ack.
type Message struct {
	Conv   frame.ID
	User   string
	Policy string // of Config.Policies, that of the first unacked message counts; a name that is not there: never escalated
	Seq    uint64 // higher than of all that came before, or it is known and ignored
	AtMS   int64  // when it was stored, Unix milliseconds
}

// EffectKind tells what the caller has to do.
type EffectKind int

// The kinds.
const (
	Fire   EffectKind = iota // queue a notification
	Narrow                   // if the notification is still queued, it shall tell of what comes from First on only
	Cancel                   // if the notification is still queued, drop it: all of it was acked
	Put                      // store Record as that of the conversation and user
	Delete                   // remove their record
)

// Effect is one of those. Effects are carried out in their order.
type Effect struct {
	Kind EffectKind
	Conv frame.ID
	User string

	// Fire, Narrow and Cancel. The notification is known by (Conv, User, Step, Last), and tells of the messages of others from First to Last.
	Step        string
	Channel     string
	First, Last uint64

	Record []byte // Put
}

// Machine holds what is not acked. Not safe for concurrent use. All times that come in are Unix milliseconds of the clock on the wall.
//
// It is bounded: a recipient of a conversation has at most maxEntries unacked messages that are told apart (older ones are joined then, and
// may fire early with one another) and maxQueued notifications that an ack can still cancel (older ones are sent even so). There is one watch, of
// about 400 bytes, for each member of an open conversation who has something unacked, and none for the others: as many as the open conversations allow.
//
// Invariants, checked by Check:
//  1. The entries of a watch are in order, not acked, and each has a step to come.
//  2. No step has fired for more than was sent; each step's notifications are of its policy, and not acked.
//  3. A watch is in the queue if and only if something of it will be due, at the right place.
//  4. A watch exists only while there is something to fire, to cancel or to remember: see watch.over.
type Machine struct {
	cfg     Config
	clock   clock
	watches map[key]*watch
	queue   queue    // those with something to come, the soonest first
	dirty   []*watch // changed since the last Take
	out     []Effect
	taken   []Effect // lent out by the last Take
}

type key struct {
	conv frame.ID
	user string
}

// New makes a machine that knows of nothing.
func New(cfg Config, nowMS int64) (*Machine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Machine{cfg: cfg, clock: clock{wall: nowMS, gap: cfg.MaxGap.Milliseconds()}, watches: map[key]*watch{}}, nil
}

// Sent tells of a message that is durable now, or at start of one that is unacked.
func (m *Machine) Sent(nowMS int64, msg Message) {
	m.clock.advance(nowMS)
	k := key{msg.Conv, msg.User}
	w := m.watches[k]
	if w == nil {
		steps := m.cfg.Policies[msg.Policy]
		if steps == nil {
			return
		}
		w = newWatch(k, msg.Policy, steps)
	}
	if msg.Seq <= w.last {
		return
	}
	m.watches[k] = w
	w.last = msg.Seq
	w.add(entry{first: msg.Seq, last: msg.Seq, sentMS: msg.AtMS}, m)
	w.join()
	m.changed(w, w.closed)
}

// Acked tells that a device of the user has everything up to the sequence. It returns whether something had fired for what is acked by it: a
// notification may wait, or come again from among the dead letters.
func (m *Machine) Acked(nowMS int64, conv frame.ID, user string, seq uint64) (late bool) {
	m.clock.advance(nowMS)
	w := m.watches[key{conv, user}]
	if w == nil || seq <= w.acked {
		return false
	}
	late = slices.Max(w.fired) > w.acked
	w.acked = seq
	w.trim()
	w.queued = slices.DeleteFunc(w.queued, func(n notification) bool {
		if seq < n.first {
			return false
		}
		e := m.effect(Cancel, w, n)
		if seq < n.last {
			e.Kind, e.First = Narrow, seq+1
		}
		m.out = append(m.out, e)
		return seq >= n.last
	})
	for i := range w.queued {
		w.queued[i].first = max(w.queued[i].first, seq+1)
	}
	m.changed(w, w.stored)
	return late
}

// Watched is how many members of conversations have something unacked.
func (m *Machine) Watched() int { return len(m.watches) }

// Left tells that the user has nothing to do with the conversation any more: it was given to another agent, for example, or
// deleted with its messages.
func (m *Machine) Left(nowMS int64, conv frame.ID, user string) {
	if w := m.watches[key{conv, user}]; w != nil {
		m.Acked(nowMS, conv, user, w.last)
	}
}

// Closed tells that the conversation is closed, for each of its members: what they missed goes to them even so.
func (m *Machine) Closed(nowMS int64, conv frame.ID, user string) {
	m.clock.advance(nowMS)
	if w := m.watches[key{conv, user}]; w != nil && !w.closed {
		w.closed = true
		m.changed(w, true)
	}
}

// Reopened tells that a closed conversation is open again, for each of its members, with what each has acked and its last sequence. What was
// escalated, or given up, before is not begun again.
func (m *Machine) Reopened(nowMS int64, conv frame.ID, user, policy string, acked, head uint64) {
	m.clock.advance(nowMS)
	k := key{conv, user}
	w := m.watches[k]
	if w == nil {
		steps := m.cfg.Policies[policy]
		if steps == nil || acked >= head {
			return
		}
		w = newWatch(k, policy, steps)
		w.acked, w.last = acked, head
		for i := range w.fired {
			w.fired[i] = head
		}
		m.watches[k] = w
	}
	w.closed = false
	m.changed(w, true)
}

// Done tells that the notification is not queued any more: it was sent, or given up. An ack has nothing to cancel then.
func (m *Machine) Done(nowMS int64, conv frame.ID, user, step string, last uint64) {
	m.clock.advance(nowMS)
	if w := m.watches[key{conv, user}]; w != nil {
		m.forget(w, func(n notification) bool { return w.steps[n.step].Name == step && n.last == last })
	}
}

// Reconcile forgets the notifications that are not queued any more, after a start: Done may have come when it could not be kept.
func (m *Machine) Reconcile(queued func(conv frame.ID, user, step string, last uint64) bool) {
	for k, w := range m.watches {
		m.forget(w, func(n notification) bool { return !queued(k.conv, k.user, w.steps[n.step].Name, n.last) })
	}
}

func (m *Machine) forget(w *watch, is func(notification) bool) {
	if n := len(w.queued); n > 0 {
		if w.queued = slices.DeleteFunc(w.queued, is); len(w.queued) < n {
			m.changed(w, true)
		}
	}
}

// perTick bounds the recipients for whom one Tick fires, and so the transaction that writes it: after a start thousands may be due at once.
const perTick = 256

// Tick fires what is due, for perTick recipients at most. If there are more, Next returns 0, and the caller ticks again when it has carried out the
// effects.
func (m *Machine) Tick(nowMS int64) {
	m.clock.advance(nowMS)
	for range perTick {
		if len(m.queue) == 0 || m.queue[0].due > m.clock.awake {
			return
		}
		w := m.queue[0]
		for i := range w.steps {
			m.fire(w, i)
		}
		w.trim()
		m.changed(w, true)
	}
}

// fire fires the step for what is due: one notification for each message (or what was joined), or one for all that is unacked.
func (m *Machine) fire(w *watch, step int) {
	s := &w.steps[step]
	for _, e := range w.entries {
		if e.last <= w.fired[step] {
			continue
		}
		if e.at+s.After.Milliseconds() > m.clock.awake {
			break
		}
		n := notification{step: step, first: max(e.first, w.fired[step]+1, w.acked+1), last: e.last}
		if s.Digest {
			n.last = w.last
		}
		w.fired[step] = n.last
		w.queued = append(w.queued, n)
		m.out = append(m.out, m.effect(Fire, w, n))
	}
	w.queued = slices.Delete(w.queued, 0, max(0, len(w.queued)-maxQueued))
}

func (m *Machine) effect(kind EffectKind, w *watch, n notification) Effect {
	s := &w.steps[n.step]
	return Effect{Kind: kind, Conv: w.conv, User: w.user, Step: s.Name, Channel: s.Channel, First: n.first, Last: n.last}
}

// Next returns in how many milliseconds something is due, at the earliest; ok is false if nothing is to come.
func (m *Machine) Next() (ms int64, ok bool) {
	if len(m.queue) == 0 {
		return 0, false
	}
	return max(0, m.queue[0].due-m.clock.awake), true
}

// keepEffects is the length from which a list of effects is not kept for the next ones.
const keepEffects = 4 * perTick

// Take returns what is to be done since the last call; it is borrowed until the next Take.
func (m *Machine) Take() []Effect {
	slices.SortStableFunc(m.dirty, func(a, b *watch) int {
		return cmp.Or(slices.Compare(a.conv[:], b.conv[:]), cmp.Compare(a.user, b.user))
	})
	for _, w := range m.dirty {
		w.dirty = false
		e := Effect{Kind: Delete, Conv: w.conv, User: w.user}
		if w.stored = !w.over(); w.stored {
			e.Kind, e.Record = Put, w.record()
		}
		m.out = append(m.out, e)
	}
	clear(m.dirty)
	m.dirty = m.dirty[:0]
	clear(m.taken)
	m.out, m.taken = m.taken[:0], m.out
	if cap(m.out) > keepEffects {
		m.out = nil
	}
	return m.taken
}

// changed puts the watch where it belongs after an event; keep says that its record has to change too.
func (m *Machine) changed(w *watch, keep bool) {
	over := w.over()
	if over {
		delete(m.watches, w.key)
		keep = w.stored || w.dirty
	}
	if keep && !w.dirty {
		w.dirty = true
		m.dirty = append(m.dirty, w)
	}
	w.due = w.next()
	switch {
	case w.index < 0 && w.due != never:
		heap.Push(&m.queue, w)
	case w.index >= 0 && w.due == never:
		heap.Remove(&m.queue, w.index)
	case w.index >= 0:
		heap.Fix(&m.queue, w.index)
	}
}

// Check verifies the invariants; tests call it after every event.
func (m *Machine) Check() error {
	for k, w := range m.watches {
		if err := w.check(); err != nil {
			return fmt.Errorf("conversation %s, user %s: %w", k.conv, k.user, err)
		}
		if w.key != k || (w.index >= 0) != (w.due != never) || w.index >= 0 && m.queue[w.index] != w {
			return fmt.Errorf("invariant 3: conversation %s, user %s is astray in the queue", k.conv, k.user)
		}
	}
	for _, w := range m.queue {
		if m.watches[w.key] != w {
			return fmt.Errorf("invariant 3: conversation %s, user %s is queued, and over", w.conv, w.user)
		}
	}
	return nil
}
