package desk

import (
	"cmp"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// tick does what is due, one after the other: agents before conversations, by name.
func (o *obvious) tick(now int64) {
	o.now = now
	for {
		var agent *plainAgent
		group := ""
		var conv *plainConv
		due := now + 1
		for _, c := range o.convs {
			if at := o.due(c); at != 0 && (at < due || at == due && conv != nil && c.name < conv.name) {
				due, conv = at, c
			}
		}
		for _, a := range o.agents {
			if at := a.graceAt; at != 0 && (at < due || at == due && at <= now && (agent == nil || a.name < agent.name)) {
				due, agent = at, a
			}
		}
		for name, at := range o.openings {
			if at <= now && (at < due || at == due && agent == nil && (group == "" || name < group)) {
				due, agent, group = at, nil, name
			}
		}
		switch {
		case agent != nil:
			o.gone(agent)
		case group != "":
			o.opening(group)
		case conv != nil:
			o.late(conv)
		default:
			return
		}
		o.forgetAgents()
		o.forgetOpenings()
	}
}

func (o *obvious) gone(a *plainAgent) {
	a.graceAt = 0
	var theirs []*plainConv
	for _, c := range o.convs {
		if c.agent == a.name {
			theirs = append(theirs, c)
		}
	}
	slices.SortFunc(theirs, func(x, y *plainConv) int {
		if o.before(x, y) {
			return -1
		}
		return 1
	})
	for _, c := range theirs {
		o.requeue(c, AgentGone)
	}
}

// grace starts the time of who is gone, or ends that of who is not.
func (o *obvious) grace() {
	for _, a := range o.agents {
		if a.up || o.cfg.OfflineGraceMS == 0 {
			a.graceAt = 0
		} else if a.graceAt == 0 && o.load(a) > 0 {
			a.graceAt = o.now + o.cfg.OfflineGraceMS
		}
	}
}

func (o *obvious) timer(c *plainConv) Timer {
	g := o.cfg.Groups[c.Group]
	return []Timer{{}, g.FirstReply, g.IdleAgent, g.IdleVisitor}[c.waits]
}

func (o *obvious) due(c *plainConv) int64 {
	t := o.timer(c)
	switch {
	case c.agent == "":
		return c.avoidUntil
	case t.WarnMS > 0 && !c.warned:
		return c.since + t.WarnMS
	case t.AfterMS > 0:
		return c.since + t.AfterMS
	}
	return 0
}

func (o *obvious) late(c *plainConv) {
	why := []Reason{"", NoFirstReply, AgentIdle, VisitorIdle}[c.waits]
	t := o.timer(c)
	switch then := cmp.Or(t.Then, []Action{"", Requeue, Requeue, CloseQuietly}[c.waits]); {
	case c.agent == "":
		a := o.find(c.avoid)
		c.avoid, c.avoidUntil = "", 0
		if a != nil {
			o.fill(a)
		}
	case t.WarnMS > 0 && !c.warned:
		c.warned = true
		o.say(Warn, c, why)
	case then == CloseQuietly:
		c.since = o.now
		o.say(Close, c, why)
	default:
		c.avoid = c.agent
		o.requeue(c, why)
	}
}

func (o *obvious) wrote(name, of string, byAgent bool) {
	c := o.conv(name)
	if c == nil || c.agent == "" || of != "" && of != c.agent {
		return
	}
	if byAgent {
		c.waits, c.since, c.warned = Visitor, o.now, false
	} else if c.waits == Visitor || c.waits == Nothing {
		c.waits, c.since, c.warned = Agent, o.now, false
	}
}

func (o *obvious) hold(name, of string, on bool) {
	c := o.conv(name)
	if c == nil || c.agent == "" || of != "" && of != c.agent {
		return
	}
	if on {
		c.waits, c.warned = Nothing, false
	} else if c.waits == Nothing {
		c.waits, c.since, c.warned = Agent, o.now, false
	}
}

// requeue takes it from its agent; somebody else may get it at once.
func (o *obvious) requeue(c *plainConv, why Reason) {
	from := o.leave(c)
	c.front = true
	o.place(c, why)
	o.refill(from)
}

// leave takes it from the agent it has, if it has one.
func (o *obvious) leave(c *plainConv) *plainAgent {
	a := o.find(c.agent)
	if a != nil {
		a.sinceTick = int(o.now)
	}
	c.agent, c.waits, c.early = "", Nothing, false
	return a
}

func (o *obvious) refill(a *plainAgent) {
	if a != nil {
		o.fill(a)
	}
}

func (o *obvious) place(c *plainConv, why Reason) {
	if list := o.candidates(c); len(list) > 0 {
		o.note(c, why, list[0], list)
		o.give(c, list[0], why)
		return
	}
	if c.avoid != "" {
		c.avoidUntil = o.now + cmp.Or(o.cfg.Groups[c.Group].AvoidMS, 60_000)
	}
	o.queue(c, why)
	o.say(Queue, c, why)
}

func (o *obvious) transfer(name string, t Target) {
	c := o.conv(name)
	var err error
	switch {
	case c == nil:
		err = ErrUnknown
	case t.Agent != "":
		err = o.transferToAgent(c, cmp.Or(t.Group, c.Group), o.find(t.Agent))
	default:
		err = o.transferToGroup(c, cmp.Or(t.Group, c.Group), t.Front)
	}
	if err != nil {
		o.out = append(o.out, err.Error())
	}
}

func (o *obvious) transferToAgent(c *plainConv, group string, a *plainAgent) error {
	switch {
	case a == nil || !a.up:
		return ErrAbsent
	case a.name == c.Visitor:
		return ErrOwn
	case !slices.Contains(a.Groups, group):
		return ErrForeign
	case c.agent == a.name:
		if c.Group == group {
			o.say(Assign, c, Transferred)
			return nil
		}
	case a.status != frame.AgentOnline:
		return ErrAway
	case o.load(a) >= o.capacity(a):
		return ErrFull
	}
	from := o.leave(c)
	c.Group = group
	var named []*plainAgent
	if o.skilled(a, c) {
		named = []*plainAgent{a}
	}
	o.note(c, Transferred, a, named)
	o.give(c, a, Transferred)
	o.refill(from)
	return nil
}

func (o *obvious) transferToGroup(c *plainConv, group string, front bool) error {
	avoid := cmp.Or(c.agent, c.avoid)
	probe := *c
	probe.Group, probe.avoid = group, avoid
	if !front {
		probe.AtMS = o.now
	}
	most := o.cfg.Groups[group].MaxQueue
	waitsThere := c.agent == "" && c.Group == group
	if most > 0 && o.waiting(group) >= most && !waitsThere && len(o.candidates(&probe)) == 0 {
		return ErrQueueFull
	}
	from := o.leave(c)
	c.Group, c.avoid, c.front = group, avoid, front
	if !front {
		c.AtMS = o.now
	}
	o.place(c, Transferred)
	o.refill(from)
	return nil
}
