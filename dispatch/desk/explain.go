package desk

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// What is kept of an open conversation's decisions: the latest, each with the best of those who could have got it.
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

// Explain returns the latest decisions of an open conversation, the last one last; false if there is no such conversation. After a restart nothing
// is known of those before it.
func (d *Desk) Explain(conv frame.ID) ([]Decision, bool) {
	c := d.convs[conv]
	if c == nil {
		return nil, false
	}
	return slices.Clone(c.decided), true
}

// record notes a decision that is about to be carried out: c has its lane, and is in the queue only if that is where it comes from.
func (d *Desk) record(c *conversation, kind Kind, why Reason, chosen *agent, from []Candidate) {
	g, l := c.group, c.lane
	e := Decision{
		AtMS: d.now, Kind: kind, Group: g.name, Strategy: g.cfg.Strategy, Reason: why, WaitedMS: max(d.now-c.atMS, 0),
		Waiting: g.queue.len(), Members: len(g.agents), Able: l.seats, Free: l.free.len(), Candidates: from,
	}
	if c.queued() {
		e.Waiting--
	}
	if chosen != nil {
		e.Agent = chosen.name
		if s := chosen.seat(l); s != nil && !s.in() {
			e.Free++
		}
	}
	if len(c.decided) == maxDecisions {
		c.decided = slices.Delete(c.decided, 0, 1)
	}
	c.decided = append(c.decided, e)
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
