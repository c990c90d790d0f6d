package core

import (
	"cmp"
	"errors"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// attachFrame attaches from the head on.
func (m *Machine) attachFrame(c *conversation, p parked) {
	var a frame.Attach
	if err := a.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	m.resumeFrom(c, p, a.Ref, c.head)
}

// resume attaches and replays what the client missed.
func (m *Machine) resume(c *conversation, p parked) {
	var r frame.Resume
	if err := r.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	m.resumeFrom(c, p, r.Ref, r.After)
}

// resumeFrom answers with resumed and attaches the connection: live at once if it missed nothing, catching up if it did. A client that
// has seen more than there is, or missed too much, is told that it cannot recover, and is live from the head on.
func (m *Machine) resumeFrom(c *conversation, p parked, ref, after uint64) {
	member, ok := c.mayFollow(p.from.Who)
	if !ok {
		m.refuse(p.from.Conn, ref, frame.ErrorForbidden, "only those who take part and supervisors of the group may attach")
		return
	}
	if member < 0 {
		m.audit(AuditWatch, c, p.from.Who)
	}
	r := frame.Resumed{Ref: ref, Conv: c.id, Recovered: true, After: after, Head: c.head}
	switch {
	case after > c.head, c.head-after > uint64(m.cfg.ResumeMax):
		r.Recovered = false
		after = c.head
	default:
		r.Count = c.head - after
	}
	m.out.Answers = append(m.out.Answers, Answer{Kind: AnswerAttached, Conn: p.from.Conn, Ref: ref, Arrived: p.arrived, Conv: c.id})
	off := len(m.out.Buf)
	m.out.Buf = r.Append(m.out.Buf)
	m.to(p.from.Conn, off)
	c.attach(attachment{conn: p.from.Conn, member: member, catching: after < c.head, after: after}, p.from.Who)
	if after < c.head {
		m.out.Jobs = append(m.out.Jobs, Job{Op: JobReplay, Conv: c.id, Conn: p.from.Conn, After: after, Upto: c.head})
	}
	if member < 0 {
		m.staff.add(c.id, p.from.Conn, p.from.Who)
	} else {
		m.staff.remove(c.id, p.from.Conn)
	}
	m.askPlace(c, member)
	m.showMarks(c, p.from.Conn, member)
	m.touch(c).presence = true
}

// askPlace has a visitor who comes back told where it waits; else it would hear of it when its place changes next.
func (m *Machine) askPlace(c *conversation, member int8) {
	if member == 0 && c.state == frame.StateQueued {
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskPlace, Conv: c.id})
	}
}

// showMarks tells a new receiver how far the other members are.
func (m *Machine) showMarks(c *conversation, conn frame.ConnID, self int8) {
	for i := range c.members {
		if mb := &c.members[i]; int8(i) != self && mb.delivered > 0 {
			off := len(m.out.Buf)
			m.appendReceipt(c, i)
			m.to(conn, off)
		}
	}
}

// ErrGone is the error of Replayed and LookedUp when some of the messages are kept nowhere any more, so that asking again is useless.
var ErrGone = errors.New("core: messages are kept no more")

// Replayed brings the messages of a JobReplay: frames in a row, the last of them with sequence last. The connection becomes live when it has
// all; else the rest is asked for. An error ends the attachment with an error frame: the client resumes. But ErrGone ends the replay only. Sent
// tells whether the connection gets something with this batch.
func (m *Machine) Replayed(conv frame.ID, conn frame.ConnID, after uint64, frames []byte, last uint64, err error) (sent bool) {
	c := m.convs[conv]
	if c == nil {
		return false
	}
	i := c.attachmentOf(conn)
	if i < 0 || !c.attached[i].catching || c.attached[i].after != after {
		return false // it left, or began anew
	}
	if errors.Is(err, ErrGone) {
		m.skip(c, &c.attached[i])
		return true
	}
	if err != nil || last == after {
		m.refuse(conn, 0, frame.ErrorUnavailable, "the replay of conversation "+conv.String()+" could not be read; resume it again")
		m.gone(c, conn)
		return false
	}
	off := len(m.out.Buf)
	m.out.Buf = append(m.out.Buf, frames...)
	m.out.Replayed += int(last-after) - 1
	m.to(conn, off)
	a := &c.attached[i]
	a.after, a.catching = last, last < c.head
	if a.catching {
		m.out.Jobs = append(m.out.Jobs, Job{Op: JobReplay, Conv: c.id, Conn: conn, After: last, Upto: c.head})
	}
	return true
}

// skip ends a replay that cannot be completed: a second resumed tells so, as a first one does of a replay that cannot begin, and the connection is
// live from the head on.
func (m *Machine) skip(c *conversation, a *attachment) {
	r := frame.Resumed{Conv: c.id, After: a.after, Head: c.head}
	off := len(m.out.Buf)
	m.out.Buf = r.Append(m.out.Buf)
	m.to(a.conn, off)
	a.after, a.catching = c.head, false
}

// detachFrame ends the delivery to a connection.
func (m *Machine) detachFrame(c *conversation, p parked) {
	var d frame.Detach
	if err := d.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	seq := uint64(0)
	if c.attachmentOf(p.from.Conn) >= 0 {
		seq = c.head
	}
	m.gone(c, p.from.Conn)
	m.ack(p.from.Conn, d.Ref, seq, uint64(m.now), p.arrived)
}

// leave carries out a detach that finds no room among what waits for a load, so that nothing that waits attaches the connection for good.
func (m *Machine) leave(c *conversation, conn frame.ConnID) {
	waiting := c.waiting()
	for i := range waiting {
		waiting[i].leaves = waiting[i].leaves || waiting[i].from.Conn == conn
	}
	m.gone(c, conn)
}

// Gone tells that a connection was closed, for each conversation that it may be attached to.
func (m *Machine) Gone(conv frame.ID, conn frame.ConnID) {
	c := m.convs[conv]
	if c == nil {
		return
	}
	waiting := c.waiting()[:0]
	for _, p := range c.waiting() {
		// What a closed connection attached would stay for ever; what it sent or opened still counts.
		if p.from.Conn == conn && (p.typ == frame.TypeAttach || p.typ == frame.TypeResume || p.kind == parkedShow) {
			continue
		}
		if p.from.Conn == conn && p.typ == frame.TypeOpen {
			p.from.Conn = 0
		}
		waiting = append(waiting, p)
	}
	c.wait(waiting)
	if !c.waitsFor(conn) {
		c.liftOf(conn) // else what waits would overtake the refused message, which comes again on another connection
	}
	m.gone(c, conn)
}

// Unattached tells that the commit failed on which the connection's attachment was built, and that it was told so. The connection itself
// goes on.
func (m *Machine) Unattached(conv frame.ID, conn frame.ConnID) {
	if c := m.convs[conv]; c != nil {
		m.gone(c, conn)
	}
}

func (m *Machine) gone(c *conversation, conn frame.ConnID) {
	if c.detach(conn) {
		m.touch(c).presence = true
		m.staff.remove(c.id, conn)
	}
}

// announcePresence tells the others which members came or went in this batch, and those before if that was withheld.
func (m *Machine) announcePresence(c *conversation) {
	for i := range c.members {
		online := c.online(i)
		if online == c.members[i].announced {
			continue
		}
		if m.quiet {
			m.unsaid[c] = struct{}{}
			m.out.Withheld++
			continue
		}
		c.members[i].announced = online
		off := len(m.out.Buf)
		p := frame.Presence{Conv: c.id, User: m.userBytes(c, int8(i)), Online: online}
		m.out.Buf = p.Append(m.out.Buf)
		m.toOthers(c, int8(i), off)
	}
}

// online tells whether a member has a connection that is attached.
func (c *conversation) online(member int) bool {
	return slices.ContainsFunc(c.attached, func(a attachment) bool { return int(a.member) == member })
}

// toOthers sends what was appended to Buf from off on to the live receivers that are not devices of member i.
func (m *Machine) toOthers(c *conversation, i int8, off int) {
	for _, a := range c.attached {
		if a.member != i && !a.catching {
			m.to(a.conn, off)
		}
	}
}

// history asks for a page; the pool sends it.
func (m *Machine) history(c *conversation, p parked) {
	var h frame.History
	if err := h.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	member, ok := c.mayFollow(p.from.Who)
	if !ok {
		m.refuse(p.from.Conn, h.Ref, frame.ErrorForbidden, "only those who take part and supervisors of the group may read the history")
		return
	}
	if member < 0 {
		m.audit(AuditRead, c, p.from.Who)
	}
	if c.head == 0 { // notes of which there are none
		off := len(m.out.Buf)
		m.out.Buf = (&frame.Page{Ref: h.Ref, Conv: c.id}).Append(m.out.Buf)
		m.to(p.from.Conn, off)
		return
	}
	limit := cmp.Or(h.Limit, frame.DefaultHistory)
	// Bounded by the head of this batch: when the page is read everything up to it is durable, and what came later may not be.
	before := min(cmp.Or(h.Before, c.head+1), c.head+1)
	m.out.Jobs = append(m.out.Jobs, Job{Op: JobPage, Conv: c.id, Conn: p.from.Conn, Ref: h.Ref, Before: before, Limit: int(min(limit, frame.MaxHistory))})
}
