package netserver

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

func parseDrain(t testing.TB, f []byte) frame.Drain {
	t.Helper()
	var d frame.Drain
	if err := d.Parse(f); err != nil {
		t.Fatalf("% x: %v", f, err)
	}
	return d
}

// expectDrain reads a drain frame with this window and at most this delay.
func (c *client) expectDrain(delay, window time.Duration) {
	c.t.Helper()
	d := parseDrain(c.t, c.next().Payload)
	if d.DelayMS > uint64(delay.Milliseconds()) || d.WindowMS != uint64(window.Milliseconds()) {
		c.t.Fatalf("got %+v, want a window of %v after at most %v", d, window, delay)
	}
}

// TestDrainIsPaced has more connections than are told in one turn, and turns the loop's clock by hand. Each is told a slot of its own, and is
// closed when its window is over, at an even pace.
func TestDrainIsPaced(t *testing.T) {
	const many, over, window = drainBatch + 88, 110, 10 // seconds, which are ticks
	l := stoppedLoop(t, Config{PingAfter: time.Hour, CloseAfter: 2 * time.Hour}, &testHandler{})
	var conns []*pairedConn
	for range many {
		conns = append(conns, pair(t, l).upgrade(wanted))
	}
	l.begin()
	l.beginDeparture(departure{spread: (over - window) * time.Second, window: window * time.Second})
	l.end()
	if told := l.departure.told; told != drainBatch {
		t.Fatalf("%d were told in one turn", told)
	}
	l.runTasks() // by the same clock
	l.end()
	slots := make([]int, over-window)
	buf := make([]byte, 100)
	for _, c := range conns {
		d := parseDrain(t, c.receive(buf)[2:])
		if d.WindowMS != window*1000 {
			t.Fatalf("%+v", d)
		}
		slots[d.DelayMS/1000]++
	}
	for second, n := range slots {
		if n < many/len(slots)-1 || n > many/len(slots)+1 {
			t.Errorf("%d clients leave in second %d of %d", n, second, len(slots))
		}
	}
	for tick, before := 1, uint64(0); tick <= over+2; tick++ {
		l.begin()
		l.wheel.advance(l.visit)
		l.end()
		n := l.n.closed[ReasonDrain]
		if now := n - before; tick <= window && now > 0 || now > many/uint64(len(slots))+2 {
			t.Errorf("%d connections were closed in tick %d", now, tick)
		}
		before = n
	}
	if n := l.n.closed[ReasonDrain]; n != many || l.n.open != 0 {
		t.Errorf("%d of %d were closed, %d are open", n, many, l.n.open)
	}
}

// TestDrain: who leaves in its window goes by itself and is served until then, who stays is closed with 4000.
func TestDrain(t *testing.T) {
	s, o, reasons := watched(t, quick(Config{DrainWindow: time.Hour}))
	punctual := open(t, s)
	id := o.next(t)
	stubborn := open(t, s)
	drain := func(ctx context.Context, over time.Duration) chan error {
		done := make(chan error, 1)
		go func() { done <- s.Drain(ctx, over) }()
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	slow := drain(ctx, time.Hour)
	punctual.expectDrain(0, time.Hour)
	stubborn.expectDrain(0, time.Hour)
	s.Deliver(id.Loop(), parcelFor(new(parcelOwner), []byte("still served"), id))
	punctual.expect(ws.OpBinary, "still served")
	punctual.send(masked(ws.OpClose, true, closeBody(1000, "")))
	punctual.expectClose(1000)
	wantReason(t, reasons, ReasonClient)
	punctual.Close()
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("it still listens")
	}
	cancel()
	if err := <-slow; !errors.Is(err, context.Canceled) {
		t.Errorf("the interrupted drain ended with %v", err)
	}
	fast := drain(t.Context(), 50*time.Millisecond)
	stubborn.expectDrain(0, 50*time.Millisecond)
	stubborn.expectClose(frame.CloseDrain)
	wantReason(t, reasons, ReasonDrain)
	stubborn.Close()
	if err := <-fast; err != nil {
		t.Error(err)
	}
}

// TestDrainLetsHandshakesEnd: who connected in the last moment is not refused, but let in and sent away.
func TestDrainLetsHandshakesEnd(t *testing.T) {
	const tick = time.Minute // so that the grace is not over before the test is
	s := serve(t, Config{tick: tick, HandshakeTimeout: tick, PingAfter: tick, CloseAfter: 2 * tick, WriteTimeout: tick, LingerTimeout: tick}, &testHandler{})
	late := dial(t, s)
	eventually(t, "it is accepted", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = s.loops[0].live == 1 })
		return ok
	})
	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	late.send([]byte(upgradeRequest(s.cfg.Path, wanted)))
	late.readHead()
	late.expectDrain(0, 0)
	late.expectClose(frame.CloseDrain)
	late.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestShutdownHurriesADrain: a drain that would take an hour gives way.
func TestShutdownHurriesADrain(t *testing.T) {
	s, _, reasons := watched(t, Config{DrainWindow: time.Second})
	c := open(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Drain(ctx, time.Hour) }()
	c.expectDrain(time.Hour, time.Second)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the drain ended with %v", err)
	}
	go func() { done <- s.Shutdown(context.Background()) }()
	c.expectDrain(0, time.Second)
	c.expectClose(frame.CloseDrain)
	wantReason(t, reasons, ReasonShutdown)
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
