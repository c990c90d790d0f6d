package desk

import (
	"math"
	"time"
)

// Hours tells when a group is open; *hours.Hours is one.
type Hours interface {
	Open(at time.Time) bool
	Next(at time.Time) (opens, closes time.Time) // opens: at if it is open then; the zero time if it never is again
}

// Outside is what becomes of who comes to a group while it is closed. Who came before it closed is served as ever.
type Outside string

// The ways.
const (
	OutsideRefuse   Outside = "refuse"   // it is refused; the default without a fallback
	OutsideFallback Outside = "fallback" // the fallback gets it; the default with one
	OutsideQueue    Outside = "queue"    // it waits until the group opens, unless somebody claims it
)

// never is when a group opens that never does.
const never = math.MaxInt64

// opensFor is when the group opens for who came at a time: 0 if it was open then, or has opened since. So it takes no more than the time of
// a conversation to tell, after a restart too, whether it waits for that. Who came in the future, by a clock that was set back since, comes now.
func (g *group) opensFor(atMS, now int64) int64 {
	at := time.UnixMilli(min(atMS, now))
	if g.cfg.Hours == nil || g.cfg.Hours.Open(at) {
		return 0
	}
	opens, _ := g.cfg.Hours.Next(at)
	switch {
	case opens.IsZero():
		return never
	case opens.UnixMilli() <= now:
		return 0
	}
	return opens.UnixMilli()
}

// tooEarly tells whether nobody gets the conversation in its present group before that opens.
func (d *Desk) tooEarly(c *conversation) bool { return c.group.opensFor(c.atMS, d.now) != 0 }

// waitForOpening puts a conversation that is in its group's queue where agents do not find it. All who wait there do so for the same moment:
// the group was closed since the first of them came.
func (d *Desk) waitForOpening(c *conversation, opensMS int64) {
	c.early = true
	c.lane.early++
	c.group.early.insert(&c.inLane)
	if opensMS != never {
		d.set(&c.group.opening, opensMS)
	}
}

// stopWaitingForOpening takes it out there.
func (d *Desk) stopWaitingForOpening(c *conversation) {
	g := c.group
	c.early = false
	c.lane.early--
	if g.early.remove(&c.inLane); g.early.len() == 0 {
		d.set(&g.opening, 0)
	}
}

// open lets those who waited for it have agents, in their order.
func (d *Desk) open(g *group) {
	for n := g.early.first(); n != nil; n = g.early.first() {
		c := n.value
		d.stopWaitingForOpening(c)
		d.waitForAgent(c)
		if c.past.waitsBecause() == OutOfHours {
			c.explainWaiting(NobodyFree)
		}
		if s := c.lane.best(c); s != nil && g.cfg.Strategy != Manual {
			d.assignQueued(c, s.agent, NextInQueue)
			d.offer(s.agent)
		}
	}
}

// opensMS is when a conversation that waits for its group to open may have an agent; 0: it waits for nothing of the kind, or for ever.
func (c *conversation) opensMS() int64 {
	if !c.early {
		return 0
	}
	return c.group.opening.atMS
}
