package core

import (
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// request is what the frames of agents and supervisors about a conversation have in common.
func (p *parked) request(ref uint64) Request {
	return Request{Conn: p.from.Conn, Ref: ref, Who: p.from.Who, Arrived: p.arrived}
}

// serves tells whether the identity has the conversation, or oversees it.
func (c *conversation) serves(who *Identity) bool {
	i, ok := c.mayTakePart(who)
	return ok && i == c.agent || who.supervises(c.groupName())
}

// claim takes a conversation for an agent: the desk decides, because only it knows who was first. A supervisor takes it over from whoever has it.
func (m *Machine) claim(c *conversation, p parked) {
	var f frame.Claim
	if err := f.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	switch {
	case !p.from.Who.oversees(c.groupName()):
		m.refuse(p.from.Conn, f.Ref, frame.ErrorForbidden, "only agents and supervisors of the group may take it")
	case c.state == frame.StateClosed:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorClosed, "the conversation is closed")
	case !m.available:
		m.refuseUnavailable(p.from.Conn, f.Ref)
	case p.from.Who.Role == frame.RoleSupervisor:
		m.takeOver(c, p, f.Ref)
	case c.takenOver():
		m.refuse(p.from.Conn, f.Ref, frame.ErrorTaken, c.members[c.agent].user)
	case c.full() && c.memberOf(p.from.Who.User) < 0:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorConflict, textFull)
	default:
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskClaim, Conv: c.id, Agent: p.from.Who.User, For: p.request(f.Ref)})
	}
}

// takeOver gives the conversation to a supervisor. The desk has nothing to do with it until it is transferred.
func (m *Machine) takeOver(c *conversation, p parked, ref uint64) {
	i := c.addMember(p.from.Who.User, frame.RoleSupervisor)
	switch {
	case i < 0 || c.members[i].role != frame.RoleSupervisor:
		m.refuse(p.from.Conn, ref, frame.ErrorConflict, "the conversation has had too many participants, or one of this name in another role")
		return
	case i == c.agent:
		m.ack(p.from.Conn, ref, c.head, uint64(m.now), p.arrived)
		return
	}
	e := event{Event: "assigned", Agent: p.from.Who.User, Reason: string(desk.TakenOver), By: p.from.Who.User}
	m.leaveAgent(c, &e)
	c.agent, c.state = i, frame.StateAssigned
	d := m.detailedFor(c)
	d.life++ // what the desk decides meanwhile does not count
	d.waits, d.held, d.warned = desk.Nothing, false, false
	m.becomes(c, i, p.from.Conn)
	seq, timeMS := m.appendEvent(c, e, 0)
	m.out.Writes = append(m.out.Writes, Write{Op: PutMember, Conv: c.id, User: c.members[i].key(), Open: true})
	m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskClosed, Conv: c.id})
	m.notify(c, i, 0)
	m.awaitPast(c, i, m.now)
	m.audit(AuditTakeOver, c, p.from.Who)
	m.ack(p.from.Conn, ref, seq, timeMS, p.arrived)
}

// becomes makes a connection that watches one of a member.
func (m *Machine) becomes(c *conversation, member int8, conn frame.ConnID) {
	if i := c.attachmentOf(conn); i >= 0 {
		c.attached[i].member = member
		m.touch(c).presence = true
	}
}

// transfer asks the desk to put the conversation elsewhere.
func (m *Machine) transfer(c *conversation, p parked) {
	var f frame.Transfer
	if err := f.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	switch {
	case !c.serves(p.from.Who):
		m.refuse(p.from.Conn, f.Ref, frame.ErrorForbidden, "only the agent who has it and supervisors of the group may transfer it")
		return
	case c.state == frame.StateClosed:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorClosed, "the conversation is closed")
		return
	case c.full() && c.memberOf(string(f.Agent)) < 0:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorConflict, textFull)
		return
	case !m.available:
		m.refuseUnavailable(p.from.Conn, f.Ref)
		return
	}
	e := DeskEvent{Kind: DeskTransfer, Conv: c.id, Target: desk.Target{Group: string(f.Group), Agent: string(f.Agent), Front: f.Front}, For: p.request(f.Ref)}
	if c.takenOver() {
		// It comes back to the desk: as one that waits, and is transferred in the same moment.
		back := c.opened()
		e.Back = &back
	}
	m.out.Desk = append(m.out.Desk, e)
}

// hold stops the timers, or lets them go on.
func (m *Machine) hold(c *conversation, p parked) {
	var f frame.Hold
	if err := f.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	i, ok := c.mayTakePart(p.from.Who)
	switch {
	case !ok || i != c.agent:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorForbidden, "only the agent who has it may put it on hold")
		return
	case c.state != frame.StateAssigned:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorClosed, "the conversation is closed")
		return
	case c.detail().held == f.On:
		m.ack(p.from.Conn, f.Ref, c.head, uint64(m.now), p.arrived)
		return
	case !m.available:
		m.refuseUnavailable(p.from.Conn, f.Ref)
		return
	}
	name, waits := "held", desk.Nothing
	if !f.On {
		name, waits = "resumed", desk.Agent
	}
	m.await(c, waits)
	c.details.held = f.On
	seq, timeMS := m.appendEvent(c, event{Event: name, By: p.from.Who.User}, 0)
	m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskHold, Conv: c.id, Agent: p.from.Who.User, On: f.On})
	m.ack(p.from.Conn, f.Ref, seq, timeMS, p.arrived)
}

// rate keeps what the visitor thinks of it.
func (m *Machine) rate(c *conversation, p parked) {
	var f frame.Rate
	if err := f.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	i, ok := c.mayTakePart(p.from.Who)
	switch {
	case !ok || i != 0:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorForbidden, "only the visitor rates")
		return
	case f.Stars < 1 || f.Stars > 5:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorBadRequest, "a rating has 1 to 5 stars")
		return
	case !m.available:
		m.refuseUnavailable(p.from.Conn, f.Ref)
		return
	}
	m.detailedFor(c).stars = f.Stars
	seq, timeMS := m.appendEvent(c, event{Event: "rated", By: p.from.Who.User, Rating: f.Stars, Comment: string(f.Comment)}, 0)
	m.ack(p.from.Conn, f.Ref, seq, timeMS, p.arrived)
}

// join makes a supervisor a participant.
func (m *Machine) join(c *conversation, p parked) {
	var f frame.Join
	if err := f.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	switch {
	case !p.from.Who.supervises(c.groupName()):
		m.refuse(p.from.Conn, f.Ref, frame.ErrorForbidden, "only supervisors of the group may join")
		return
	case c.state == frame.StateClosed:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorClosed, "the conversation is closed")
		return
	case !m.available:
		m.refuseUnavailable(p.from.Conn, f.Ref)
		return
	}
	if i := c.memberOf(p.from.Who.User); i >= 0 && c.members[i].role == frame.RoleSupervisor {
		m.ack(p.from.Conn, f.Ref, c.head, uint64(m.now), p.arrived)
		return
	}
	i := c.addMember(p.from.Who.User, frame.RoleSupervisor)
	if i < 0 || c.members[i].role != frame.RoleSupervisor {
		m.refuse(p.from.Conn, f.Ref, frame.ErrorConflict, "the conversation has had too many participants, or one of this name in another role")
		return
	}
	m.touch(c).putState = true
	m.becomes(c, i, p.from.Conn)
	seq, timeMS := m.appendEvent(c, event{Event: "joined", By: p.from.Who.User}, 0)
	m.out.Writes = append(m.out.Writes, Write{Op: PutMember, Conv: c.id, User: c.members[i].key(), Open: true})
	m.notify(c, i, p.from.Conn)
	m.audit(AuditJoin, c, p.from.Who)
	m.ack(p.from.Conn, f.Ref, seq, timeMS, p.arrived)
}

// reopen lets a closed conversation go on.
func (m *Machine) reopen(c *conversation, p parked) {
	var f frame.Reopen
	if err := f.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	i, ok := c.mayTakePart(p.from.Who)
	switch {
	case (!ok || i != 0) && !p.from.Who.supervises(c.groupName()):
		m.refuse(p.from.Conn, f.Ref, frame.ErrorForbidden, "only the visitor and supervisors of the group may open it again")
		return
	case c.state != frame.StateClosed:
		m.ack(p.from.Conn, f.Ref, c.head, uint64(m.now), p.arrived)
		return
	case m.now-c.detail().closedMS >= c.group.rules.ReopenMS:
		m.refuse(p.from.Conn, f.Ref, frame.ErrorClosed, "it was closed too long ago; open a new one")
		return
	case !m.available:
		m.refuseUnavailable(p.from.Conn, f.Ref)
		return
	}
	e := event{Event: "reopened", Group: c.groupName(), By: p.from.Who.User}
	m.leaveAgent(c, &e)
	c.state = frame.StateQueued
	d := m.detailedFor(c)
	d.life++
	d.queuedMS, d.front = m.now, false
	seq, timeMS := m.appendEvent(c, e, 0)
	for i := range c.members {
		if c.takesPart(int8(i)) {
			m.out.Writes = append(m.out.Writes, Write{Op: PutMember, Conv: c.id, User: c.members[i].key(), Open: true})
		}
	}
	m.out.Desk = append(m.out.Desk, c.opened())
	m.notify(c, 0, p.from.Conn)
	m.reopenedUnacked(c)
	m.audit(AuditReopen, c, p.from.Who)
	m.ack(p.from.Conn, f.Ref, seq, timeMS, p.arrived)
}
