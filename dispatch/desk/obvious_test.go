package desk

import (
	"cmp"
	"slices"
	"strings"

	"github.com/switchyard-im/switchyard/frame"
)

// obvious is the model: lists that are searched from the beginning, every order computed when it is asked for.
type obvious struct {
	cfg       Config
	now       int64
	agents    []*plainAgent
	convs     []*plainConv
	openings  map[string]int64 // of groups that somebody waits for
	last      []plainLast
	decisions int
	out       []string
}

type plainAgent struct {
	name                     string
	Profile                  // as of its last token
	up, manual               bool
	status                   frame.AgentStatus
	said, decided, sinceTick int // said: the capacity
	graceAt                  int64
}

type plainConv struct {
	Request
	name, agent       string
	avoid             string
	avoidUntil, since int64
	waits             Waits
	warned            bool
	reason, why       Reason
	decided           []string
	front, early      bool
}

type plainLast struct {
	group, visitor, agent string
	until                 int64
}

func newObvious(cfg Config) *obvious { return &obvious{cfg: cfg, openings: map[string]int64{}} }

func (o *obvious) apply(e scripted) []string {
	o.out = nil
	switch e.word(0) {
	case "open":
		o.open(e)
	case "close":
		o.close(e.word(1))
	case "up":
		o.up(o.agent(e.word(1)), profile(e))
	case "down":
		if a := o.find(e.word(1)); a != nil {
			a.up = false
		}
	case "status":
		o.setStatus(o.agent(e.word(1)), statuses[e.word(2)], e.option("capacity"))
	case "claim":
		o.claim(e.word(1), e.word(2))
	case "transfer":
		o.transfer(e.word(1), Target{Group: e.options["group"], Agent: e.options["agent"], Front: e.option("front") == 1})
	case "wrote":
		o.wrote(e.word(1), e.options["of"], e.word(2) == "agent")
	case "hold":
		o.hold(e.word(1), e.options["of"], e.word(2) == "on")
	case "tick":
		o.tick(e.number(1))
	}
	o.forgetAgents()
	o.forgetOpenings()
	o.grace()
	return o.out
}

func (o *obvious) say(kind Kind, c *plainConv, why Reason) {
	o.out = append(o.out, describe(kind, c.name, c.Group, c.agent, why, o.opens(c)))
}

// note records an assignment; from is whom it is chosen from.
func (o *obvious) note(c *plainConv, why Reason, agent *plainAgent, from []*plainAgent) {
	c.decided = append(c.decided, o.seen(c, Assign, why, agent, from))
	c.decided = c.decided[max(0, len(c.decided)-4):]
}

// explained is what it has to say of the conversation: the assignments as they were, and the waiting as it is.
func (o *obvious) explained(c *plainConv) []string {
	if c.agent != "" {
		return c.decided
	}
	return append(slices.Clone(c.decided), o.seen(c, Queue, c.why, nil, nil))
}

func (o *obvious) seen(c *plainConv, kind Kind, why Reason, agent *plainAgent, from []*plainAgent) string {
	e := Decision{AtMS: o.now, Kind: kind, Group: c.Group, Strategy: cmp.Or(o.cfg.Groups[c.Group].Strategy, LeastActive), Reason: why}
	e.WaitedMS = max(0, o.now-c.AtMS)
	for _, b := range o.convs {
		if b != c && b.agent == "" && b.Group == c.Group {
			e.Waiting++
		}
	}
	for _, a := range o.agents {
		member := a.up && slices.Contains(a.Groups, c.Group)
		if member {
			e.Members++
		}
		if member && o.skilled(a, c) {
			e.Able++
			if o.free(a) || a == agent {
				e.Free++
			}
		}
	}
	if agent != nil {
		e.Agent = agent.name
	}
	for _, a := range from[:min(len(from), 8)] {
		e.Candidates = append(e.Candidates, Candidate{a.name, int32(o.load(a)), int32(o.capacity(a)), int32(o.liked(a, c))})
	}
	return e.describe(c.name)
}

// candidates returns all who may have it, the best first.
func (o *obvious) candidates(c *plainConv) (list []*plainAgent) {
	for _, a := range o.agents {
		if o.may(a, c) {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b *plainAgent) int {
		if o.better(a, b, c) {
			return -1
		}
		return 1
	})
	return list
}

func (o *obvious) find(name string) *plainAgent {
	for _, a := range o.agents {
		if a.name == name {
			return a
		}
	}
	return nil
}

func (o *obvious) agent(name string) *plainAgent {
	if a := o.find(name); a != nil {
		return a
	}
	o.agents = append(o.agents, &plainAgent{name: name})
	return o.find(name)
}

func (o *obvious) conv(name string) *plainConv {
	for _, c := range o.convs {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (o *obvious) forgetAgents() {
	o.agents = slices.DeleteFunc(o.agents, func(a *plainAgent) bool { return !a.up && !a.manual && a.said == 0 && o.load(a) == 0 })
}

func (o *obvious) load(a *plainAgent) (n int) {
	for _, c := range o.convs {
		if c.agent == a.name {
			n++
		}
	}
	return n
}

func (o *obvious) open(e scripted) {
	if c := o.conv(e.word(1)); c != nil {
		if c.agent != "" {
			o.say(Assign, c, c.reason)
		} else {
			o.say(Queue, c, c.why)
		}
		return
	}
	c := &plainConv{Request: request(e), name: e.word(1)}
	var tried []Reason
	for {
		g := o.cfg.Groups[c.Group]
		var failed Reason
		switch a, why := o.best(c); {
		case o.shut(c) && g.Outside != OutsideQueue:
			failed = OutOfHours
		case a != nil:
			o.note(c, why, a, o.candidates(c))
			o.convs = append(o.convs, c)
			o.give(c, a, why)
			return
		case g.MaxQueue > 0 && o.waiting(c.Group) >= g.MaxQueue:
			failed = QueueFull
		default:
			o.convs = append(o.convs, c)
			o.queue(c, append(tried, NobodyFree)[0])
			if len(tried) > 0 || c.early {
				o.say(Queue, c, c.why)
			}
			return
		}
		tried = append(tried, failed)
		if g.Fallback == "" || failed == OutOfHours && g.Outside == OutsideRefuse {
			last := c.Group
			c.Group = e.word(2)
			opens := int64(0)
			if tried[0] == OutOfHours {
				opens = o.next(c)
			}
			o.out = append(o.out, describe(Refuse, c.name, last, "", tried[0], opens))
			return
		}
		c.Group = g.Fallback
	}
}

func (o *obvious) waiting(group string) (n int) {
	for _, c := range o.convs {
		if c.agent == "" && c.Group == group {
			n++
		}
	}
	return n
}

func (o *obvious) close(name string) {
	c := o.conv(name)
	if c == nil {
		return
	}
	o.convs = slices.DeleteFunc(o.convs, func(b *plainConv) bool { return b == c })
	if c.agent == "" {
		return
	}
	if keep := o.cfg.Groups[c.Group].StickyMS; keep > 0 {
		o.last = append(o.last, plainLast{c.Group, c.Visitor, c.agent, o.now + keep})
	}
	a := o.find(c.agent)
	a.sinceTick = int(o.now)
	o.fill(a)
}

func (o *obvious) up(a *plainAgent, p Profile) {
	if !a.up {
		a.up, a.sinceTick = true, int(o.now)
		if !a.manual {
			a.status = frame.AgentOnline
		}
	}
	a.Profile = p
	o.fill(a)
}

func (o *obvious) setStatus(a *plainAgent, status frame.AgentStatus, capacity int) {
	if a.status != status {
		a.sinceTick = int(o.now)
	}
	a.status, a.manual, a.said = status, status != frame.AgentOnline, cmp.Or(capacity, a.said)
	o.fill(a)
}

func (o *obvious) claim(name, agent string) {
	c, a := o.conv(name), o.find(agent)
	var err error
	switch {
	case c == nil:
		err = ErrUnknown
	case c.agent == agent:
		o.say(Assign, c, Claimed)
		return
	case c.agent != "":
		err = &TakenError{c.agent}
	case a == nil || !a.up:
		err = ErrAbsent
	case c.Visitor == agent:
		err = ErrOwn
	case o.load(a) >= o.capacity(a):
		err = ErrFull
	case !slices.Contains(a.Groups, c.Group):
		err = ErrForeign
	case !o.skilled(a, c):
		err = ErrUnskilled
	}
	if err != nil {
		o.out = append(o.out, err.Error())
		return
	}
	o.note(c, Claimed, a, []*plainAgent{a})
	o.give(c, a, Claimed)
}

func (o *obvious) speaks(a *plainAgent, language string) bool {
	return language == "" || len(a.Languages) == 0 || slices.Contains(a.Languages, language)
}

func (o *obvious) skilled(a *plainAgent, c *plainConv) bool {
	for _, s := range c.Need.Required {
		if !slices.Contains(a.Skills, s) {
			return false
		}
	}
	return !o.cfg.Groups[c.Group].RequireLanguage || o.speaks(a, c.Need.Language)
}

// liked counts what the agent has of what is preferred.
func (o *obvious) liked(a *plainAgent, c *plainConv) (n int) {
	for _, s := range c.Need.Preferred {
		if slices.Contains(a.Skills, s) {
			n++
		}
	}
	if !o.cfg.Groups[c.Group].RequireLanguage && c.Need.Language != "" && o.speaks(a, c.Need.Language) {
		n++
	}
	return n
}

func (o *obvious) capacity(a *plainAgent) int {
	return cmp.Or(a.said, a.Capacity, o.cfg.DefaultCapacity)
}

func (o *obvious) free(a *plainAgent) bool {
	return a.up && a.status == frame.AgentOnline && o.load(a) < o.capacity(a)
}

// may tells whether the agent may be given the conversation.
func (o *obvious) may(a *plainAgent, c *plainConv) bool {
	return o.cfg.Groups[c.Group].Strategy != Manual && o.free(a) && !o.shut(c) && slices.Contains(a.Groups, c.Group) && a.name != c.Visitor && a.name != c.avoid && o.skilled(a, c)
}

func (o *obvious) best(c *plainConv) (*plainAgent, Reason) {
	for _, l := range slices.Backward(o.last) {
		if l.group != c.Group || l.visitor != c.Visitor {
			continue
		}
		if a := o.find(l.agent); l.until > o.now && a != nil && o.may(a, c) {
			return a, LastAgent
		}
		break
	}
	if list := o.candidates(c); len(list) > 0 {
		return list[0], Reason(cmp.Or(o.cfg.Groups[c.Group].Strategy, LeastActive))
	}
	return nil, ""
}

func (o *obvious) better(a, b *plainAgent, c *plainConv) bool {
	if x, y := o.liked(a, c), o.liked(b, c); x != y {
		return x > y
	}
	x, y := o.load(a), o.load(b)
	switch o.cfg.Groups[c.Group].Strategy {
	case Weighted:
		// (load + 1) / weight, in whole numbers
		x, y = (x+1)*max(b.Weight, 1), (y+1)*max(a.Weight, 1)
	case RoundRobin:
		x, y = 0, 0
	case LongestIdle:
		if (x == 0) != (y == 0) {
			return x == 0
		}
		x, y = a.sinceTick, b.sinceTick
	}
	if x != y {
		return x < y
	}
	if a.decided != b.decided {
		return a.decided < b.decided
	}
	return a.name < b.name
}

func (o *obvious) give(c *plainConv, a *plainAgent, why Reason) {
	o.decisions++
	c.agent, c.reason, c.front, c.early = a.name, why, false, false
	c.avoid, c.avoidUntil = "", 0
	c.waits, c.since, c.warned = FirstReply, o.now, false
	a.decided, a.sinceTick = o.decisions, int(o.now)
	o.say(Assign, c, why)
}

func (o *obvious) fill(a *plainAgent) {
	for {
		var next *plainConv
		for _, c := range o.convs {
			if c.agent == "" && !c.early && o.may(a, c) && (next == nil || o.before(c, next)) {
				next = c
			}
		}
		if next == nil {
			return
		}
		o.note(next, NextInQueue, a, []*plainAgent{a})
		o.give(next, a, NextInQueue)
	}
}

func (o *obvious) before(a, b *plainConv) bool {
	if a.front != b.front {
		return a.front
	}
	rank := func(c *plainConv) int64 {
		return c.AtMS - int64(c.Priority)*cmp.Or(o.cfg.Groups[c.Group].AgeMS, 60_000)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.name, b.name)) < 0
}
