package desk

import (
	"bytes"
	"cmp"
)

// queue is a heap of waiting conversations, the one that has waited longest first. It implements heap.Interface.
type queue []*conversation

// older tells whether a goes before b: by time, then by id, so that the order does not depend on chance.
func older(a, b *conversation) bool {
	return cmp.Or(cmp.Compare(a.atMS, b.atMS), bytes.Compare(a.id[:], b.id[:])) < 0
}

// first returns the conversation that has waited longest and is not the agent's own, nil if there is none. Only an agent who is also a
// visitor makes it look past the top.
func (q queue) first(agent string) *conversation {
	if len(q) == 0 {
		return nil
	}
	if q[0].visitor != agent {
		return q[0]
	}
	var next *conversation
	for _, c := range q {
		if c.visitor != agent && (next == nil || older(c, next)) {
			next = c
		}
	}
	return next
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return older(q[i], q[j]) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push and Pop are for package heap.
func (q *queue) Push(x any) {
	c := x.(*conversation)
	c.index = len(*q)
	*q = append(*q, c)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	c.index = -1
	return c
}
