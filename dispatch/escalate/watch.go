package escalate

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Bounds of a watch; see Machine.
const (
	maxEntries = 64
	maxQueued  = 256
)

// never is the due of a watch with nothing to come.
const never = math.MaxInt64

// watch is what one user has not acked in one conversation. Of the Machine's goroutine.
type watch struct {
	key
	policy string
	steps  []Step // of the policy, shared
	acked  uint64
	last   uint64 // the highest sequence that was sent
	closed bool

	entries []entry        // what has steps to come, ascending
	fired   []uint64       // by step: the last sequence that it has fired for
	queued  []notification // fired, and perhaps not sent yet, in the order of firing

	due    int64 // of the clock's awake time; never: nothing to come
	index  int   // in the queue; -1: not in it
	stored bool  // has a record, as of the last Take
	dirty  bool  // is in Machine.dirty
}

// entry is a message, or several that were joined.
type entry struct {
	first, last uint64
	sentMS      int64 // of the first, on the wall
	at          int64 // of the first, in awake time
}

// notification is one that was fired, for the messages of others from first to last.
type notification struct {
	step        int
	first, last uint64
}

func newWatch(k key, policy string, steps []Step) *watch {
	return &watch{key: k, policy: policy, steps: steps, fired: make([]uint64, len(steps)), due: never, index: -1}
}

// add appends an entry with its place in awake time: as long ago as it was sent, but after a start not so long that the next step would fire
// before the grace is over, and not before the entry that comes before it.
func (w *watch) add(e entry, m *Machine) {
	step := slices.IndexFunc(w.fired, func(fired uint64) bool { return fired < e.last })
	if step < 0 {
		return
	}
	now := m.clock.awake
	age := min(max(m.clock.wall-e.sentMS, 0), max(0, (w.steps[step].After-m.cfg.Grace).Milliseconds()))
	e.at = now - age
	if n := len(w.entries); n > 0 {
		e.at = max(e.at, w.entries[n-1].at)
	}
	w.entries = append(w.entries, e)
}

// join makes one entry of the two oldest if there are more than maxEntries. They fire with the older of them: early rather than late.
func (w *watch) join() {
	if len(w.entries) > maxEntries {
		w.entries[1].first, w.entries[1].sentMS, w.entries[1].at = w.entries[0].first, w.entries[0].sentMS, w.entries[0].at
		w.entries = slices.Delete(w.entries, 0, 1)
	}
}

// trim drops the entries that are acked, and those for which every step has fired.
func (w *watch) trim() {
	done := w.acked
	done = max(done, slices.Min(w.fired))
	n := 0
	for n < len(w.entries) && w.entries[n].last <= done {
		n++
	}
	w.entries = slices.Delete(w.entries, 0, n)
}

// next returns when the first step is due.
func (w *watch) next() int64 {
	due := int64(never)
	for i, fired := range w.fired {
		for _, e := range w.entries {
			if e.last > fired {
				due = min(due, e.at+w.steps[i].After.Milliseconds())
				break
			}
		}
	}
	return due
}

// over tells that the watch can be forgotten: everything is acked, or the conversation is closed with nothing to fire and nothing to cancel. That of an
// open conversation is kept until then, because it knows for which messages everything has fired.
func (w *watch) over() bool {
	return w.acked >= w.last || w.closed && len(w.entries) == 0 && len(w.queued) == 0
}

// check verifies the invariants that concern the watch alone.
func (w *watch) check() error {
	if w.over() {
		return errors.New("invariant 4: it is over")
	}
	done, before, at := max(w.acked, slices.Min(w.fired)), uint64(0), int64(math.MinInt64)
	for _, e := range w.entries {
		if e.first <= before || e.last < e.first || e.last > w.last || e.last <= done || e.at < at {
			return fmt.Errorf("invariant 1: entry %+v after %d, of which %d are done", e, before, done)
		}
		before, at = e.last, e.at
	}
	if len(w.entries) > maxEntries || len(w.queued) > maxQueued {
		return fmt.Errorf("%d entries and %d notifications", len(w.entries), len(w.queued))
	}
	if len(w.fired) != len(w.steps) || slices.Max(w.fired) > w.last {
		return fmt.Errorf("invariant 2: fired %v, sent %d", w.fired, w.last)
	}
	for _, n := range w.queued {
		if n.step < 0 || n.step >= len(w.steps) || n.first > n.last || n.first <= w.acked || n.last > w.fired[n.step] {
			return fmt.Errorf("invariant 2: notification %+v, acked %d, fired %v", n, w.acked, w.fired)
		}
	}
	if w.due != w.next() {
		return fmt.Errorf("invariant 3: due %d, want %d", w.due, w.next())
	}
	return nil
}

// queue is a heap of watches, what is due first at the top; by key among equals, so that the order does not depend on chance. It implements
// heap.Interface.
type queue []*watch

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.due != b.due {
		return a.due < b.due
	}
	if c := slices.Compare(a.conv[:], b.conv[:]); c != 0 {
		return c < 0
	}
	return a.user < b.user
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push and Pop are for package heap.
func (q *queue) Push(x any) {
	w := x.(*watch)
	w.index = len(*q)
	*q = append(*q, w)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	w.index = -1
	return w
}
