package core

import (
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestManyBarriers: of connections that are not attached, a conversation holds so many barriers and no more; the others are with their loops, and
// none is forgotten. One whose connection is attached stays.
func TestManyBarriers(t *testing.T) {
	h, conv := begun(t)
	c := h.m.convs[conv]
	handed := map[frame.ConnID]bool{}
	const conns = 3 * barriersMax
	for conn := frame.ConnID(1); conn <= conns; conn++ { // connection 1 is attached
		e := h.batched(func() { h.m.bar(c, conn, frame.ID{byte(conn)}) })
		for _, j := range e.Jobs {
			handed[j.Conn] = true
			h.batched(func() { h.m.HandedOver(j.Conv, j.Conn, j.First) })
		}
	}
	if n := len(c.trouble.barriers); n != barriersMax {
		t.Errorf("%d barriers are in memory", n)
	}
	for conn := frame.ConnID(1); conn <= conns; conn++ {
		if barred := c.barrierOf(conn) >= 0; barred == handed[conn] {
			t.Errorf("connection %d: barred here %t, with its loop %t", conn, barred, handed[conn])
		}
	}
	if c.barrierOf(1) < 0 {
		t.Error("the barrier of an attached connection was handed over")
	}
}

// TestHandedOverTooEarly: a barrier that has got an earlier first message since it was handed over stays, and so does one that something waits behind.
func TestHandedOverTooEarly(t *testing.T) {
	h, conv := begun(t)
	c, first := h.m.convs[conv], frame.ID{1}
	h.batched(func() { h.m.bar(c, 9, first) })
	h.batched(func() { h.m.Refused(conv, 9, frame.ID{2}) })
	h.batched(func() { h.m.HandedOver(conv, 9, first) })
	if c.barrierOf(9) < 0 {
		t.Error("a barrier with another first message was given up")
	}
	c.load = looking
	c.wait([]parked{{from: Origin{Conn: 9}}})
	h.batched(func() { h.m.HandedOver(conv, 9, frame.ID{2}) })
	if c.barrierOf(9) < 0 {
		t.Error("a barrier was given up before what waits behind it")
	}
	c.wait(nil)
	h.batched(func() { h.m.HandedOver(conv, 9, frame.ID{2}) })
	if c.barrierOf(9) >= 0 {
		t.Error("a barrier that was handed over stays")
	}
}
