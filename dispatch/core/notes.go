package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// The notes of a conversation are what the staff of its group writes to one another about it: agents and supervisors, never its visitor, also after it was
// closed. They are a conversation of their own, whose id is the other's with the lowest bit set. So everybody can calculate it, both are of one shard, and
// all that conversations have (order, exactly once, replays, pages, marks, signals) works for notes without code of its own.
//
// What they do not have: a place in the desk, a visitor, an agent, a group, an end. Their members are those who wrote or have marks. Who may follow is
// decided by the group in which the other conversation, their host, is at that moment: a frame about notes is handled when the host is loaded, and a
// host whose notes are followed stays loaded. The first note makes the record.
//
// stateNotes is the state of their records. It is never on the wire.
const stateNotes frame.ConversationState = 128

// areNotes tells whether c is notes.
func (c *conversation) areNotes() bool { return c.id.AreNotes() }

// staff are the connections that follow notes, or a conversation in which they take no part, with whom they speak for: what they may depends on the group,
// which changes. Owned by the machine.
type staff map[frame.ID]map[frame.ConnID]*Identity

// add notes that a connection is attached.
func (s staff) add(conv frame.ID, conn frame.ConnID, who *Identity) {
	if s[conv] == nil {
		s[conv] = make(map[frame.ConnID]*Identity)
	}
	s[conv][conn] = who
}

// remove notes that a connection is not attached any more.
func (s staff) remove(conv frame.ID, conn frame.ConnID) {
	delete(s[conv], conn)
	if len(s[conv]) == 0 {
		delete(s, conv)
	}
}

// followed tells whether somebody follows a conversation without a part in it, or its notes.
func (s staff) followed(host frame.ID) bool { return len(s[host])+len(s[host.Notes()]) > 0 }

// hosted tells whether p may be handled now. If not, the notes wait until their host is loaded, with p first.
func (m *Machine) hosted(c *conversation, p parked) bool {
	if p.typ == frame.TypeDetach {
		return true // whoever it is
	}
	host := m.conversation(c.id.Host())
	switch host.load {
	case loaded, looking:
		return true
	case cold:
		host.load = loading
		m.out.Jobs = append(m.out.Jobs, Job{Op: JobLoad, Conv: host.id})
	}
	p.frame = append([]byte(nil), p.frame...) // it is borrowed
	c.load = awaiting
	c.wait(append([]parked{p}, c.waiting()...))
	return false
}

// hostLoaded goes on with the notes that wait for a conversation, before anything else is done with it. What failed is refused: the rest of it waits on
// nothing.
func (m *Machine) hostLoaded(host frame.ID, err error) {
	c := m.convs[host.Notes()]
	if c == nil || c.load != awaiting {
		return
	}
	c.load = loaded
	for err != nil && len(c.waiting()) > 0 {
		if p := c.next(); p.kind == parkedFrame && p.typ != frame.TypeDetach {
			m.refuseForNow(c, p, frame.ErrorUnavailable, textUnavailable)
		} else {
			m.handle(c, p)
		}
	}
	m.resumeWaiting(c)
	m.forgetEmpty(c)
}

// noNotes makes notes of which the store has nothing: who follows them waits for the first.
func (m *Machine) noNotes(c *conversation) {
	c.state, c.group, c.head, c.agent = stateNotes, nil, 0, -1
	c.members = c.ownMember[:0]
	c.forgetRecent()
	if c.resync() {
		m.resynchronise(c)
	}
}

// staffOf tells whether the identity may have the notes of a group's conversations.
func (w *Identity) staffOf(group string) bool {
	return (w.Role == frame.RoleAgent || w.Role == frame.RoleSupervisor) && slices.Contains(w.Groups(), group)
}

// admits refuses what the sender may not do with notes.
func (m *Machine) admits(c *conversation, p parked) bool {
	host := m.convs[c.id.Host()]
	switch p.typ {
	case frame.TypeDetach:
		return true
	case frame.TypeAttach, frame.TypeResume, frame.TypeHistory, frame.TypeSend, frame.TypeDelivered, frame.TypeRead, frame.TypeSignal:
	default:
		m.refuseNotes(c, p, frame.ErrorBadRequest, "notes are read and written, and nothing else")
		return false
	}
	switch {
	case host == nil || len(host.members) == 0:
		m.refuseNotes(c, p, frame.ErrorNotFound, "there is no such conversation")
	case !p.from.Who.staffOf(host.groupName()):
		m.refuseNotes(c, p, frame.ErrorForbidden, "only agents and supervisors of the group may read and write notes")
	case p.typ != frame.TypeSend && p.typ != frame.TypeDelivered && p.typ != frame.TypeRead:
		return true
	case !c.hasRoomFor(p.from.Who):
		m.refuseNotes(c, p, frame.ErrorConflict, "the notes have had too many participants, or one of this name in another role")
	default:
		return true
	}
	return false
}

// refuseNotes refuses a frame for good.
func (m *Machine) refuseNotes(c *conversation, p parked, code uint64, text string) {
	var s frame.Send
	if p.typ == frame.TypeSend && s.Parse(p.frame) == nil {
		m.refuseSend(c, p, &s, code, text)
		return
	}
	m.refuse(p.from.Conn, frame.PeekRef(p.frame), code, text)
}

// hasRoomFor tells whether the identity is a member or can become one.
func (c *conversation) hasRoomFor(who *Identity) bool {
	if i := c.memberOf(who.User); i >= 0 {
		return c.members[i].role == who.Role
	}
	return len(c.members) < membersMax
}

// enrol makes who writes a member; -1 if there is no room. The record is written with the batch: else a message would be stored whose sender the record
// does not know, and a late retry would not be found.
func (m *Machine) enrol(c *conversation, who *Identity) int8 {
	if who.Role == frame.RoleSystem && c.systems() >= systemsMax {
		return -1
	}
	if len(c.members) == 0 {
		c.openedMS = m.now
	}
	m.touch(c).putState = true
	return c.addMember(who.User, who.Role)
}

// toStaff is toAttached for notes: to those who are of the host's group now. Who is not follows no more when the transfer is durable; until then
// a note must not reach him, which may be written for the new group.
func (m *Machine) toStaff(c *conversation, off, n int, except frame.ConnID) {
	host := m.convs[c.id.Host()]
	if host == nil {
		return
	}
	for _, a := range c.attached {
		if who := m.staff[c.id][a.conn]; !a.catching && a.conn != except && who != nil && who.staffOf(host.groupName()) {
			m.out.Targets = append(m.out.Targets, frame.Target{Conn: a.conn, Off: uint32(off), Len: uint32(n)})
		}
	}
}

// dismissStaff ends the attachments to a conversation's notes of all who are not of its group, and shows them where it is.
func (m *Machine) dismissStaff(host *conversation) {
	c := m.convs[host.id.Notes()]
	if c == nil || host.areNotes() {
		return
	}
	for i := len(c.attached) - 1; i >= 0; i-- {
		conn := c.attached[i].conn
		if who := m.staff[c.id][conn]; who != nil && who.staffOf(host.groupName()) {
			continue
		}
		m.gone(c, conn)
		m.show(host, conn, 0)
	}
}
