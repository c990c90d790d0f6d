package desk

import "github.com/switchyard-im/switchyard/frame"

// Timer is what happens when nobody writes for a time. Zero times are off.
type Timer struct {
	WarnMS  int64  // after this time there is a warning
	AfterMS int64  // after this time, counted from the same moment, Then
	Then    Action // default: requeue when the agent is late, close when the visitor is
}

// Action is what a timer does at its end.
type Action string

// The actions.
const (
	Requeue      Action = "requeue" // back to the front of the queue, for another agent
	CloseQuietly Action = "close"
)

// Waits is what a conversation that has an agent waits for.
type Waits uint8

// What it may wait for.
const (
	Nothing    Waits = iota // not known (after a restart), or held
	FirstReply              // the agent, since it was assigned
	Agent                   // the agent, since the visitor's first message that has no answer
	Visitor                 // the visitor, since the agent's last message
)

// After is what a conversation waits for when somebody has written; while the agent is waited for, the visitor changes nothing.
func (w Waits) After(byAgent bool) Waits {
	switch {
	case byAgent:
		return Visitor
	case w == FirstReply:
		return FirstReply
	}
	return Agent
}

// Served is what a conversation that is restored has beside its request.
type Served struct {
	Agent   string // empty: it is queued
	Front   bool   // it waits before others
	Waits   Waits
	SinceMS int64 // its timer goes on from here
	Warned  bool
}

// Wrote tells that the visitor or the agent wrote a message, while its shard had it with this agent: if another one was given it since, that one's
// timers go on.
func (d *Desk) Wrote(conv frame.ID, agentName string, byAgent bool) {
	c := d.servedBy(conv, agentName)
	if c == nil {
		return
	}
	if w := c.waits.After(byAgent); byAgent || w != c.waits {
		d.wait(c, w)
	}
}

// Has tells whether the agent has the conversation.
func (d *Desk) Has(conv frame.ID, agentName string) bool { return d.servedBy(conv, agentName) != nil }

// servedBy returns the conversation if the agent has it, else nil.
func (d *Desk) servedBy(conv frame.ID, agentName string) *conversation {
	if c := d.convs[conv]; c != nil && c.agent != nil && c.agent.name == agentName {
		return c
	}
	return nil
}

// Hold stops the timers of an agent's conversation until somebody writes, or until Hold is called with false; a visitor then waits for the agent.
func (d *Desk) Hold(conv frame.ID, agentName string, on bool) {
	c := d.servedBy(conv, agentName)
	switch {
	case c == nil:
	case on:
		d.wait(c, Nothing)
	case c.waits == Nothing:
		d.wait(c, Agent)
	}
}

// wait starts the timer of what the conversation waits for from now on.
func (d *Desk) wait(c *conversation, w Waits) {
	c.waits, c.sinceMS, c.warned = w, d.now, false
	d.schedule(c)
}

// schedule sets the deadline to what the conversation waits for.
func (d *Desk) schedule(c *conversation) {
	if at := c.dueMS(); at != 0 || c.rare != nil {
		d.set(&c.rares().deadline, at)
	}
}

// dueMS is when something happens to the conversation unless something else does before; 0: never.
func (c *conversation) dueMS() int64 {
	if c.agent == nil {
		if c.rare == nil {
			return 0
		}
		return c.rare.avoidMS
	}
	t := c.timer()
	switch {
	case t.WarnMS > 0 && !c.warned:
		return c.sinceMS + t.WarnMS
	case t.AfterMS > 0:
		return c.sinceMS + t.AfterMS
	}
	return 0
}

func (c *conversation) timer() Timer {
	switch c.waits {
	case FirstReply:
		return c.group.cfg.FirstReply
	case Agent:
		return c.group.cfg.IdleAgent
	case Visitor:
		return c.group.cfg.IdleVisitor
	}
	return Timer{}
}

// late is the reason that goes with each.
var late = [...]Reason{FirstReply: NoFirstReply, Agent: AgentIdle, Visitor: VisitorIdle}

// expired does what the deadline was for.
func (d *Desk) expired(c *conversation) {
	t := c.timer()
	switch {
	case c.agent == nil:
		d.stopAvoiding(c)
	case t.WarnMS > 0 && !c.warned:
		c.warned = true
		d.emit(Warn, c, late[c.waits])
		d.schedule(c)
	case t.Then == CloseQuietly:
		c.sinceMS = d.now // until the shard has closed it, it is asked again
		d.emit(Close, c, late[c.waits])
		d.schedule(c)
	default:
		c.avoid(c.agent.name, 0)
		d.requeue(c, late[c.waits])
	}
}

// stopAvoiding lets a conversation that still waits go to the agent it was taken from, if there is nobody else.
func (d *Desk) stopAvoiding(c *conversation) {
	a := d.agents[c.avoids()]
	c.avoid("", 0)
	d.schedule(c)
	if a != nil {
		d.fill(a)
	}
}
