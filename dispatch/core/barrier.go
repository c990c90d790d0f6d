package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// barrier is what the machine refuses of a connection.
//
// The barrier of a connection that is attached ends with it. The end of another one nobody tells this conversation: its barrier is handed over to its
// loop, which keeps it as long as the connection lives, when the conversation would leave memory or has too many.
type barrier struct {
	conn    frame.ConnID
	refused Refusals

	ticket  uint64 // of the hand-over that is under way; 0: none
	changed bool   // something was refused since then
}

// barriersMax is how many barriers a conversation holds; of further ones, those of connections that are not attached are handed over at once.
const barriersMax = 256

// bar notes that a message of conn is refused for now.
func (m *Machine) bar(c *conversation, conn frame.ConnID, id frame.ID) {
	m.barrier(c, conn).refused.Refuse(id, refusalsMax)
	m.spill(c, conn)
}

// spill hands a connection's barrier over if it is one too many.
func (m *Machine) spill(c *conversation, conn frame.ConnID) {
	if t := c.trouble; len(t.barriers) > barriersMax {
		if i := c.barrierOf(conn); i >= barriersMax {
			m.handOver(c, t.barriers[i:i+1])
		}
	}
}

// barrier returns a connection's barrier, made if need be, to be changed; valid until there is another one.
func (m *Machine) barrier(c *conversation, conn frame.ConnID) *barrier {
	t, i := c.troubled(), c.barrierOf(conn)
	if i < 0 {
		i = len(t.barriers)
		t.barriers = append(t.barriers, barrier{conn: conn})
	}
	b := &t.barriers[i]
	b.changed = true
	return b
}

// handOver has the loops of those connections that are not attached refuse in this conversation's place, and tells whether there are any. The barriers
// stay until HandedOver. One that is on its way is not sent again: the second might reach the loop when the first has ended there.
func (m *Machine) handOver(c *conversation, barriers []barrier) (any bool) {
	for i := range barriers {
		b := &barriers[i]
		if c.attachmentOf(b.conn) >= 0 {
			continue
		}
		any = true
		if b.ticket == 0 {
			m.tickets++
			b.ticket, b.changed = m.tickets, false
			refused := b.refused.clone()
			m.out.Jobs = append(m.out.Jobs, Job{Op: JobHandOver, Conv: c.id, Conn: b.conn, Ref: b.ticket, Refused: &refused})
		}
	}
	return any
}

// HandedOver tells that a loop has taken a barrier, or that the connection has ended, and that all which came before that is here. The barrier stays
// if more was refused meanwhile, which the loop does not know, or something of the connection waits behind it; it is handed over again later. It also
// stays if it is a new one, set since a message came again: then the loop has let that message pass and keeps nothing.
func (m *Machine) HandedOver(conv frame.ID, conn frame.ConnID, ticket uint64) {
	c := m.convs[conv]
	if c == nil {
		return
	}
	i := c.barrierOf(conn)
	if i < 0 || c.trouble.barriers[i].ticket != ticket {
		return
	}
	b := &c.trouble.barriers[i]
	b.ticket = 0
	switch {
	case c.waitsFor(conn):
	case b.changed:
		m.spill(c, conn)
	default:
		c.lift(i)
	}
}

// mayPass tells whether a message may be accepted, and lifts the barrier if it is one that is awaited.
func (c *conversation) mayPass(conn frame.ConnID, id frame.ID) bool {
	if c.trouble == nil {
		return true // the hot path
	}
	i := c.barrierOf(conn)
	if i < 0 {
		return true
	}
	if !c.trouble.barriers[i].refused.Awaits(id) {
		return false
	}
	c.lift(i)
	return true
}

// barrierOf returns the index of a connection's barrier, or -1.
func (c *conversation) barrierOf(conn frame.ConnID) int {
	if c.trouble == nil {
		return -1
	}
	return slices.IndexFunc(c.trouble.barriers, func(b barrier) bool { return b.conn == conn })
}

// lift removes a barrier.
func (c *conversation) lift(i int) {
	c.trouble.barriers = slices.Delete(c.trouble.barriers, i, i+1)
	c.settle()
}

// liftOf removes the barrier of a connection that is gone: the client begins anew on another.
func (c *conversation) liftOf(conn frame.ConnID) {
	if i := c.barrierOf(conn); i >= 0 {
		c.lift(i)
	}
}

// refuseForNow answers a frame with an error that asks for a retry; a message bars those behind it.
func (m *Machine) refuseForNow(c *conversation, p parked, code uint64, text string) {
	if p.kind != parkedFrame {
		return // nobody to tell
	}
	m.refuse(p.from.Conn, frame.PeekRef(p.frame), code, text)
	var s frame.Send
	if p.typ == frame.TypeSend && s.Parse(p.frame) == nil && s.Level == 2 && !s.ID.IsZero() {
		m.bar(c, p.from.Conn, s.ID)
	}
}

// Refused tells that the commit of an accepted message failed and its sender was told so. Of several the last one comes first: each goes before
// what was refused until then, also before what was refused at once, because the store was away, while the commit was under way. The conversation may have left memory meanwhile.
func (m *Machine) Refused(conv frame.ID, conn frame.ConnID, id frame.ID) {
	if id.IsZero() {
		return
	}
	c := m.conversation(conv)
	m.barrier(c, conn).refused.refuseBefore(id)
	m.spill(c, conn)
}
