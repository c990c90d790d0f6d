package desk

import "github.com/switchyard-im/switchyard/frame"

// Request is what the desk has to know of a conversation.
type Request struct {
	Conv     frame.ID
	Group    string
	Visitor  string
	AtMS     int64 // since when it waits
	Priority int   // higher goes first, as if it had waited longer; see GroupConfig.AgeMS
	Need     Need
}

type conversation struct {
	id       frame.ID
	group    *group
	visitor  string
	need     Need
	priority int
	atMS     int64
	rankMS   int64 // its place in the queue: atMS, earlier by what its priority counts
	front    bool  // before all that are not
	agent    *agent
	slot     int        // in the agent's list
	reason   Reason     // of the assignment; empty after a restart
	lane     *lane      // while it is placed
	decided  []Decision // the latest
	avoid    string     // agent it was taken from; it does not go back there before avoidMS, if it waits
	avoidMS  int64
	waits    Waits // since sinceMS, if it has an agent
	sinceMS  int64
	warned   bool
	deadline deadline
	told     int // the place that the visitor was told of last; 0: none
	inGroup  node[*conversation]
	inLane   node[*conversation]
}

// Opened tells that a conversation needs an agent. A conversation that the desk believes assigned is assigned to the same agent again: its
// shard did not keep the assignment.
func (d *Desk) Opened(r Request) {
	if c := d.convs[r.Conv]; c != nil {
		if c.agent != nil {
			d.emit(Assign, c, c.reason)
		}
		return
	}
	c := d.add(r)
	why := NobodyFree
	for {
		if d.assignBest(c, "") {
			return
		}
		if d.enqueue(c, why, false) {
			break
		}
		why = QueueFull
		next := c.group.cfg.Fallback
		if next == "" {
			d.emit(Refuse, c, QueueFull)
			d.forget(c)
			return
		}
		d.moveTo(c, next)
	}
	if c.group.name != r.Group {
		d.emit(Queue, c, why)
	}
}

// Restore puts back a conversation that was not closed when the server stopped. Nobody is online yet: the grace of agents begins now, the other
// timers go on.
func (d *Desk) Restore(r Request, s Served) {
	c := d.add(r)
	if s.Agent == "" {
		d.enqueue(c, Restarted, true)
		return
	}
	a := d.agent(s.Agent)
	c.give(a)
	c.waits, c.sinceMS, c.warned = s.Waits, s.SinceMS, s.Warned
	d.schedule(c)
	d.startGrace(a)
}

// Closed tells that a conversation needs nobody any more.
func (d *Desk) Closed(conv frame.ID) {
	c := d.convs[conv]
	if c == nil {
		return
	}
	a := c.agent
	if a != nil {
		d.Remember(c.group.name, c.visitor, a.name, d.now)
	}
	d.leavePlace(c)
	d.forget(c)
	d.refill(a)
}

func (d *Desk) add(r Request) *conversation {
	c := &conversation{id: r.Conv, visitor: r.Visitor, need: r.Need, priority: r.Priority, atMS: r.AtMS}
	c.inGroup.value, c.inLane.value, c.deadline.conv = c, c, c
	d.convs[r.Conv] = c
	d.came++
	c.enter(d.group(r.Group))
	return c
}

// enter makes the conversation one of the group's.
func (c *conversation) enter(g *group) {
	c.group = g
	c.rank()
	g.convs++
}

func (c *conversation) rank() { c.rankMS = c.atMS - int64(c.priority)*c.group.cfg.AgeMS }

func (d *Desk) moveTo(c *conversation, group string) {
	from := c.group
	from.convs--
	c.enter(d.group(group))
	d.dropGroup(from)
}

func (d *Desk) forget(c *conversation) {
	delete(d.convs, c.id)
	d.set(&c.deadline, 0)
	d.went++
	c.group.convs--
	d.dropGroup(c.group)
}

// give makes the agent serve the conversation. Not while the agent is offered.
func (c *conversation) give(a *agent) {
	c.agent, c.slot = a, len(a.convs)
	a.convs = append(a.convs, c)
}

// take takes the conversation from its agent, who is not offered until it is filled.
func (d *Desk) take(c *conversation) {
	a := c.agent
	d.withdraw(a)
	last := a.convs[len(a.convs)-1]
	a.convs[c.slot], last.slot = last, c.slot
	a.convs[len(a.convs)-1] = nil
	a.convs = a.convs[:len(a.convs)-1]
	a.sinceMS, c.agent = d.now, nil
}
