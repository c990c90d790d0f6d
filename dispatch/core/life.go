package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// openFrame finds the conversation that an open frame means.
func (m *Machine) openFrame(p parked) {
	var o frame.Open
	if err := o.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	m.deliver(m.conversation(ConversationID(p.from.Who.User, o.Key)), p)
}

// open creates the conversation, or answers a retry with what exists.
func (m *Machine) open(c *conversation, p parked) {
	var o frame.Open
	if err := o.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	asked, err := parseAsked(o.Details)
	if err != nil && len(c.members) == 0 {
		m.refuse(p.from.Conn, o.Ref, frame.ErrorBadRequest, err.Error())
		m.forgetMissing(c)
		return
	}
	if !m.mayOpen(c, p, &o) {
		if len(c.members) == 0 {
			m.forgetMissing(c)
		}
		return
	}
	created := len(c.members) == 0
	if created {
		m.create(c, p, &o, asked)
	}
	if p.from.Conn == 0 {
		return // it was closed while this waited
	}
	if !created {
		m.askPlace(c, 0)
	}
	c.attach(attachment{conn: p.from.Conn, member: 0}, p.from.Who)
	m.touch(c).presence = true
	m.out.Answers = append(m.out.Answers, Answer{Kind: AnswerAttached, Conn: p.from.Conn, Ref: o.Ref, Arrived: p.arrived, Conv: c.id})
	m.show(c, p.from.Conn, o.Ref)
}

// mayOpen refuses an open that cannot be carried out. The group counts only for a new conversation.
func (m *Machine) mayOpen(c *conversation, p parked, o *frame.Open) bool {
	switch {
	case p.from.Who.Role != frame.RoleVisitor:
		m.refuse(p.from.Conn, o.Ref, frame.ErrorForbidden, "only visitors open conversations")
	case len(c.members) > 0:
		return true
	case len(p.from.Who.Groups()) > 0 && !slices.Contains(p.from.Who.Groups(), string(o.Group)):
		m.refuse(p.from.Conn, o.Ref, frame.ErrorForbidden, "the token does not allow this group")
	case len(o.Group) == 0:
		m.refuse(p.from.Conn, o.Ref, frame.ErrorBadRequest, "open names no group")
	case !m.available:
		m.refuseUnavailable(p.from.Conn, o.Ref)
	default:
		return true
	}
	return false
}

// create makes the conversation: its first message tells that it was opened.
func (m *Machine) create(c *conversation, p parked, o *frame.Open, asked *asked) {
	c.state, c.group, c.openedMS = frame.StateQueued, m.groupOf(string(o.Group)), m.now
	c.addMember(p.from.Who.User, frame.RoleVisitor)
	m.touch(c).putState = true
	e := event{Event: "opened", Group: c.groupName(), By: p.from.Who.User}
	asked.put(c, &e)
	m.appendEvent(c, e, 0)
	m.out.Writes = append(m.out.Writes, Write{Op: PutMember, Conv: c.id, User: c.members[0].key(), Open: true})
	m.out.Desk = append(m.out.Desk, c.opened())
	m.notify(c, 0, p.from.Conn)
}

// closeFrame ends the conversation.
func (m *Machine) closeFrame(c *conversation, p parked) {
	var cl frame.Close
	if err := cl.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	if _, ok := c.mayFollow(p.from.Who); !ok {
		m.refuse(p.from.Conn, cl.Ref, frame.ErrorForbidden, "only those who take part and supervisors of the group may close")
		return
	}
	if c.state == frame.StateClosed {
		m.ack(p.from.Conn, cl.Ref, c.head, uint64(m.now), p.arrived)
		return
	}
	if !m.available {
		m.refuseUnavailable(p.from.Conn, cl.Ref)
		return
	}
	seq, timeMS := m.end(c, event{Event: "closed", By: p.from.Who.User}, p.from.Conn)
	m.audit(AuditClose, c, p.from.Who)
	m.ack(p.from.Conn, cl.Ref, seq, timeMS, p.arrived)
}

// Show sends the conversation's state to a connection of a user who takes part in it (hello with the list flag).
func (m *Machine) Show(conv frame.ID, from Origin) {
	m.deliver(m.conversation(conv), parked{kind: parkedShow, from: from})
}

// show sends a conversation frame.
func (m *Machine) show(c *conversation, conn frame.ConnID, ref uint64) {
	if len(c.members) == 0 {
		m.forgetMissing(c)
		return
	}
	off := len(m.out.Buf)
	m.appendConversation(c, ref)
	m.to(conn, off)
}

// notify tells all devices of a member about the conversation, but one.
func (m *Machine) notify(c *conversation, i int8, except frame.ConnID) {
	off := len(m.out.Buf)
	m.appendConversation(c, 0)
	m.out.Users = append(m.out.Users, UserEvent{User: c.members[i].key(), Off: uint32(off), Len: uint32(len(m.out.Buf) - off), Except: except})
}

func (m *Machine) appendConversation(c *conversation, ref uint64) {
	f := frame.Conversation{Ref: ref, Conv: c.id, State: c.shown(), Group: []byte(c.groupName()), Visitor: []byte(c.members[0].user), Head: c.head}
	if c.agent >= 0 {
		f.Agent = []byte(c.members[c.agent].user)
	}
	m.out.Buf = f.Append(m.out.Buf)
}
