package core

import (
	"errors"

	"github.com/switchyard-im/switchyard/frame"
)

// send accepts a message: checks who sends it, finds an earlier copy, gives it the next sequence.
func (m *Machine) send(c *conversation, p parked) {
	var s frame.Send
	if err := s.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	sender, ok := c.mayTakePart(p.from.Who)
	if p.from.Who.Role == frame.RoleSystem {
		sender, ok = m.system(c, p.from.Who, &s)
	}
	switch {
	case !ok:
		m.refuseSend(c, p, &s, frame.ErrorForbidden, "only the visitor and the assigned agent may send")
		return
	case sender >= 0 && c.members[sender].role != p.from.Who.Role:
		m.refuseSend(c, p, &s, frame.ErrorConflict, textNamesake)
		return
	case s.Level != 1 && s.Level != 2:
		m.refuseSend(c, p, &s, frame.ErrorBadRequest, "send takes level 1 or 2; level 0 is the signal frame")
		return
	case s.Level == 2 && s.ID.IsZero():
		m.refuseSend(c, p, &s, frame.ErrorBadRequest, "level 2 needs the client's id of the message")
		return
	case s.Level == 2 && s.Base > c.head:
		m.refuseSend(c, p, &s, frame.ErrorBadSequence, "base is beyond the head of the conversation; resume first")
		return
	}
	if s.Level == 2 && sender >= 0 {
		if r, found := c.find(sender, s.ID, s.Base); found {
			m.acceptedBefore(c, p, &s, r.seq, r.timeMS)
			return
		}
		if s.Base < c.floor() {
			m.lookup(c, p, &s)
			return
		}
	}
	m.accept(c, p, sender, &s)
}

// system tells whether an application may send, and which member it is then: -1 if it has not sent yet, so that there is no earlier copy either. It
// keeps no base: without one, a copy is looked for as far back as that is done at all.
func (m *Machine) system(c *conversation, who *Identity, s *frame.Send) (member int8, ok bool) {
	s.Base = max(s.Base, c.head-min(c.head, uint64(m.cfg.LookbackMax)))
	return c.memberOf(who.User), who.supervises(c.groupName())
}

// systemsMax is under how many names applications may send in one conversation. Each takes the place of a participant for good, and without one left no agent
// can be assigned.
const systemsMax = membersMax / 4

const textNamesake = "a participant of the conversation has the same name; send under another one"

// refuseSend refuses a message for good. If it is the one that is awaited, nothing waits for it any more.
func (m *Machine) refuseSend(c *conversation, p parked, s *frame.Send, code uint64, text string) {
	c.mayPass(p.from.Conn, s.ID)
	m.refuse(p.from.Conn, s.Ref, code, text)
}

// acceptedBefore gives a retry the first answer, also in a closed conversation and while another message is awaited: it overtakes nothing.
func (m *Machine) acceptedBefore(c *conversation, p parked, s *frame.Send, seq, timeMS uint64) {
	c.mayPass(p.from.Conn, s.ID) // it may be the one that is awaited
	m.ack(p.from.Conn, s.Ref, seq, timeMS, p.arrived)
}

// accept stores a message that is known to be new.
func (m *Machine) accept(c *conversation, p parked, sender int8, s *frame.Send) {
	if c.state == frame.StateClosed {
		m.refuseSend(c, p, s, frame.ErrorClosed, "the conversation is closed")
		return
	}
	if !c.mayPass(p.from.Conn, s.ID) {
		m.refuseForNow(c, p, frame.ErrorUnavailable, "an earlier message of this connection was refused; send that one again first, or reconnect")
		return
	}
	if !m.available {
		m.refuseForNow(c, p, frame.ErrorUnavailable, textUnavailable)
		return
	}
	if sender < 0 {
		if sender = m.enrol(c, p.from.Who); sender < 0 {
			m.refuseSend(c, p, s, frame.ErrorConflict, "the conversation has had too many participants, or applications have sent under 16 names; send under one that was there before")
			return
		}
	}
	off := len(m.out.Buf)
	msg := frame.Message{Conv: c.id, Sender: m.userBytes(c, sender), Kind: frame.KindChat, ID: s.ID, Body: s.Body}
	m.appendMessage(c, &msg)
	n := len(m.out.Buf) - off
	m.remember(c, recentMessage{seq: msg.Seq, timeMS: msg.TimeMS, id: s.ID, member: sender})
	m.ack(p.from.Conn, s.Ref, msg.Seq, msg.TimeMS, p.arrived)
	a := &m.out.Answers[len(m.out.Answers)-1]
	a.Kind, a.Conv, a.ID = AnswerAccepted, c.id, s.ID
	if c.areNotes() {
		m.audit(AuditNote, c, p.from.Who)
	}
	m.wrote(c, sender)
	m.awaitAcks(c, sender, msg.Seq)
	m.toAttached(c, off, n, p.from.Conn)
}

// appendMessage numbers and encodes a message of a conversation and puts it into the batch.
func (m *Machine) appendMessage(c *conversation, msg *frame.Message) {
	msg.Prev, msg.Seq, msg.TimeMS = c.head, c.head+1, uint64(m.now)
	c.head = msg.Seq
	off := len(m.out.Buf)
	m.out.Buf = msg.Append(m.out.Buf)

	m.messages = append(m.messages, messageRef{off: int32(off), len: int32(len(m.out.Buf) - off)})
	index := int32(len(m.messages)) // plus one, so that 0 is none
	b := m.touch(c)
	if b.firstMessage == 0 {
		b.firstMessage, b.firstSeq = index, msg.Seq
	} else {
		m.messages[b.lastMessage-1].next = index
	}
	b.lastMessage = index
}

// appendEvent puts a message of the server into the conversation and sends it to every live receiver but one.
func (m *Machine) appendEvent(c *conversation, e event, except frame.ConnID) (seq, timeMS uint64) {
	off := len(m.out.Buf)
	msg := frame.Message{Conv: c.id, Kind: frame.KindEvent, Body: e.encode()}
	m.appendMessage(c, &msg)
	m.remember(c, recentMessage{seq: msg.Seq, timeMS: msg.TimeMS, member: -1})
	m.toAttached(c, off, len(m.out.Buf)-off, except)
	m.leaver = 0
	return msg.Seq, msg.TimeMS
}

// userBytes is the name of a member for encoding; it borrows the scratch buffer until the next call.
func (m *Machine) userBytes(c *conversation, i int8) []byte {
	return m.bytes(c.members[i].user)
}

// bytes is a name for encoding; it borrows the scratch buffer until the next call.
func (m *Machine) bytes(name string) []byte {
	m.name = append(m.name[:0], name...)
	return m.name
}

// lookup asks the store for the messages between the base and the window, and lets the conversation wait for them.
func (m *Machine) lookup(c *conversation, p parked, s *frame.Send) {
	if c.head-s.Base > uint64(m.cfg.LookbackMax) {
		m.refuseBase(c, p, s)
		return
	}
	p.frame = append([]byte(nil), p.frame...)
	c.load = looking
	c.wait(append([]parked{p}, c.waiting()...))
	m.out.Jobs = append(m.out.Jobs, Job{Op: JobLookup, Conv: c.id, After: s.Base, Upto: c.floor()})
}

// refuseBase refuses a message whose earlier copy cannot be looked for.
func (m *Machine) refuseBase(c *conversation, p parked, s *frame.Send) {
	m.refuseSend(c, p, s, frame.ErrorBadSequence, "base is too old to find an earlier copy; resume, and look for this id among the messages")
}

// Seen is one stored message, as a JobLookup finds it.
type Seen struct {
	Seq    uint64
	TimeMS uint64
	ID     frame.ID
	Sender string // empty: an event
}

// LookedUp brings the result of a JobLookup: every message of (after, upto], ascending; or an error, which refuses the message that waits first. The
// window reaches back to after from now on, for a while: a client that has one message to send again after an outage has many, and each would
// cost a lookup. The one that asked may have been refused meanwhile (refuseAhead).
func (m *Machine) LookedUp(conv frame.ID, after, upto uint64, seen []Seen, err error) {
	c := m.convs[conv]
	if c == nil || c.load != looking || c.floor() != upto {
		return // the conversation was invalidated meanwhile
	}
	c.load = loaded
	switch w := c.waiting(); {
	case err == nil:
		c.widen(seen, m.now+wideMS)
	case len(w) > 0 && w[0].typ == frame.TypeSend:
		m.notLookedUp(c, c.next(), err)
	}
	m.resumeWaiting(c)
}

// notLookedUp refuses the message for which a lookup failed: for good if that would fail again.
func (m *Machine) notLookedUp(c *conversation, p parked, err error) {
	if !errors.Is(err, ErrGone) {
		m.refuseForNow(c, p, frame.ErrorUnavailable, textUnavailable)
		return
	}
	var s frame.Send
	if err := s.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	m.refuseBase(c, p, &s)
}

// gather returns the frames of the conversation's messages of this batch in a row, and puts them into one write.
func (m *Machine) gather(c *conversation, b *batchState) {
	first := &m.messages[b.firstMessage-1]
	data := m.out.Buf[first.off : first.off+first.len]
	if first.next != 0 {
		start := len(m.scratch)
		for i := b.firstMessage; i != 0; i = m.messages[i-1].next {
			r := m.messages[i-1]
			m.scratch = append(m.scratch, m.out.Buf[r.off:r.off+r.len]...)
		}
		data = m.scratch[start:]
	}
	m.out.Writes = append(m.out.Writes, Write{Op: PutMessages, Conv: c.id, First: b.firstSeq, Last: c.head, Data: data})
}
