package desk

import (
	"bytes"
	"cmp"
	"slices"
)

// deadline is a place in the order of what is due. A conversation has one, because it waits for one thing at a time; an agent has one for
// its return, a group for its opening. Just one of conv, agent and group is there.
type deadline struct {
	node[*deadline]
	atMS  int64
	conv  *conversation
	agent *agent
	group *group
}

// compareDeadlines orders by time; at the same time agents go first, then groups, each kind by name.
func compareDeadlines(a, b *deadline) int {
	order := cmp.Compare(a.atMS, b.atMS)
	if order == 0 {
		order = cmp.Compare(a.kind(), b.kind())
	}
	switch {
	case order != 0:
		return order
	case a.agent != nil:
		return cmp.Compare(a.agent.name, b.agent.name)
	case a.group != nil:
		return cmp.Compare(a.group.name, b.group.name)
	}
	return bytes.Compare(a.conv.id[:], b.conv.id[:])
}

func (l *deadline) kind() int {
	switch {
	case l.agent != nil:
		return 0
	case l.group != nil:
		return 1
	}
	return 2
}

// set makes the deadline fall due at a time; 0: never.
func (d *Desk) set(l *deadline, atMS int64) {
	if l.in() {
		if l.atMS == atMS {
			return
		}
		d.due.remove(&l.node)
	}
	if l.value, l.atMS = l, atMS; atMS != 0 {
		d.due.insert(&l.node)
	}
}

// Tick tells the time, before the events that happen at it, and does what is due. A time before the last one counts as the last one.
// After a standstill everything that fell due meanwhile is due now, in its order.
func (d *Desk) Tick(nowMS int64) {
	d.now = max(d.now, nowMS)
	for n := d.due.first(); n != nil && n.value.atMS <= d.now; n = d.due.first() {
		switch l := n.value; {
		case l.agent != nil:
			d.agentGone(l.agent)
		case l.group != nil:
			d.open(l.group)
		default:
			d.expired(l.conv)
		}
	}
}

// Next returns when Tick has something to do: 0 if nothing is due ever.
func (d *Desk) Next() int64 {
	if n := d.due.first(); n != nil {
		return n.value.atMS
	}
	return 0
}

// agentGone puts what an agent served back to the front: it was away for the whole grace.
func (d *Desk) agentGone(a *agent) {
	d.set(&a.grace, 0)
	for _, c := range slices.SortedFunc(slices.Values(a.convs), before) {
		d.requeue(c, AgentGone)
	}
	d.dropAgent(a)
}
