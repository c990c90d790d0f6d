package netserver

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// tokens is the obvious token bucket that the levels are compared with.
type tokens struct{ has, perTick, burst int }

func (b *tokens) tick()       { b.has = min(b.burst, b.has+b.perTick) }
func (b *tokens) spend(n int) { b.has -= n }
func (b *tokens) spent() int  { return b.burst - b.has }

// TestMeterFollowsTheModel sends, polls and lets time pass at random, and wants the levels of the connection, and whether it is paused, to be
// those of two token buckets that are counted one tick at a time.
func TestMeterFollowsTheModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 20 {
		lim := Limits{MessageRate: 1 + r.IntN(50), ByteRate: 100 + r.IntN(5000)}
		lim.MessageBurst, lim.ByteBurst = lim.MessageRate*(1+r.IntN(4)), lim.ByteRate*(1+r.IntN(4))
		l := stoppedLoop(t, Config{Raw: true, Limits: lim, PingAfter: 20 * time.Second, CloseAfter: 30 * time.Second, MessageTimeout: time.Hour}, &testHandler{})
		c := pair(t, l).upgrade()
		messages := tokens{lim.MessageBurst, lim.MessageRate, lim.MessageBurst}
		octets := tokens{lim.ByteBurst, lim.ByteRate, lim.ByteBurst}
		sent := l.n
		for step := range 500 {
			paused := c.paused
			switch r.IntN(3) {
			case 0:
				sysWrite(c.peer, bytes.Repeat(text(strings.Repeat("m", r.IntN(100))), 1+r.IntN(10))) // may be cut short; the stream stays whole or ends
			case 1:
				if !paused {
					_ = c.onRead(nil)
				}
			case 2:
				l.wheel.advance(l.visit)
				l.end()
				messages.tick()
				octets.tick()
			}
			if c.state != stateOpen {
				break // a write was cut short in the middle of a frame
			}
			messages.spend(int(l.n.messagesIn - sent.messagesIn))
			octets.spend(int(l.n.bytesIn - sent.bytesIn))
			sent = l.n
			now := l.meter.after(c.Conn, l.wheel.now)
			if int(now.messages) != messages.spent() || int(now.bytes) != octets.spent() {
				t.Fatalf("%+v step %d: levels %+v, model %d and %d", lim, step, now, messages.spent(), octets.spent())
			}
			if over := messages.has <= 0 || octets.has <= 0; c.paused != over {
				t.Fatalf("%+v step %d: paused %v with %d messages and %d bytes left", lim, step, c.paused, messages.has, octets.has)
			}
		}
		if err := l.check(); err != nil {
			t.Error(err)
		}
	}
}

// hammer sends a message again and again until the connection ends.
func hammer(c *client, message []byte) {
	burst := bytes.Repeat(message, 1+16<<10/len(message))
	for {
		if _, err := c.Write(burst); err != nil {
			return
		}
	}
}

// hammerer is a peer that sends a message again and again, as fast as it is read.
type hammerer struct {
	*pairedConn
	burst []byte // whole messages
	rest  []byte // of the burst, not yet sent
}

// hammer sends and has the loop read until the connection is paused.
func (h *hammerer) hammer() {
	for h.state == stateOpen && !h.paused {
		for n := 1; n > 0; h.rest = h.rest[n:] {
			if len(h.rest) == 0 {
				h.rest = h.burst
			}
			n, _ = sysWrite(h.peer, h.rest)
		}
		_ = h.onRead(nil)
	}
}

// TestRatesAreLetThrough has two peers send as much as they can, tick by tick. At each tick each has what the rate and its burst allow, to within
// a message, and what one read may take too much at a time; and somebody with less to say is not delayed.
func TestRatesAreLetThrough(t *testing.T) {
	for _, tc := range []struct {
		name    string
		lim     Limits
		message []byte
		unit    int // of the limit, in a message
		limit   limit
	}{
		{"messages", Limits{MessageRate: 5000, MessageBurst: 5000}, text("short"), 1, limitMessages},
		{"bytes", Limits{ByteRate: 1 << 18, ByteBurst: 1 << 18}, text(strings.Repeat("l", 4000)), 4008, limitBytes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got [2]int
			l := stoppedLoop(t, Config{Raw: true, Limits: tc.lim}, &testHandler{message: func(c *Conn, p []byte) error {
				if n, ok := c.Data().(int); ok {
					got[n]++
				} else {
					c.WriteMessage(true, p)
				}
				return nil
			}})
			polite, buf := pair(t, l).upgrade(), make([]byte, 100)
			var peers [2]*hammerer
			for n := range peers {
				peers[n] = &hammerer{pairedConn: pair(t, l).upgrade(), burst: bytes.Repeat(tc.message, 1+1<<15/len(tc.message))}
				peers[n].SetData(n)
			}
			rate, burst := tc.lim.MessageRate+tc.lim.ByteRate, tc.lim.MessageBurst+tc.lim.ByteBurst
			tooMuch := len(l.in) / len(tc.message) * tc.unit
			for tick := range 50 {
				for n, p := range peers {
					p.hammer()
					if through, allowed := got[n]*tc.unit, burst+rate*tick; through <= allowed-tc.unit || through > allowed+tooMuch {
						t.Fatalf("peer %d got %d through by tick %d; the rate allows %d", n, through, tick, allowed)
					}
				}
				polite.turn(text("polite"))
				if got := polite.receive(buf); string(got) != "\x81\x06polite" {
					t.Fatalf("tick %d: the polite one got %q", tick, got)
				}
				ticks(l, 1)
			}
			if n := l.n.limited[tc.limit]; n < 20 {
				t.Errorf("the limit was applied %d times", n)
			}
		})
	}
}

// TestThrottledPeerLosesNothing echoes numbered messages far above the rate.
func TestThrottledPeerLosesNothing(t *testing.T) {
	const many = 3000
	s := serve(t, quick(Config{Raw: true, Limits: Limits{MessageRate: 2000, MessageBurst: 2000, ByteRate: 1 << 20}}), Echo{})
	c := open(t, s)
	go func() {
		var all []byte
		for n := range many {
			all = append(all, text(strconv.Itoa(n))...)
		}
		_, _ = c.Write(all) // the reader below fails if it fails
	}()
	for n := range many {
		c.expect(ws.OpText, strconv.Itoa(n))
	}
}

// pausedPair is a connection that has spent so much that it is paused for many ticks.
func pausedPair(t *testing.T, cfg Config) (*loop, *pairedConn) {
	cfg.Raw, cfg.Limits.MessageRate, cfg.Limits.MessageBurst = true, 1, 1
	l := stoppedLoop(t, cfg, Echo{})
	c := pair(t, l).upgrade()
	c.turn(bytes.Repeat(text("m"), 100))
	if !c.paused || l.n.paused != 1 {
		t.Fatalf("paused: %v, %d", c.paused, l.n.paused)
	}
	return l, c
}

func ticks(l *loop, n int) {
	for range n {
		l.wheel.advance(l.visit)
		l.end()
	}
}

// TestPauseIsNoSilence pauses a peer for longer than it may be silent, in the middle of a message, and wants it heard afterwards.
func TestPauseIsNoSilence(t *testing.T) {
	l, c := pausedPair(t, Config{PingAfter: 5 * time.Second, CloseAfter: 10 * time.Second, MessageTimeout: 5 * time.Second})
	c.receive(make([]byte, 1<<10))
	begun := text("begun before the pause")
	c.send(begun)
	ticks(l, 99)
	if !c.paused || c.state != stateOpen {
		t.Fatalf("after 99 ticks: paused %v, state %d", c.paused, c.state)
	}
	ticks(l, 1)
	if c.paused || l.n.paused != 0 {
		t.Fatal("it is paused after 100 ticks, which paid for 100 messages")
	}
	_ = c.onRead(nil)
	if got := c.receive(make([]byte, 100)); string(got[2:]) != "begun before the pause" {
		t.Errorf("received %q", got)
	}
}

// TestPauseStopsTheClockOfAMessage pauses a peer whose message is incomplete.
func TestPauseStopsTheClockOfAMessage(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true, MessageTimeout: 5 * time.Second, Limits: Limits{MessageRate: 1, MessageBurst: 1}}, Echo{})
	c := pair(t, l).upgrade()
	c.turn(append(bytes.Repeat(text("m"), 20), text("late")[:3]...))
	ticks(l, 20)
	if c.paused || c.state != stateOpen {
		t.Fatalf("paused %v, state %d", c.paused, c.state)
	}
	ticks(l, 4)
	if c.state != stateOpen {
		t.Fatal("closed before its time")
	}
	ticks(l, 1)
	if c.reason != ReasonMessageTimeout {
		t.Fatalf("state %d, reason %v", c.state, c.reason)
	}
}

// TestClosingWhilePaused ends paused connections in every way.
func TestClosingWhilePaused(t *testing.T) {
	for name, end := range map[string]func(*loop, *pairedConn){
		"by the handler": func(l *loop, c *pairedConn) { c.Close(4000, ""); l.end() },
		"cut off":        func(l *loop, _ *pairedConn) { l.cutOff(); l.end() },
	} {
		t.Run(name, func(t *testing.T) {
			l, c := pausedPair(t, Config{LingerTimeout: 2 * time.Second})
			end(l, c)
			ticks(l, 1)
			if c.paused || l.n.paused != 0 {
				t.Error("the connection is still paused, so what the peer sends is not thrown away")
			}
			ticks(l, 2)
			if c.state != stateClosed {
				t.Errorf("state %d", c.state)
			}
			if got := c.receive(make([]byte, 1<<12)); name != "cut off" && !bytes.Contains(got, []byte{0x88}) {
				t.Errorf("no close frame in %q", got)
			}
			if err := l.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOutputWhilePaused has more output waiting than the kernel takes, for a peer that is paused; it must get all of it.
func TestOutputWhilePaused(t *testing.T) {
	l, c := pausedPair(t, Config{})
	buf := make([]byte, 1<<20)
	c.receive(buf)
	large := make([]byte, 900<<10)
	c.WriteMessage(false, large)
	l.end()
	if c.out == nil {
		t.Fatal("the kernel took all")
	}
	got := 0
	for n := 0; c.paused && n < 90; n++ {
		got += len(c.receive(buf))
		ticks(l, 1)
	}
	for len(c.receive(buf)) > 0 {
		t.Fatal("something came after 90 ticks")
	}
	if got != len(large)+10 {
		t.Errorf("%d bytes came", got)
	}
}

// TestThrottledForTooLong hammers until the server has enough of it, and then has a second peer that pauses in time.
func TestThrottledForTooLong(t *testing.T) {
	s, _, reasons := watched(t, quick(Config{Raw: true, Limits: Limits{MessageRate: 1000, LimitedMax: 500 * time.Millisecond}}))
	c := open(t, s)
	go hammer(c, text("m"))
	c.expectClose(frame.CloseRateLimited)
	wantReason(t, reasons, ReasonRateLimited)

	l := stoppedLoop(t, Config{Raw: true, Limits: Limits{MessageRate: 10, MessageBurst: 10, LimitedMax: 5 * time.Second}}, Echo{})
	p := pair(t, l).upgrade()
	for round := range 10 {
		p.turn(bytes.Repeat(text("m"), 30))
		ticks(l, 3)
		if p.paused || p.state != stateOpen {
			t.Fatalf("round %d: paused %v, state %d, %v", round, p.paused, p.state, p.reason)
		}
		ticks(l, 2) // its level falls to zero
	}
}

// TestSpend counts what a handler finds in one message.
func TestSpend(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true, Limits: Limits{MessageRate: 10, MessageBurst: 10}}, &testHandler{
		message: func(c *Conn, p []byte) error { c.Spend(len(p) - 1); return nil }})
	c := pair(t, l).upgrade()
	c.turn(text("9 letters"))
	if c.paused {
		t.Fatal("paused after 9 of 10")
	}
	c.turn(text("1"))
	if !c.paused {
		t.Fatal("not paused after 10 of 10")
	}
}

func TestMeteredTurnDoesNotAllocate(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true, Limits: Limits{MessageRate: 1 << 20, ByteRate: 1 << 28}}, Echo{})
	c := pair(t, l).upgrade()
	burst, buf := bytes.Repeat(text(strings.Repeat("m", 128)), 16), make([]byte, 8192)
	if n := testing.AllocsPerRun(1000, func() { c.turn(burst); c.receive(buf) }); n != 0 {
		t.Errorf("a turn allocates %v times", n)
	}
}

// TestHalfClosedPeerThatDoesNotRead must not hold its output for longer than the write timeout.
func TestHalfClosedPeerThatDoesNotRead(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true, WriteTimeout: 5 * time.Second}, Echo{})
	c := pair(t, l).upgrade()
	c.WriteMessage(false, make([]byte, 900<<10))
	l.end()
	if err := syscall.Shutdown(int(c.peer), syscall.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	_ = c.onRead(nil)
	if c.state != stateFlush || !c.half || c.out == nil {
		t.Fatalf("state %d, half %v", c.state, c.half)
	}
	ticks(l, 4)
	if c.state != stateFlush {
		t.Fatal("closed before its time")
	}
	ticks(l, 2)
	if c.state != stateClosed || l.pool.held != 0 {
		t.Errorf("state %d, %d bytes held", c.state, l.pool.held)
	}
}

// TestShutdownWhilePaused stops a server whose peer is throttled and still gets its close frame.
func TestShutdownWhilePaused(t *testing.T) {
	s, _, _ := watched(t, quick(Config{Raw: true, Limits: Limits{MessageRate: 100}}))
	c := open(t, s)
	go hammer(c, text("m"))
	eventually(t, "it is paused", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = s.loops[0].n.paused == 1 })
		return ok
	})
	done := make(chan error)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { done <- s.Shutdown(ctx) }()
	for c.next().Header.OpCode != ws.OpClose {
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
