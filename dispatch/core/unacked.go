package core

import (
	"github.com/switchyard-im/switchyard/frame"
)

// UnackedEvent is what the escalation has to know: who has to ack what, and who did. Kind tells which fields count beside Conv, Group and User.
type UnackedEvent struct {
	Kind  UnackedKind
	Conv  frame.ID
	Group string
	User  UserKey
	Seq   uint64
	Head  uint64
	AtMS  int64 // when it was stored, Unix milliseconds
	Noted bool  // the store has a note that the conversation was closed with something unacked
}

// UnackedKind is the kind of an UnackedEvent.
type UnackedKind uint8

// The kinds.
const (
	UnackedSent     UnackedKind = iota + 1 // Seq, AtMS: a message that the user has to ack
	UnackedMark                            // Seq: a device of the user has everything up to it
	UnackedSince                           // Seq, Head, AtMS: the user has to ack what others wrote after Seq, up to Head, the store knows what; since AtMS at the earliest
	UnackedLeft                            // the user has nothing to do with it any more
	UnackedClosed                          // Noted: the conversation is closed
	UnackedReopened                        // Seq, Head: it is open again; the user had everything up to Seq, and Head is the last message
)

// Lasts tells whether the event is true even if the batch's writes are not kept.
func (e *UnackedEvent) Lasts() bool { return e.Kind == UnackedMark }

// Escalate says whose unacked messages somebody is told of. The zero value costs nothing.
type Escalate struct {
	Visitors bool
	Staff    bool // the agent, or the supervisor, who has the conversation
}

// escalates tells whether somebody is told of what the member does not ack: the visitor, and who has the conversation.
func (m *Machine) escalates(c *conversation, member int8) bool {
	if c.areNotes() {
		return false // they are for whoever looks
	}
	if member == 0 {
		return m.cfg.Escalate.Visitors
	}
	return m.cfg.Escalate.Staff && member == c.agent
}

// recipients calls fn with each member of whom escalates is true.
func (m *Machine) recipients(c *conversation, fn func(member int8)) {
	if m.escalates(c, 0) {
		fn(0)
	}
	if c.agent > 0 && m.escalates(c, c.agent) {
		fn(c.agent)
	}
}

func (m *Machine) unacked(c *conversation, kind UnackedKind, member int8, e UnackedEvent) {
	e.Kind, e.Conv, e.Group, e.User = kind, c.id, c.groupName(), c.members[member].key()
	m.out.Unacked = append(m.out.Unacked, e)
}

// awaitAcks tells who has to ack a message of a member.
func (m *Machine) awaitAcks(c *conversation, sender int8, seq uint64) {
	m.recipients(c, func(member int8) {
		if member != sender {
			m.unacked(c, UnackedSent, member, UnackedEvent{Seq: seq, AtMS: m.now})
		}
	})
}

// acked tells that a member's mark rose.
func (m *Machine) acked(c *conversation, member int8) {
	if m.escalates(c, member) {
		m.unacked(c, UnackedMark, member, UnackedEvent{Seq: c.members[member].delivered})
	}
}

// awaitPast tells that a member has to ack what others wrote before: it has the conversation now, or nobody knows what became of a failed commit.
func (m *Machine) awaitPast(c *conversation, member int8, sinceMS int64) {
	if m.escalates(c, member) {
		m.unacked(c, UnackedSince, member, UnackedEvent{Seq: c.members[member].delivered, Head: c.head, AtMS: sinceMS})
	}
}

// leftUnacked tells that a member does not have the conversation any more.
func (m *Machine) leftUnacked(c *conversation, member int8) {
	if m.cfg.Escalate.Staff {
		m.unacked(c, UnackedLeft, member, UnackedEvent{})
	}
}

// closedUnacked tells that the conversation was closed. Only the store's note says so to a server that starts before the escalation has a record of it.
func (m *Machine) closedUnacked(c *conversation) {
	m.recipients(c, func(member int8) {
		missed := c.members[member].delivered+1 < c.head // the last one tells that it is closed
		m.unacked(c, UnackedClosed, member, UnackedEvent{Noted: missed})
		if missed {
			m.out.Writes = append(m.out.Writes, Write{Op: PutUnacked, Conv: c.id})
		}
	})
}

// reopenedUnacked tells that it is open again.
func (m *Machine) reopenedUnacked(c *conversation) {
	m.recipients(c, func(member int8) {
		m.unacked(c, UnackedReopened, member, UnackedEvent{Seq: c.members[member].delivered, Head: c.head})
	})
}

// tellUnacked tells everything again, after a failed commit.
func (m *Machine) tellUnacked(c *conversation) {
	for i := int8(1); int(i) < len(c.members); i++ {
		if i != c.agent {
			m.leftUnacked(c, i)
		}
	}
	m.recipients(c, func(member int8) { m.awaitPast(c, member, 0) })
	if c.state == frame.StateClosed {
		m.closedUnacked(c)
	}
}

// Recipient is somebody who has to ack what others write in a conversation.
type Recipient struct {
	User      UserKey
	Delivered uint64
}

// Recipients reads a state record: who has to ack, and whether the conversation is closed.
func (d *OpenDecoder) Recipients(conv frame.ID, data []byte) (group string, closed bool, list []Recipient, err error) {
	c := conversation{id: conv}
	if err := d.records.restore(&c, data, ""); err != nil {
		return "", false, nil, err
	}
	for i := range c.members {
		if mb := &c.members[i]; i == 0 || int8(i) == c.agent {
			list = append(list, Recipient{User: mb.key(), Delivered: mb.delivered})
		}
	}
	return c.groupName(), c.state == frame.StateClosed, list, nil
}
