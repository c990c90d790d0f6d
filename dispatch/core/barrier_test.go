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
			h.batched(func() { h.m.HandedOver(j.Conv, j.Conn, j.Ref) })
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
// Each is handed over again.
func TestHandedOverTooEarly(t *testing.T) {
	h, conv := begun(t)
	c, first, earlier := h.m.convs[conv], frame.ID{1}, frame.ID{2}
	handOver := func(first frame.ID) (ticket uint64) {
		t.Helper()
		e := h.batched(func() { h.m.handOver(c, c.trouble.barriers) })
		if len(e.Jobs) != 1 || e.Jobs[0].Refused.ids[0] != first {
			t.Fatalf("handed over: %+v, want the barrier of %s", e.Jobs, first)
		}
		return e.Jobs[0].Ref
	}
	h.batched(func() { h.m.bar(c, 9, first) })
	ticket := handOver(first)
	h.batched(func() { h.m.Refused(conv, 9, earlier) })
	h.batched(func() { h.m.HandedOver(conv, 9, ticket) })
	if c.barrierOf(9) < 0 {
		t.Error("a barrier with another first message was given up")
	}
	ticket = handOver(earlier)
	c.load = looking
	c.wait([]parked{{from: Origin{Conn: 9}}})
	h.batched(func() { h.m.HandedOver(conv, 9, ticket) })
	if c.barrierOf(9) < 0 {
		t.Error("a barrier was given up before what waits behind it")
	}
	c.wait(nil)
	ticket = handOver(earlier)
	h.batched(func() { h.m.HandedOver(conv, 9, ticket) })
	if c.barrierOf(9) >= 0 {
		t.Error("a barrier that was handed over stays")
	}
}

// TestHandedOverOnce: a barrier that is on its way is not sent again; the second would come to the loop when the first has ended there. One that was
// lifted meanwhile, because its message came again, and set again, because that was refused again, is another: the loop has lifted the first, too.
func TestHandedOverOnce(t *testing.T) {
	h, conv := begun(t)
	c, first := h.m.convs[conv], frame.ID{1}
	h.batched(func() { h.m.bar(c, 9, first) })
	ticket := uint64(0)
	for want := 1; want >= 0; want-- {
		var waits bool
		e := h.batched(func() { waits = h.m.handOver(c, c.trouble.barriers) })
		if len(e.Jobs) != want || !waits {
			t.Errorf("%d are handed over, want %d; waits: %t", len(e.Jobs), want, waits)
		}
		if want == 1 {
			ticket = e.Jobs[0].Ref
		}
	}
	h.batched(func() {
		if !c.mayPass(9, first) {
			t.Error("the message that is awaited does not pass")
		}
		h.m.bar(c, 9, first)
	})
	h.batched(func() { h.m.HandedOver(conv, 9, ticket) })
	if c.barrierOf(9) < 0 {
		t.Error("a barrier that no loop has was given up")
	}
	h.batched(func() { h.m.handOver(c, c.trouble.barriers) })
	h.batched(func() { h.m.HandedOver(conv, 9, ticket) })
	if c.barrierOf(9) < 0 {
		t.Error("a barrier was given up when an older one had reached the loop")
	}
}
