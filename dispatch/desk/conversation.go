package desk

import "github.com/switchyard-im/switchyard/frame"

// Request is what the desk has to know of a conversation.
type Request struct {
	Conv     frame.ID
	Group    string
	Visitor  string
	AtMS     int64 // since when it waits
	Priority int   // fits 32 bits; higher goes first, as if it had waited longer; see GroupConfig.AgeMS
	Need     Need
	Life     uint32 // how often it was opened, for who has to tell what was decided about which; it comes back in the effects
}

// conversation is one that is open. There may be very many that just wait, so what few have hangs off pointers.
type conversation struct {
	id       frame.ID
	group    *group
	visitor  string
	need     *Need  // noNeed if it asks for nothing
	agent    *agent // who serves it; nil: it waits
	lane     *lane  // while it is placed
	past     *past  // nil if it has none
	rare     *rare  // nil if it has none of it
	atMS     int64  // since when it waits
	sinceMS  int64  // since when it waits for what waits says
	slot     int32  // in the agent's list
	priority int32
	told     int32 // the place that the visitor was told of last; 0: none
	waits    Waits // if it has an agent
	warned   bool
	front    bool // before all that are not
	early    bool // it waits for the group to open: inLane is its place there, not in its lane
	inGroup  node[*conversation]
	inLane   node[*conversation]
}

// rare is what only conversations with timers have, those that were taken from somebody, and those that were opened again.
type rare struct {
	deadline deadline
	avoid    string // agent it was taken from; it does not go back there before avoidMS, if it waits
	avoidMS  int64
	life     uint32 // of the Request
}

var noNeed Need

// rankMS is the time by which it is queued: since when it waits, earlier by what its priority counts.
func (c *conversation) rankMS() int64 { return c.atMS - int64(c.priority)*c.group.cfg.AgeMS }

func (c *conversation) rares() *rare {
	if c.rare == nil {
		c.rare = &rare{}
		c.rare.deadline.conv = c
	}
	return c.rare
}

func (c *conversation) setLife(life uint32) {
	if c.rare != nil || life != 0 {
		c.rares().life = life
	}
}

func (c *conversation) life() uint32 {
	if c.rare == nil {
		return 0
	}
	return c.rare.life
}

// avoids names the agent who does not get it, empty if there is none.
func (c *conversation) avoids() string {
	if c.rare == nil {
		return ""
	}
	return c.rare.avoid
}

// avoid makes it not go to the agent until a time, if it waits; an empty name ends that.
func (c *conversation) avoid(agent string, untilMS int64) {
	if c.rare != nil || agent != "" {
		r := c.rares()
		r.avoid, r.avoidMS = agent, untilMS
	}
}

// Opened tells that a conversation needs an agent. What was decided about one that the desk has is decided again: its shard did not keep it.
func (d *Desk) Opened(r Request) {
	if c := d.convs[r.Conv]; c != nil {
		c.setLife(r.Life)
		if c.agent != nil {
			d.emit(Assign, c, c.past.lastReason())
		} else {
			d.emit(Queue, c, c.past.waitsBecause())
		}
		return
	}
	c := d.add(r)
	why, opensMS := d.admit(c, NobodyFree)
	for first := why; why != ""; why, _ = d.admit(c, first) {
		next := c.group.instead(why)
		if next == "" {
			d.refuse(c, first, opensMS)
			return
		}
		d.moveTo(c, next)
	}
	if c.queued() && (c.group.name != r.Group || c.early) {
		d.emit(Queue, c, c.past.waitsBecause())
	}
}

// admit gives a new conversation to an agent of its group, or puts it into its queue, for the reason waits. Else it tells why not, and when the group opens.
func (d *Desk) admit(c *conversation, waits Reason) (why Reason, opensMS int64) {
	opensMS = c.group.opensFor(c.atMS, d.now)
	switch {
	case opensMS != 0 && c.group.cfg.Outside != OutsideQueue:
		return OutOfHours, opensMS
	case d.assignBest(c, "") || d.enqueue(c, waits, false):
		return "", 0
	}
	return QueueFull, 0
}

// instead is the group that gets what this one does not take; empty: none does.
func (g *group) instead(why Reason) string {
	if why == OutOfHours && g.cfg.Outside == OutsideRefuse {
		return ""
	}
	return g.cfg.Fallback
}

func (d *Desk) refuse(c *conversation, why Reason, opensMS int64) {
	d.emit(Refuse, c, why)
	if opensMS != never {
		d.out[len(d.out)-1].OpensMS = opensMS
	}
	d.forget(c)
}

// Restore puts back a conversation that was not closed when the server stopped. Nobody is online yet: the grace of agents begins now, the other
// timers go on.
func (d *Desk) Restore(r Request, s Served) {
	c := d.add(r)
	if s.Agent == "" {
		c.front = s.Front
		d.enqueue(c, NobodyFree, true)
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
	c := &conversation{id: r.Conv, visitor: r.Visitor, need: &noNeed, priority: int32(r.Priority), atMS: r.AtMS}
	if n := r.Need; len(n.Required)+len(n.Preferred)+len(n.Language) > 0 {
		c.need = &n
	}
	c.setLife(r.Life)
	c.inGroup.value, c.inLane.value = c, c
	d.convs[r.Conv] = c
	d.came++
	c.enter(d.group(r.Group))
	return c
}

// enter makes the conversation one of the group's.
func (c *conversation) enter(g *group) {
	c.group = g
	g.convs++
}

func (d *Desk) moveTo(c *conversation, group string) {
	from := c.group
	from.convs--
	c.enter(d.group(group))
	d.dropGroup(from)
}

func (d *Desk) forget(c *conversation) {
	delete(d.convs, c.id)
	if c.rare != nil {
		d.set(&c.rare.deadline, 0)
	}
	d.went++
	c.group.convs--
	d.dropGroup(c.group)
}

// give makes the agent serve the conversation. Not while the agent is offered.
func (c *conversation) give(a *agent) {
	c.agent, c.slot = a, int32(len(a.convs))
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
