package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// barrier keeps a connection's messages in order over a refusal. A client that has many sends under way may see one refused for now
// (overloaded, unavailable) and those behind it arrive a moment later, when they would be accepted; its retry would then come after
// them. So from the refusal on, everything that the connection sends to the conversation is refused too, until the refused message
// comes again, or the client has had barrierMS to do so and did not.
type barrier struct {
	conn    frame.ConnID
	id      frame.ID
	untilMS int64
}

const barrierMS = 30_000

// bar refuses what conn sends from now on until id comes.
func (c *conversation) bar(conn frame.ConnID, id frame.ID, nowMS int64) {
	t := c.troubled()
	t.barriers = slices.DeleteFunc(t.barriers, func(b barrier) bool { return b.untilMS < nowMS })
	if !slices.ContainsFunc(t.barriers, func(b barrier) bool { return b.conn == conn }) {
		t.barriers = append(t.barriers, barrier{conn, id, nowMS + barrierMS})
	}
}

// mayPass tells whether a message may be accepted, and lifts the barrier if it is the one that was refused.
func (c *conversation) mayPass(conn frame.ConnID, id frame.ID, nowMS int64) bool {
	if c.trouble == nil {
		return true // the hot path
	}
	i := c.barrierOf(conn)
	if i < 0 {
		return true
	}
	if b := c.trouble.barriers[i]; b.id != id && nowMS <= b.untilMS {
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
	if p.typ == frame.TypeSend && s.Parse(p.frame) == nil && s.Level == 2 {
		c.bar(p.from.Conn, s.ID, m.now)
	}
}

// Refused tells that the commit of an accepted message failed and its sender was told so; before Invalidate, in the order of the messages.
func (m *Machine) Refused(conv frame.ID, conn frame.ConnID, id frame.ID) {
	if c := m.convs[conv]; c != nil && !id.IsZero() {
		c.bar(conn, id, m.now)
	}
}
