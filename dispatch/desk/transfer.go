package desk

import (
	"cmp"

	"github.com/switchyard-im/switchyard/frame"
)

// Target is where a conversation goes.
type Target struct {
	Group string // empty: the group it is in
	Agent string // an agent of that group, whatever its skills; empty: whoever the group chooses, but not the agent who has it now
	Front bool   // without a free agent: before all who wait there, else after them, as if it came now
}

// Transfer takes a conversation from its agent or its queue and puts it elsewhere, in one step: if that cannot be done, it stays where it is.
func (d *Desk) Transfer(conv frame.ID, t Target) error {
	c := d.convs[conv]
	if c == nil {
		return ErrUnknown
	}
	name := cmp.Or(t.Group, c.group.name)
	if t.Agent != "" {
		return d.transferToAgent(c, name, t.Agent)
	}
	return d.transferToGroup(c, name, t.Front)
}

// Return puts a conversation that the desk does not have to a target, in one step: if that cannot be done, the desk does not have it after it either.
func (d *Desk) Return(r Request, t Target) error {
	if d.convs[r.Conv] != nil {
		return d.Transfer(r.Conv, t)
	}
	c := d.add(r)
	d.enqueue(c, NobodyFree, true)
	err := d.Transfer(r.Conv, t)
	if err != nil {
		d.dequeue(c)
		d.forget(c)
	}
	return err
}

func (d *Desk) transferToAgent(c *conversation, group, agentName string) error {
	a := d.agents[agentName]
	if err := d.mayGet(c, group, a); err != nil {
		return err
	}
	from := c.agent
	if from == a && c.group.name == group {
		d.emit(Assign, c, Transferred) // for who asked
		return nil
	}
	l := d.lane(d.group(group), c.need, true)
	d.uproot(c)
	d.moveTo(c, group)
	c.lane = l
	d.record(c, Transferred, a, d.chosen(l, a))
	d.assign(c, a, Transferred)
	d.offer(a)
	d.refill(from)
	return nil
}

// mayGet tells whether an agent can be given a conversation by a person.
func (d *Desk) mayGet(c *conversation, group string, a *agent) error {
	switch {
	case a == nil || !a.up:
		return ErrAbsent
	case a.name == c.visitor:
		return ErrOwn
	case !a.serves(group):
		return ErrForeign
	case c.agent == a:
		return nil
	case a.status != frame.AgentOnline:
		return ErrAway
	case a.load() >= d.capacity(a):
		return ErrFull
	}
	return nil
}

func (a *agent) serves(group string) bool {
	for _, g := range a.groups {
		if g.name == group {
			return true
		}
	}
	return false
}

func (d *Desk) transferToGroup(c *conversation, group string, front bool) error {
	if c.agent != nil {
		c.avoid(c.agent.name, 0)
	}
	atMS := d.now
	if front {
		atMS = c.atMS
	}
	if !d.hasPlace(c, group, atMS) {
		if c.agent != nil {
			c.avoid("", 0)
		}
		return ErrQueueFull
	}
	from := d.uproot(c)
	d.moveTo(c, group)
	c.front, c.atMS = front, atMS
	d.place(c, Transferred)
	d.refill(from)
	return nil
}

// hasPlace tells whether the group has a free agent for the conversation if that counts as waiting since a time, or room in its queue.
func (d *Desk) hasPlace(c *conversation, group string, atMS int64) bool {
	g := d.group(group)
	defer d.dropGroup(g)
	l := d.lane(g, c.need, false)
	switch {
	case l == nil:
		return false
	case c.queued() && c.group == g || g.hasRoom():
		return true
	}
	return g.cfg.Strategy != Manual && g.opensFor(atMS, d.now) == 0 && l.best(c) != nil
}

// requeue takes the conversation from its agent and puts it to the front, for somebody else.
func (d *Desk) requeue(c *conversation, why Reason) {
	from := d.uproot(c)
	c.front = true
	d.place(c, why)
	d.refill(from)
}

// place gives a conversation that is nowhere to a free agent, else puts it into its group's queue even if that is full. For a time it avoids
// the agent that it was taken from.
func (d *Desk) place(c *conversation, why Reason) {
	if d.assignBest(c, why) {
		return
	}
	if a := c.avoids(); a != "" {
		c.avoid(a, d.now+c.group.cfg.AvoidMS)
	}
	d.enqueue(c, why, true)
	d.emit(Queue, c, why)
}

// uproot takes the conversation from its queue or its agent. The agent is free to be chosen for others, and to be refilled.
func (d *Desk) uproot(c *conversation) (from *agent) {
	from = c.agent
	d.leavePlace(c)
	if from != nil {
		d.offer(from)
	}
	return from
}

// leavePlace takes the conversation from its queue or its agent; the agent is to be refilled.
func (d *Desk) leavePlace(c *conversation) {
	if c.agent != nil {
		d.take(c)
		return
	}
	d.dequeue(c)
}

// refill gives an agent who lost a conversation another one.
func (d *Desk) refill(a *agent) {
	if a != nil {
		d.fill(a)
		d.dropAgent(a)
	}
}
