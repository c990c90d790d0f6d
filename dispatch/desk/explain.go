package desk

import (
	"cmp"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// What is kept of an open conversation's assignments: the latest, each with the best of those who could have got it.
const (
	maxDecisions  = 4
	maxCandidates = 8
)

// Decision tells why a conversation has its agent, or waits: what the desk saw when it decided.
type Decision struct {
	AtMS       int64
	Kind       Kind
	Group      string
	Strategy   Strategy
	Agent      string // Assign
	Reason     Reason
	WaitedMS   int64       // since it was opened, or came to the group
	Waiting    int         // conversations in the group's queue, this one not counted
	Members    int         // agents of the group who were connected
	Able       int         // of these, who have what it requires
	Free       int         // of these, who could take one more, and who got it
	Candidates []Candidate // of the free ones the first, in the order of the strategy; from a queue, by a claim, to a named agent: who got it
}

// Candidate is an agent as it was just before the decision.
type Candidate struct {
	Agent     string
	Load      int32
	Capacity  int32
	Preferred int32 // of the preferred skills, how many it has
}

// past is what is kept of a conversation's decisions.
type past struct {
	assigned []Decision
	why      Reason // it waits, if that is not just because nobody is free
}

// lastReason is that of the present assignment; empty after a restart.
func (p *past) lastReason() Reason {
	if p == nil || len(p.assigned) == 0 {
		return ""
	}
	return p.assigned[len(p.assigned)-1].Reason
}

// Explain returns the latest assignments of an open conversation, the last one last, and for one that waits, after them, why it waits now; false if
// there is no such conversation. After a restart nothing is known of those before it.
func (d *Desk) Explain(conv frame.ID) ([]Decision, bool) {
	c := d.convs[conv]
	if c == nil {
		return nil, false
	}
	var all []Decision
	if c.past != nil {
		all = slices.Clone(c.past.assigned)
	}
	if c.queued() {
		all = append(all, d.seen(c, Queue, c.past.waitsBecause()))
	}
	return all, true
}

// waitsBecause is why a conversation waits.
func (p *past) waitsBecause() Reason {
	if p == nil {
		return NobodyFree
	}
	return cmp.Or(p.why, NobodyFree)
}

// explainWaiting notes why it waits.
func (c *conversation) explainWaiting(why Reason) {
	if why == NobodyFree {
		why = ""
	}
	if c.past == nil && why != "" {
		c.past = &past{}
	}
	if c.past != nil {
		c.past.why = why
	}
}

// record notes an assignment that is about to be carried out: c has its lane, and is in the queue only if that is where it comes from.
func (d *Desk) record(c *conversation, why Reason, chosen *agent, from []Candidate) {
	e := d.seen(c, Assign, why)
	e.Agent, e.Candidates = chosen.name, from
	if s := chosen.seat(c.lane); s != nil && !s.in() {
		e.Free++
	}
	if c.past == nil {
		c.past = &past{}
	}
	if len(c.past.assigned) == maxDecisions {
		c.past.assigned = slices.Delete(c.past.assigned, 0, 1)
	}
	c.past.assigned = append(c.past.assigned, e)
}

// seen is what the desk sees when it decides.
func (d *Desk) seen(c *conversation, kind Kind, why Reason) Decision {
	g, l := c.group, c.lane
	e := Decision{
		AtMS: d.now, Kind: kind, Group: g.name, Strategy: g.cfg.Strategy, Reason: why, WaitedMS: max(d.now-c.atMS, 0),
		Waiting: g.queue.len(), Members: len(g.agents), Able: l.seats, Free: l.free.len(),
	}
	if c.queued() {
		e.Waiting--
	}
	return e
}

// candidates returns the first of the free agents.
func (d *Desk) candidates(c *conversation) []Candidate {
	list := make([]Candidate, 0, min(c.lane.free.len(), maxCandidates))
	for n := c.lane.free.first(); n != nil && len(list) < maxCandidates; n = n.next() {
		if c.mayGoTo(n.value.agent) {
			list = append(list, d.candidate(n.value))
		}
	}
	return list
}

// chosen returns the one agent who came for the conversation.
func (d *Desk) chosen(l *lane, a *agent) []Candidate {
	s := a.seat(l)
	if s == nil {
		return nil
	}
	return []Candidate{d.candidate(s)}
}

func (d *Desk) candidate(s *seat) Candidate {
	return Candidate{Agent: s.agent.name, Load: int32(s.agent.load()), Capacity: int32(d.capacity(s.agent)), Preferred: int32(s.preferred)}
}
