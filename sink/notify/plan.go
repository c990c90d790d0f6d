package notify

import (
	"container/heap"
	"fmt"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// plan says what of a lane to send next. It is pure: no clock, no goroutine; the lane owns it.
//
// It holds the first few notices of at most maxConvs conversations, not their bodies. A conversation is in one of these states:
//
//	due      in the heap, by the time of its first notice
//	busy     taken, its first notices are being sent or settled
//
// Invariants, checked by check:
//
//  1. Of each conversation the notices are held from the first that waits on, without a hole, in ascending order.
//  2. What was read (up to cursor) and is not settled is either held or behind the more of its conversation.
//  3. A conversation holds at least one notice and at most perConv.
//  4. Exactly those that are not busy are in the heap.
type plan struct {
	maxConvs, perConv int // fixed

	convs  map[convKey]*conversation
	due    dueHeap
	cursor uint64 // up to here the lane was read
}

// convKey is a conversation; a notice that belongs to none is one of its own.
type convKey struct {
	conv   frame.ID
	number uint64 // 0, but for a notice without a conversation
}

type conversation struct {
	key   convKey
	items []item
	more  uint64 // the first that was read and is not held; 0: none
	busy  bool
	place int // in the heap, if it is not busy
}

// item is a notice without its body.
type item struct {
	number   uint64
	dueMS    uint64
	attempts int
	bytes    int // of its body
}

func newPlan(maxConvs, perConv int) *plan {
	return &plan{maxConvs: maxConvs, perConv: perConv, convs: map[convKey]*conversation{}}
}

func keyOf(conv frame.ID, number uint64) convKey {
	if conv.IsZero() {
		return convKey{number: number}
	}
	return convKey{conv: conv}
}

// add takes the next notice of the lane; false: there is no room for its conversation, so it was not read.
func (p *plan) add(conv frame.ID, it item) bool {
	key := keyOf(conv, it.number)
	c := p.convs[key]
	switch {
	case c == nil && len(p.convs) >= p.maxConvs:
		return false
	case c == nil:
		c = &conversation{key: key, items: []item{it}}
		p.convs[key] = c
		heap.Push(&p.due, c)
	case c.more != 0:
	case len(c.items) == p.perConv:
		c.more = it.number
	default:
		c.items = append(c.items, it)
	}
	p.cursor = it.number
	return true
}

// next takes the conversation that is due first, if one is due by now; it is busy until release.
func (p *plan) next(nowMS uint64) *conversation {
	if len(p.due) == 0 || p.due[0].items[0].dueMS > nowMS {
		return nil
	}
	c := heap.Pop(&p.due).(*conversation)
	c.busy = true
	return c
}

// nextDue is when the next conversation is due; false if none will be.
func (p *plan) nextDue() (ms uint64, ok bool) {
	if len(p.due) == 0 {
		return 0, false
	}
	return p.due[0].items[0].dueMS, true
}

// oldest takes the conversation whose first notice has waited longest; nil if all are busy.
func (p *plan) oldest() *conversation {
	if len(p.due) == 0 {
		return nil
	}
	c := slices.MinFunc(p.due, func(a, b *conversation) int {
		if a.items[0].number < b.items[0].number {
			return -1
		}
		return 1
	})
	heap.Remove(&p.due, c.place)
	c.busy = true
	return c
}

// settled takes the first n notices of a busy conversation out. The conversation must be released, after a refill if it says so.
func (p *plan) settled(c *conversation, n int) (refill bool) {
	c.items = slices.Delete(c.items, 0, n)
	return len(c.items) == 0 && c.more != 0
}

// again puts off the first n notices of a busy conversation, which were tried so often since it was taken.
func (p *plan) again(c *conversation, n int, dueMS uint64, tried int) {
	for i := range n {
		c.items[i].dueMS = dueMS
		c.items[i].attempts += tried
	}
}

// refill gives a busy conversation, of which nothing is held, what follows; more is the first that is not given.
func (p *plan) refill(c *conversation, items []item, more uint64) {
	c.items, c.more = items, more
}

// release ends that a conversation is busy.
func (p *plan) release(c *conversation) {
	c.busy = false
	if len(c.items) == 0 {
		delete(p.convs, c.key)
		return
	}
	heap.Push(&p.due, c)
}

// check verifies the invariants that can be seen without the lane.
func (p *plan) check() error {
	if len(p.convs) > p.maxConvs {
		return fmt.Errorf("%d conversations, more than %d", len(p.convs), p.maxConvs)
	}
	free := 0
	for key, c := range p.convs {
		if c.key != key || len(c.items) == 0 && !c.busy || len(c.items) > p.perConv {
			return fmt.Errorf("conversation %v holds %d notices", key, len(c.items))
		}
		last := uint64(0)
		for _, it := range c.items {
			if it.number <= last || it.number > p.cursor {
				return fmt.Errorf("conversation %v has %d after %d, read to %d", key, it.number, last, p.cursor)
			}
			last = it.number
		}
		if c.more != 0 && c.more <= last {
			return fmt.Errorf("conversation %v holds %d, and %d is not held", key, last, c.more)
		}
		if c.busy {
			continue
		}
		free++
		if c.place >= len(p.due) || p.due[c.place] != c {
			return fmt.Errorf("conversation %v is not in the heap", key)
		}
	}
	if free != len(p.due) {
		return fmt.Errorf("%d conversations are not busy, %d are in the heap", free, len(p.due))
	}
	return nil
}

// dueHeap orders conversations by when their first notice is due, then by its number.
type dueHeap []*conversation

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	a, b := h[i].items[0], h[j].items[0]
	if a.dueMS != b.dueMS {
		return a.dueMS < b.dueMS
	}
	return a.number < b.number
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *dueHeap) Push(c any) {
	c.(*conversation).place = len(*h)
	*h = append(*h, c.(*conversation))
}

func (h *dueHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
