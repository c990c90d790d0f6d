package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// Decision is one of the desk about a conversation.
type Decision struct {
	Kind    desk.Kind
	Life    uint32      // of the conversation that it is about
	Group   string      // that the conversation is in from now on
	Agent   string      // Assign: who has it; Warn: who serves it
	Reason  desk.Reason // goes into the event
	Front   bool        // Queue: before others
	AtMS    int64       // since when it waits for the desk, so that it has the same place after a restart; 0: as it was
	OpensMS int64       // Queue, Refuse: when the group opens, if it is closed; 0: nobody is told
	For     Request     // who asked for it; zero: nobody
}

// Request names who is answered when something is done.
type Request struct {
	Conn    frame.ConnID
	Ref     uint64
	Who     *Identity
	Arrived int64 // Unix nanoseconds, see Answer
}

// By is the user who asks, empty if nobody does.
func (r *Request) By() string {
	if r.Who == nil {
		return ""
	}
	return r.Who.User
}

// Decide carries out what the desk decided. The desk decides in the order in which it hears of things, and the shard does so in the order in which they are
// decided: so the last one counts, whatever this conversation was before, unless it was closed meanwhile. After a failed commit the desk is told of
// the conversation again, and decides again.
func (m *Machine) Decide(conv frame.ID, d Decision) {
	m.deliver(m.conversation(conv), parked{kind: parkedDecision, decision: &d})
}

func (m *Machine) decide(c *conversation, d *Decision) {
	switch {
	case len(c.members) == 0:
		m.forgetMissing(c)
		m.answerLate(d, frame.ErrorNotFound, "there is no such conversation")
		return
	case c.state == frame.StateClosed || c.detail().life != d.Life:
		m.answerLate(d, frame.ErrorClosed, "the conversation was closed meanwhile")
		return
	}
	switch d.Kind {
	case desk.Assign:
		m.assign(c, d)
	case desk.Queue:
		m.queue(c, d)
	case desk.Warn:
		m.detailedFor(c).warned = true
		m.appendEvent(c, event{Event: "warned", Agent: d.Agent, Reason: string(d.Reason)}, 0)
	case desk.Refuse, desk.Close:
		m.endByDesk(c, d)
	}
}

// detailedFor is c.detailed of a conversation whose record is written with the batch.
func (m *Machine) detailedFor(c *conversation) *details {
	m.touch(c).putState = true
	return c.detailed()
}

func (m *Machine) answerLate(d *Decision, code uint64, text string) {
	if d.For.Conn != 0 {
		m.refuse(d.For.Conn, d.For.Ref, code, text)
	}
}

// answerDone acks who asked for the decision, with the last message: its event.
func (m *Machine) answerDone(c *conversation, d *Decision) {
	if d.For.Conn != 0 {
		m.audit(AuditTransfer, c, d.For.Who)
		m.ack(d.For.Conn, d.For.Ref, c.head, uint64(m.now), d.For.Arrived)
	}
}

// tooMany is the reason of the event closed when an agent cannot become a participant.
const (
	tooMany  = "too_many_participants"
	textFull = "the conversation has had too many participants; close it and open another one"
)

// assign gives the conversation to an agent, who may have it already.
func (m *Machine) assign(c *conversation, d *Decision) {
	if c.state == frame.StateAssigned && c.members[c.agent].key() == (UserKey{frame.RoleAgent, d.Agent}) && c.groupName() == d.Group {
		m.answerDone(c, d)
		return
	}
	i := c.addMember(d.Agent, frame.RoleAgent)
	if i <= 0 { // there is no room, or it is the visitor, whom the desk does not choose
		m.answerLate(d, frame.ErrorConflict, textFull)
		m.end(c, event{Event: "closed", Reason: tooMany}, 0) // else it would have the agent for the desk, and nobody here
		return
	}
	if c.members[i].role == frame.RoleSupervisor { // one of the same name has joined
		m.out.Writes = append(m.out.Writes, Write{Op: PutMember, Conv: c.id, User: c.members[i].key(), Open: false})
	}
	c.members[i].role = frame.RoleAgent // also if an application has written under this name
	e := event{Event: "assigned", Agent: d.Agent, Reason: string(d.Reason), By: d.For.By()}
	m.leaveAgent(c, &e)
	m.moveTo(c, d.Group, &e)
	c.agent, c.state = i, frame.StateAssigned
	m.touch(c).putState = true
	c.waitsFrom(d.AtMS)
	if c.group.rules.Timed {
		m.await(c, desk.FirstReply)
	} else if c.details != nil {
		c.details.held = false
	}
	m.appendEvent(c, e, 0)
	m.out.Writes = append(m.out.Writes, Write{Op: PutMember, Conv: c.id, User: c.members[i].key(), Open: true})
	m.notify(c, i, 0)
	m.awaitPast(c, i, m.now)
	m.answerDone(c, d)
}

// queue takes the conversation from its agent, or into another queue.
func (m *Machine) queue(c *conversation, d *Decision) {
	now := c.detail()
	outside := d.Reason == desk.OutOfHours && d.For.Conn == 0 // nothing changes, but the visitor is told
	same := c.state == frame.StateQueued && c.groupName() == d.Group && now.front == d.Front && (d.AtMS == 0 || d.AtMS == c.waitsSince())
	if same && !outside {
		m.answerDone(c, d)
		return
	}
	e := event{Event: "queued", Group: d.Group, Reason: string(d.Reason), By: d.For.By(), OpensMS: d.OpensMS}
	m.leaveAgent(c, &e)
	m.moveTo(c, d.Group, &e)
	if d.Reason == desk.OutOfHours && d.OpensMS != 0 {
		e.Text = c.group.rules.Texts[d.Reason]
	}
	c.state = frame.StateQueued
	detail := m.detailedFor(c)
	detail.front, detail.waits, detail.held, detail.warned = d.Front, desk.Nothing, false, false
	c.waitsFrom(d.AtMS)
	m.appendEvent(c, e, 0)
	m.answerDone(c, d)
}

// leaveAgent takes the conversation from who has it, and tells the devices. The event follows, which is the last that they get.
func (m *Machine) leaveAgent(c *conversation, e *event) {
	if c.agent < 0 {
		return
	}
	old := c.agent
	e.From = c.members[old].user
	c.agent = -1
	m.out.Writes = append(m.out.Writes, Write{Op: PutMember, Conv: c.id, User: c.members[old].key(), Open: false})
	m.touch(c).left |= 1 << old
	m.leaver = old
}

// tellLeft tells those who had the conversation before this batch who has it now.
func (m *Machine) tellLeft(c *conversation, left uint64) {
	for i := range c.members {
		if left&(1<<i) != 0 && int8(i) != c.agent {
			m.notify(c, int8(i), 0)
			m.out.Left = append(m.out.Left, c.id)
			m.leftUnacked(c, int8(i))
		}
	}
}

// Dismiss ends the attachments of those who have left, once that is durable: if the commit failed, they have the conversation as before.
func (m *Machine) Dismiss(conv frame.ID) {
	if c := m.convs[conv]; c != nil && !c.resync() {
		m.dismissPast(c)
		m.dismissStaff(c)
	}
}

// dismissPast ends the attachments of all who may follow no more. Who had the conversation was told so; supervisors who only followed it are shown where it is.
func (m *Machine) dismissPast(c *conversation) {
	for i := len(c.attached) - 1; i >= 0; i-- {
		a := c.attached[i]
		if m.mayStay(c, &a) {
			continue
		}
		m.gone(c, a.conn)
		if a.member < 0 {
			m.show(c, a.conn, 0)
		}
	}
}

// mayStay tells whether the conversation goes on coming to a connection, as its members and its group are now.
func (m *Machine) mayStay(c *conversation, a *attachment) bool {
	if a.member >= 0 || c.areNotes() {
		return a.member < 0 || c.takesPart(a.member)
	}
	who := m.staff[c.id][a.conn]
	return who != nil && who.supervises(c.groupName())
}

// moveTo puts the conversation into a group.
func (m *Machine) moveTo(c *conversation, group string, e *event) {
	if group != "" && group != c.groupName() {
		c.group = m.groupOf(group)
		m.touch(c).moved = true
		e.Group = group
	}
}

// endByDesk closes a conversation that nobody has room for, or where nobody writes.
func (m *Machine) endByDesk(c *conversation, d *Decision) {
	m.end(c, event{Event: "closed", Reason: string(d.Reason), Text: c.group.rules.Texts[d.Reason], OpensMS: d.OpensMS}, 0)
	m.answerDone(c, d)
}

// end closes the conversation with an event, which all but one connection get.
func (m *Machine) end(c *conversation, e event, except frame.ConnID) (seq, timeMS uint64) {
	m.keepAgent(c)
	c.state = frame.StateClosed
	d := m.detailedFor(c)
	d.closedMS, d.waits, d.held, d.warned = m.now, desk.Nothing, false, false
	seq, timeMS = m.appendEvent(c, e, except)
	for i := range c.members {
		m.out.Writes = append(m.out.Writes, Write{Op: PutMember, Conv: c.id, User: c.members[i].key(), Open: false})
	}
	m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskClosed, Conv: c.id})
	m.closedUnacked(c)
	return seq, timeMS
}

// Place tells the visitor where its conversation waits, if that is in memory: else nobody is attached.
func (m *Machine) Place(p desk.Place) {
	c := m.convs[p.Conv]
	if c == nil || c.load != loaded || c.state != frame.StateQueued {
		return
	}
	from, off := len(m.out.Targets), len(m.out.Buf)
	f := frame.Position{Conv: c.id, Group: []byte(p.Group), Place: uint64(p.Place), Of: uint64(p.Of), WaitMS: uint64(max(p.WaitMS, 0))}
	m.out.Buf = f.Append(m.out.Buf)
	for _, a := range c.attached {
		if a.member == 0 { // it stands by itself, so a replay need not be over
			m.to(a.conn, off)
		}
	}
	m.certain(from)
}

// oversees tells whether the identity is of the group's staff: its supervisors, and its agents.
func (w *Identity) oversees(group string) bool {
	return w.Role != frame.RoleVisitor && slices.Contains(w.Groups(), group)
}
