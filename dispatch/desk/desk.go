// Package desk decides which agent takes which conversation: a pure state machine (events in, assignments out; no clock, no I/O, no
// goroutine). One goroutine of package dispatch owns it, because an agent may serve many groups and its capacity is counted
// once. The conversations themselves belong to the shards: the desk's memory is built from their records at start, and every
// assignment becomes true only when the conversation's shard has written it.
package desk

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Assignment asks the conversation's shard to give it to the agent.
type Assignment struct {
	Conv   frame.ID
	Agent  string
	Reason Reason
}

// Reason tells why this agent got the conversation now.
type Reason string

// The reasons.
const (
	LeastActive Reason = "least_active"  // it was just opened, and of the free agents this one serves fewest
	NextInQueue Reason = "next_in_queue" // it waited longest, and the agent became free
)

// Desk holds queues and agents. Not safe for concurrent use.
//
// Invariants, checked by Check:
//  1. An agent's load is the number of conversations that name it.
//  2. No assignment was made beyond an agent's capacity (a lowered capacity or a restart may leave more).
//  3. A conversation is either in its group's queue or has an agent.
//  4. Where a group's queue is not empty, no agent of the group could take its head.
type Desk struct {
	defaultCapacity int
	agents          map[string]*agent
	groups          map[string]*group
	convs           map[frame.ID]*conversation
	decisions       uint64 // counts assignments: who had none for longest goes first among equals
	out             []Assignment
}

type agent struct {
	name     string
	groups   []string
	up       bool // has a device
	status   frame.AgentStatus
	capacity int // of the token or of its status; 0: the default
	load     int
	last     uint64 // decisions when it was last given one
}

type group struct {
	queue  queue
	agents []*agent // whose token names this group, connected or not
}

type conversation struct {
	id      frame.ID
	group   string
	visitor string
	atMS    int64
	agent   *agent
	reason  Reason // of the assignment; empty after a restart
	index   int    // in the queue; -1: not queued
}

// New makes an empty desk; defaultCapacity is for agents whose token and status name none.
func New(defaultCapacity int) *Desk {
	return &Desk{
		defaultCapacity: defaultCapacity,
		agents:          make(map[string]*agent), groups: make(map[string]*group), convs: make(map[frame.ID]*conversation),
	}
}

// Take returns what was decided since the last call; it is borrowed until the next event.
func (d *Desk) Take() []Assignment {
	out := d.out
	d.out = d.out[:0]
	return out
}

// Opened tells that a conversation needs an agent, since atMS. A conversation that the desk believes assigned is assigned to the same agent
// again: its shard did not keep the assignment.
func (d *Desk) Opened(conv frame.ID, group, visitor string, atMS int64) {
	if c := d.convs[conv]; c != nil {
		if c.agent != nil {
			d.out = append(d.out, Assignment{Conv: conv, Agent: c.agent.name, Reason: c.reason})
		}
		return
	}
	c := &conversation{id: conv, group: group, visitor: visitor, atMS: atMS, index: -1}
	d.convs[conv] = c
	g := d.group(group)
	if a := d.best(g, visitor); a != nil {
		d.assign(c, a, LeastActive)
		return
	}
	heap.Push(&g.queue, c)
}

// Restore puts back a conversation that was not closed when the server stopped; agent is empty if it was queued. Nobody is online yet.
func (d *Desk) Restore(conv frame.ID, group, visitor, agentName string, atMS int64) {
	c := &conversation{id: conv, group: group, visitor: visitor, atMS: atMS, index: -1}
	d.convs[conv] = c
	if agentName == "" {
		heap.Push(&d.group(group).queue, c)
		return
	}
	c.agent = d.agent(agentName)
	c.agent.load++
}

// Closed tells that a conversation needs nobody any more.
func (d *Desk) Closed(conv frame.ID) {
	c := d.convs[conv]
	if c == nil {
		return
	}
	delete(d.convs, conv)
	if c.index >= 0 {
		heap.Remove(&d.group(c.group).queue, c.index)
		d.dropGroup(c.group)
		return
	}
	c.agent.load--
	d.fill(c.agent)
	d.dropAgent(c.agent)
}

// AgentUp tells that an agent has a device, or a new token.
func (d *Desk) AgentUp(name string, groups []string, capacity int) {
	a := d.agent(name)
	if !a.up {
		a.up, a.status = true, frame.AgentOnline
	}
	if capacity > 0 {
		a.capacity = capacity
	}
	d.setGroups(a, groups)
	d.fill(a)
}

// AgentDown tells that an agent's last device is gone: it gets nothing new, and keeps what it has.
func (d *Desk) AgentDown(name string) {
	a := d.agents[name]
	if a == nil {
		return
	}
	a.up = false
	d.setGroups(a, nil)
	d.dropAgent(a)
}

// Status tells what an agent says of itself; capacity 0 keeps the last.
func (d *Desk) Status(name string, status frame.AgentStatus, capacity int) {
	a := d.agents[name]
	if a == nil {
		return
	}
	a.status = status
	if capacity > 0 {
		a.capacity = capacity
	}
	d.fill(a)
}

// best returns the least active agent of the group that may take one more, nil if there is none. An agent does not serve itself.
func (d *Desk) best(g *group, visitor string) *agent {
	var best *agent
	for _, a := range g.agents {
		if !d.free(a) || a.name == visitor {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(a.load, best.load), cmp.Compare(a.last, best.last), cmp.Compare(a.name, best.name)) < 0 {
			best = a
		}
	}
	return best
}

// free tells whether the agent may take one more.
func (d *Desk) free(a *agent) bool {
	return a.up && a.status == frame.AgentOnline && a.load < d.capacity(a)
}

func (d *Desk) capacity(a *agent) int { return cmp.Or(a.capacity, d.defaultCapacity) }

// fill gives a free agent what has waited longest in its groups, until it is full.
func (d *Desk) fill(a *agent) {
	for d.free(a) {
		var next *conversation
		for _, name := range a.groups {
			g := d.groups[name]
			if c := g.queue.first(a.name); c != nil && (next == nil || older(c, next)) {
				next = c
			}
		}
		if next == nil {
			return
		}
		heap.Remove(&d.groups[next.group].queue, next.index)
		d.assign(next, a, NextInQueue)
	}
}

func (d *Desk) assign(c *conversation, a *agent, why Reason) {
	d.decisions++
	c.agent, c.reason = a, why
	a.load, a.last = a.load+1, d.decisions
	d.out = append(d.out, Assignment{Conv: c.id, Agent: a.name, Reason: why})
}

// setGroups makes the agent a member of just these groups.
func (d *Desk) setGroups(a *agent, groups []string) {
	for _, name := range a.groups {
		g := d.groups[name]
		g.agents = slices.DeleteFunc(g.agents, func(b *agent) bool { return b == a })
		d.dropGroup(name)
	}
	a.groups = nil
	for _, name := range groups {
		if slices.Contains(a.groups, name) {
			continue
		}
		g := d.group(name)
		g.agents = append(g.agents, a)
		a.groups = append(a.groups, name)
	}
}

func (d *Desk) agent(name string) *agent {
	a := d.agents[name]
	if a == nil {
		a = &agent{name: name}
		d.agents[name] = a
	}
	return a
}

func (d *Desk) group(name string) *group {
	g := d.groups[name]
	if g == nil {
		g = &group{}
		d.groups[name] = g
	}
	return g
}

// dropAgent forgets an agent that is gone and serves nobody.
func (d *Desk) dropAgent(a *agent) {
	if !a.up && a.load == 0 {
		delete(d.agents, a.name)
	}
}

// dropGroup forgets a group that nobody is in.
func (d *Desk) dropGroup(name string) {
	if g := d.groups[name]; len(g.agents) == 0 && len(g.queue) == 0 {
		delete(d.groups, name)
	}
}
