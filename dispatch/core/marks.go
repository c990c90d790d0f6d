package core

import "github.com/switchyard-im/switchyard/frame"

// mark raises the delivered or read mark of the sender; the others get one receipt per batch.
func (m *Machine) mark(c *conversation, p parked) {
	var mk frame.Mark
	if err := mk.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	i, ok := c.mayTakePart(p.from.Who)
	switch {
	case !ok:
		m.refuse(p.from.Conn, 0, frame.ErrorForbidden, "only the visitor and the assigned agent have marks")
		return
	case mk.Seq > c.head:
		m.refuse(p.from.Conn, 0, frame.ErrorBadSequence, "the mark is beyond the head of the conversation")
		return
	}
	if i < 0 { // of notes
		if !m.available {
			m.refuseUnavailable(p.from.Conn, 0)
			return
		}
		i = m.enrol(c, p.from.Who)
	}
	mb := &c.members[i]
	read := mb.read
	if mk.Type == frame.TypeRead {
		read = max(read, mk.Seq)
	}
	delivered := max(mb.delivered, mk.Seq) // what was read was delivered
	if delivered == mb.delivered && read == mb.read {
		return
	}
	mb.delivered, mb.read = delivered, read
	if !c.marksDirty {
		c.marksDirty = true
		m.dirty = append(m.dirty, c)
	}
	b := m.touch(c)
	b.marks |= 1 << i
	b.markConn = p.from.Conn
}

// announceMarks sends one receipt for each member whose marks rose in this batch, to all but the device that told.
func (m *Machine) announceMarks(c *conversation, b *batchState) {
	for i := range c.members {
		if b.marks&(1<<i) == 0 {
			continue
		}
		off := len(m.out.Buf)
		m.appendReceipt(c, i)
		m.acked(c, int8(i))
		m.toAttached(c, off, len(m.out.Buf)-off, b.markConn)
	}
}

func (m *Machine) appendReceipt(c *conversation, i int) {
	r := frame.Receipt{Conv: c.id, User: m.userBytes(c, int8(i)), Delivered: c.members[i].delivered, Read: c.members[i].read}
	m.out.Buf = r.Append(m.out.Buf)
}

// signal is a transient notice that waits for the end of the batch, where the last one of its name wins. The frame is in Buf.
type signal struct {
	conv     *conversation
	from     frame.ConnID
	name     string
	off, len int
}

// signal takes a level 0 notice.
func (m *Machine) signal(c *conversation, p parked) {
	var s frame.Signal
	if err := s.Parse(p.frame); err != nil {
		m.badFrame(p, err)
		return
	}
	if _, ok := c.mayTakePart(p.from.Who); !ok {
		m.refuse(p.from.Conn, 0, frame.ErrorForbidden, "only the visitor and the assigned agent may signal")
		return
	}
	off := len(m.out.Buf)
	out := frame.Signaled{Conv: c.id, Sender: m.bytes(p.from.Who.User), Name: s.Name, Body: s.Body}
	m.out.Buf = out.Append(m.out.Buf)
	n := len(m.out.Buf) - off
	for k := range m.signals {
		if q := &m.signals[k]; q.conv == c && q.from == p.from.Conn && q.name == string(s.Name) {
			q.off, q.len = off, n
			return
		}
	}
	m.signals = append(m.signals, signal{conv: c, from: p.from.Conn, name: string(s.Name), off: off, len: n})
}

// flushSignals sends what is left of the batch's signals.
func (m *Machine) flushSignals() {
	for _, s := range m.signals {
		m.toAttached(s.conv, s.off, s.len, s.from)
	}
	clear(m.signals)
	m.signals = m.signals[:0]
}

// flushConversation completes a conversation's part of the batch.
func (m *Machine) flushConversation(c *conversation, b *batchState) {
	if b.firstMessage != 0 {
		m.gather(c, b)
	}
	if b.putState {
		m.putState(c)
	}
	if b.left != 0 {
		m.tellLeft(c, b.left)
	}
	if b.moved && m.staff.followed(c.id) {
		m.out.Left = append(m.out.Left, c.id)
	}
	from := len(m.out.Targets)
	if b.marks != 0 {
		m.announceMarks(c, b)
	}
	if b.presence {
		m.announcePresence(c)
	}
	m.certain(from)
	c.touched = 0
}

// putState writes the conversation's record, marks included.
func (m *Machine) putState(c *conversation) {
	start := len(m.scratch)
	m.scratch = appendRecord(m.scratch, c)
	m.out.Writes = append(m.out.Writes, Write{Op: PutConversation, Conv: c.id, Open: c.state != frame.StateClosed && c.state != stateNotes, Data: m.scratch[start:len(m.scratch):len(m.scratch)]})
	c.marksDirty = false
}

// Marks are written within two seconds, and not all at once: thousands of records in one batch would hold messages up for tens of
// milliseconds. A Tick writes some, and what it leaves goes with the batches of the next second, or with the next Tick.
const (
	marksPerTick  = 64
	marksPerBatch = 16
)

// writeMarks writes the first n conversations of dirty.
func (m *Machine) writeMarks(n int) {
	n = min(n, len(m.dirty))
	for _, c := range m.dirty[:n] {
		if c.marksDirty {
			m.touch(c).putState = true
		}
	}
	clear(m.dirty[:n])
	if m.dirty = m.dirty[n:]; len(m.dirty) == 0 {
		m.dirty = nil
	}
	m.due = max(0, m.due-n)
}

// WriteMarks writes all marks, before the end, if the store takes them.
func (m *Machine) WriteMarks() {
	if m.available {
		m.writeMarks(len(m.dirty))
	}
}
