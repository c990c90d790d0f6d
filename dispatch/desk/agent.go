package desk

import (
	"cmp"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Profile is what an agent's token says of it.
type Profile struct {
	Groups    []string
	Capacity  int      // conversations at a time; 0: the default
	Weight    int      // for Weighted; below 1: 1
	Skills    []string //
	Languages []string // empty: it is taken to speak all
}

type agent struct {
	name     string
	groups   []*group
	skills   map[string]struct{} // languages too, as "language:" and their name
	polyglot bool                // speaks all languages
	up       bool                // has a device
	status   frame.AgentStatus
	manual   bool // the status was set by a person: a new device does not change it
	said     int  // capacity that a person set, which counts before the token's; 0: none
	capacity int  // of the token; 0: the default
	weight   int
	convs    []*conversation // that it serves; each knows its slot
	last     uint64          // decisions when it was last given one
	sinceMS  int64           // when its load last changed, or when it came
	seats    []*seat         // of its groups
	grace    deadline        // while it is gone and serves something
	offered  bool            // its seats are in the trees of their lanes
}

func (a *agent) load() int { return len(a.convs) }

func (a *agent) has(skill string) bool {
	_, ok := a.skills[skill]
	return ok || a.polyglot && len(skill) > len(language) && skill[:len(language)] == language
}

// AgentUp tells that an agent has a device, or a new token.
func (d *Desk) AgentUp(name string, p Profile) {
	a := d.agent(name)
	d.withdraw(a)
	d.set(&a.grace, 0)
	if !a.up {
		a.up, a.sinceMS = true, d.now
		if !a.manual {
			a.status = frame.AgentOnline
		}
	}
	a.capacity, a.weight = max(p.Capacity, 0), max(p.Weight, 1)
	a.setSkills(p)
	d.setGroups(a, p.Groups)
	d.fill(a)
}

// AgentDown tells that an agent's last device is gone: it gets nothing new, and keeps what it has for the grace.
func (d *Desk) AgentDown(name string) {
	a := d.agents[name]
	if a == nil {
		return
	}
	d.withdraw(a)
	a.up = false
	d.setGroups(a, nil)
	d.startGrace(a)
	d.dropAgent(a)
}

// startGrace gives an agent who is not there its time to come back, if it has something to come back for.
func (d *Desk) startGrace(a *agent) {
	if grace := d.cfg.OfflineGraceMS; grace > 0 && !a.up && a.load() > 0 && !a.grace.in() {
		d.set(&a.grace, d.now+grace)
	}
}

// Status tells what an agent says of itself, or what a supervisor says of it: until the next, it holds for all its devices, those to come
// too. Capacity 0 keeps what was said last. The agent need not be there: for a start, when what was said before is read from the store.
func (d *Desk) Status(name string, status frame.AgentStatus, capacity int) {
	a := d.agent(name)
	d.withdraw(a)
	if status != a.status {
		a.sinceMS = d.now
	}
	a.status, a.manual = status, status != frame.AgentOnline
	a.said = cmp.Or(max(capacity, 0), a.said)
	d.fill(a)
	d.dropAgent(a)
}

// Serves tells whether the agent is known, and of one of the groups.
func (d *Desk) Serves(name string, groups []string) bool {
	a := d.agents[name]
	return a != nil && slices.ContainsFunc(groups, a.serves)
}

// Knows tells whether the agent is known: it has a device, serves somebody, or somebody said its status.
func (d *Desk) Knows(name string) bool { return d.agents[name] != nil }

// free tells whether the agent may be given one more.
func (d *Desk) free(a *agent) bool {
	return a.up && a.status == frame.AgentOnline && a.load() < d.capacity(a)
}

func (d *Desk) capacity(a *agent) int { return cmp.Or(a.said, a.capacity, d.cfg.DefaultCapacity) }

// withdraw takes the agent out of the trees: before anything changes by which they order it.
func (d *Desk) withdraw(a *agent) {
	if !a.offered {
		return
	}
	a.offered = false
	for _, s := range a.seats {
		s.lane.free.remove(&s.node)
	}
}

// offer puts the agent back if it is free.
func (d *Desk) offer(a *agent) {
	if a.offered || !d.free(a) {
		return
	}
	a.offered = true
	for _, s := range a.seats {
		s.lane.free.insert(&s.node)
	}
}

func (a *agent) setSkills(p Profile) {
	a.skills, a.polyglot = nil, len(p.Languages) == 0
	if len(p.Skills)+len(p.Languages) > 0 {
		a.skills = make(map[string]struct{}, len(p.Skills)+len(p.Languages))
	}
	for _, s := range p.Skills {
		a.skills[s] = struct{}{}
	}
	for _, l := range p.Languages {
		a.skills[language+l] = struct{}{}
	}
}

// setGroups makes the agent a member of just these groups, with seats for its present skills. Not while it is offered.
func (d *Desk) setGroups(a *agent, groups []string) {
	for _, s := range a.seats {
		s.end()
	}
	left := a.groups
	a.seats, a.groups = nil, nil
	for _, g := range left {
		delete(g.agents, a)
	}
	for _, name := range groups {
		g := d.group(name)
		if slices.Contains(a.groups, g) {
			continue
		}
		g.agents[a] = struct{}{}
		a.groups = append(a.groups, g)
		for _, l := range g.lanes {
			a.sit(l)
		}
	}
	for _, g := range left {
		d.dropGroup(g)
	}
}

func (d *Desk) agent(name string) *agent {
	a := d.agents[name]
	if a == nil {
		a = &agent{name: name, weight: 1}
		a.grace.agent = a
		d.agents[name] = a
	}
	return a
}

// dropAgent forgets an agent that is gone, serves nobody, and of whom nobody has said anything that must outlive it.
func (d *Desk) dropAgent(a *agent) {
	if !a.up && a.load() == 0 && !a.manual && a.said == 0 {
		d.set(&a.grace, 0)
		delete(d.agents, a.name)
	}
}
