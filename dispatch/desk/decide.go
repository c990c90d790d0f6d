package desk

import (
	"errors"

	"github.com/switchyard-im/switchyard/frame"
)

// mayGoTo tells whether the agent may be chosen for the conversation, its skills and its load aside: nobody serves itself, nor gets at once what
// was just taken from it.
func (c *conversation) mayGoTo(a *agent) bool { return a.name != c.visitor && a.name != c.avoids() }

// assignBest gives the conversation to the best free agent of its group; false if there is none. A new one, without a reason yet, may go to the
// agent who served the visitor last.
func (d *Desk) assignBest(c *conversation, why Reason) bool {
	if c.group.cfg.Strategy == Manual || d.tooEarly(c) {
		return false
	}
	if c.lane = d.lane(c.group, c.need, false); c.lane == nil {
		return false
	}
	var s *seat
	if why == "" {
		s, why = d.lastAgent(c), LastAgent
		if s == nil {
			why = Reason(c.group.cfg.Strategy)
		}
	}
	if s == nil {
		s = c.lane.best(c)
	}
	if s == nil {
		return false
	}
	d.record(c, why, s.agent, d.candidates(c))
	d.assign(c, s.agent, why)
	d.offer(s.agent)
	return true
}

// best returns the first free agent whom the conversation may go to: at the latest the third one, as only the visitor itself and one
// other are left out.
func (l *lane) best(c *conversation) *seat {
	for n := l.free.first(); n != nil; n = n.next() {
		if c.mayGoTo(n.value.agent) {
			return n.value
		}
	}
	return nil
}

// fill gives an agent what is first in its groups' queues, until it is full, and offers it if it is not: only then, as most are full again at once.
func (d *Desk) fill(a *agent) {
	for d.free(a) {
		c := a.next()
		if c == nil {
			break
		}
		d.assignQueued(c, a, NextInQueue)
	}
	d.offer(a)
}

// next returns the first of the conversations that wait for somebody like this agent, nil if there is none.
func (a *agent) next() *conversation {
	var next *conversation
	for _, s := range a.seats {
		if s.lane.group.cfg.Strategy == Manual {
			continue
		}
		if c := s.lane.firstFor(a); c != nil && (next == nil || before(c, next) < 0) {
			next = c
		}
	}
	return next
}

// firstFor returns the first waiting conversation that the agent may have. Only those that are its own, or
// were just taken from it, make it look past the top.
func (l *lane) firstFor(a *agent) *conversation {
	for n := l.waiting.first(); n != nil; n = n.next() {
		if n.value.mayGoTo(a) {
			return n.value
		}
	}
	return nil
}

// assignQueued takes the conversation from its queue and gives it to the agent.
func (d *Desk) assignQueued(c *conversation, a *agent, why Reason) {
	d.record(c, why, a, d.chosen(c.lane, a))
	g := c.group
	g.rate.add(d.busy(g))
	d.dequeue(c)
	d.assign(c, a, why)
}

// assign makes the agent serve the conversation, and leaves it to the caller to offer the agent again.
func (d *Desk) assign(c *conversation, a *agent, why Reason) {
	d.withdraw(a)
	d.decisions++
	c.give(a)
	c.lane, c.front = nil, false
	c.avoid("", 0)
	a.last, a.sinceMS = d.decisions, d.now
	d.wait(c, FirstReply)
	d.emit(Assign, c, why)
}

// Why a claim or a transfer is refused.
var (
	ErrUnknown   = errors.New("desk: no such open conversation")
	ErrAbsent    = errors.New("desk: the agent is not connected")
	ErrAway      = errors.New("desk: the agent is not online")
	ErrFull      = errors.New("desk: the agent serves as many as it may")
	ErrForeign   = errors.New("desk: the agent is not of the group")
	ErrUnskilled = errors.New("desk: the agent lacks a required skill")
	ErrQueueFull = errors.New("desk: the group has no free agent, and its queue no room")
	ErrPast      = errors.New("desk: the agent does not have the conversation any more")
	ErrOwn       = errors.New("desk: nobody serves itself")
)

// TakenError refuses a claim: another agent has the conversation.
type TakenError struct{ By string }

func (e *TakenError) Error() string { return "desk: agent " + e.By + " has the conversation already" }

// Claim gives a waiting conversation to the agent who asks for it. Of several only the first gets it; the others are told who has it, by a
// *TakenError. An agent who is away may claim: it knows what it does. Who claims what it has already is assigned it again.
func (d *Desk) Claim(conv frame.ID, agentName string) error {
	c, a := d.convs[conv], d.agents[agentName]
	switch {
	case c == nil:
		return ErrUnknown
	case c.agent != nil && c.agent == a:
		d.emit(Assign, c, Claimed)
		return nil
	case c.agent != nil:
		return &TakenError{c.agent.name}
	}
	if err := d.mayClaim(c, a); err != nil {
		return err
	}
	d.assignQueued(c, a, Claimed)
	d.offer(a)
	return nil
}

func (d *Desk) mayClaim(c *conversation, a *agent) error {
	switch {
	case a == nil || !a.up:
		return ErrAbsent
	case a.name == c.visitor:
		return ErrOwn
	case a.load() >= d.capacity(a):
		return ErrFull
	}
	if _, ok := c.group.agents[a]; !ok {
		return ErrForeign
	}
	if a.seat(c.lane) == nil {
		return ErrUnskilled
	}
	return nil
}
