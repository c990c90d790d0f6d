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
	c.barriers = slices.DeleteFunc(c.barriers, func(b barrier) bool { return b.untilMS < nowMS })
	if !slices.ContainsFunc(c.barriers, func(b barrier) bool { return b.conn == conn }) {
		c.barriers = append(c.barriers, barrier{conn, id, nowMS + barrierMS})
	}
}

// mayPass tells whether a message may be accepted, and lifts the barrier if it is the one that was refused.
func (c *conversation) mayPass(conn frame.ConnID, id frame.ID, nowMS int64) bool {
	if c.barriers == nil {
		return true // the hot path
	}
	i := slices.IndexFunc(c.barriers, func(b barrier) bool { return b.conn == conn })
	if i < 0 {
		return true
	}
	if c.barriers[i].id != id && nowMS <= c.barriers[i].untilMS {
		return false
	}
	c.lift(i)
	return true
}

// lift removes a barrier.
func (c *conversation) lift(i int) {
	if c.barriers = slices.Delete(c.barriers, i, i+1); len(c.barriers) == 0 {
		c.barriers = nil
	}
}

// liftOf removes the barrier of a connection that is gone: the client begins anew on another.
func (c *conversation) liftOf(conn frame.ConnID) {
	if i := slices.IndexFunc(c.barriers, func(b barrier) bool { return b.conn == conn }); i >= 0 {
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
