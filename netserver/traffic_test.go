package netserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// quick is a configuration whose ticks are 10 ms.
func quick(cfg Config) Config {
	cfg.tick = 10 * time.Millisecond
	return cfg
}

// watched is a server that reports who opened and why they closed.
func watched(t *testing.T, cfg Config) (*Server, *opened, chan Reason) {
	o, reasons := newOpened(), make(chan Reason, 1024)
	s := serve(t, cfg, &testHandler{open: o.open, closed: func(_ *Conn, r Reason) { reasons <- r }})
	return s, o, reasons
}

func wantReason(t *testing.T, reasons chan Reason, want Reason) {
	t.Helper()
	select {
	case r := <-reasons:
		if r != want {
			t.Fatalf("closed for %v, want %v", r, want)
		}
	case <-time.After(patience):
		t.Fatalf("Closed was not called, want %v", want)
	}
}

func TestDeliverKeepsOrderAcrossLoops(t *testing.T) {
	const producers, each = 4, 500
	s, o, _ := watched(t, Config{Loops: 2, Mailbox: 4 << 10})
	clients := []*client{open(t, s), open(t, s)}
	ids := []frame.ConnID{o.next(t), o.next(t)}
	if ids[0].Loop() == ids[1].Loop() {
		t.Fatal("both connections are on one loop")
	}
	owner := new(parcelOwner)
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for n := range each {
				for _, id := range ids {
					s.Deliver(id.Loop(), parcelFor(owner, binary.BigEndian.AppendUint32([]byte{byte(p)}, uint32(n)), id))
				}
			}
		})
	}
	for _, c := range clients {
		var next [producers]uint32
		for got := 0; got < producers*each; {
			for b := c.next().Payload; len(b) > 0; b = b[5:] {
				if n := binary.BigEndian.Uint32(b[1:]); n != next[b[0]] {
					t.Fatalf("producer %d: %d came, want %d", b[0], n, next[b[0]])
				}
				next[b[0]]++
				got++
			}
		}
	}
	wg.Wait()
	eventually(t, "all parcels come back", func() bool { return owner.released() == 2*producers*each })
}

func TestDeliverWaitsAtTheBound(t *testing.T) {
	s, o, _ := watched(t, Config{Mailbox: 1 << 10})
	c := open(t, s)
	id := o.next(t)
	entered, leave := make(chan bool), make(chan bool)
	s.Post(id, func(*Conn) { entered <- true; <-leave })
	<-entered // the loop is busy now
	owner, waits := new(parcelOwner), make(chan bool)
	go func() {
		for range 10 {
			s.Deliver(0, parcelFor(owner, make([]byte, 500), id))
		}
		close(waits)
	}()
	eventually(t, "a producer waits", func() bool { return s.loops[0].box.waiting.Load() })
	if n := s.loops[0].box.bytes.Load(); n > 2<<10 {
		t.Errorf("%d bytes wait in the mailbox", n)
	}
	leave <- true
	<-waits
	for n := 0; n < 5000; {
		n += len(c.next().Payload)
	}
}

func TestPost(t *testing.T) {
	s, o, reasons := watched(t, Config{})
	c := open(t, s)
	id := o.next(t)
	s.Post(id, func(c *Conn) {
		c.SetData("kept")
		c.Write([]byte("posted"))
	})
	c.expect(ws.OpBinary, "posted")
	got := make(chan any, 1)
	s.Post(id, func(c *Conn) { got <- c.Data() })
	if v := <-got; v != "kept" {
		t.Errorf("data is %v", v)
	}
	c.Close()
	wantReason(t, reasons, ReasonEOF)
	s.Post(id, func(*Conn) { t.Error("ran for a connection that is gone") })
	onLoop(t, s.loops[0], func() {}) // runs after it
}

func TestPostAndDeliverKeepTheirOrder(t *testing.T) {
	s, o, reasons := watched(t, Config{})
	c := open(t, s)
	id := o.next(t)
	owner := new(parcelOwner)
	s.Post(id, func(c *Conn) { c.Write([]byte("1")) })
	s.Deliver(0, parcelFor(owner, []byte("2"), id))
	s.Post(id, func(c *Conn) { c.Write([]byte("3")) })
	s.Deliver(0, parcelFor(owner, []byte("4"), id))
	s.Post(id, func(c *Conn) { c.Close(4500, "") })
	s.Deliver(0, parcelFor(owner, []byte("late"), id))
	var all []byte
	for len(all) < 4 {
		all = append(all, c.next().Payload...)
	}
	if string(all) != "1234" {
		t.Errorf("received %q", all)
	}
	c.expectClose(4500)
	wantReason(t, reasons, ReasonHandler)
}

func TestAcceptedSocketsDoNotDelay(t *testing.T) {
	s, o, _ := watched(t, Config{})
	open(t, s)
	id := o.next(t)
	onLoop(t, s.loops[0], func() {
		v, err := syscall.GetsockoptInt(int(s.loops[0].slots.find(id).fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
		if err != nil || v == 0 {
			t.Errorf("TCP_NODELAY is %d, %v", v, err)
		}
	})
}

func TestHandlerErrorCloses(t *testing.T) {
	fail := make(chan error, 1)
	reasons := make(chan Reason, 1)
	s := serve(t, Config{}, &testHandler{
		message: func(c *Conn, p []byte) error { c.Write([]byte("last words")); return <-fail },
		closed:  func(_ *Conn, r Reason) { reasons <- r }})
	for _, tc := range []struct {
		err  error
		code uint16
	}{{&CloseError{4500, strings.Repeat("é", 100)}, 4500}, {errors.New("a bug"), 1011}} {
		fail <- tc.err
		c := open(t, s)
		c.send(append(binaryOf("1"), binaryOf("not handled any more")...))
		c.expect(ws.OpBinary, "last words")
		c.expectClose(tc.code)
		wantReason(t, reasons, ReasonHandler)
	}
}

func TestSubprotocolsMustMatchOpcodes(t *testing.T) {
	s, _, reasons := watched(t, Config{})
	c := openAs(t, s, protocolMsgpack)
	c.send(text("{}"))
	c.expectClose(1003)
	wantReason(t, reasons, ReasonUnsupported)
	c = openAs(t, s, protocolJSON)
	c.send(binaryOf("\x92\x01\x01"))
	c.expectClose(1003)
	wantReason(t, reasons, ReasonUnsupported)
}

func TestJSONIsTranslatedBothWays(t *testing.T) {
	s := serve(t, Config{}, &testHandler{message: func(c *Conn, p []byte) error {
		c.Write(p) // what came as JSON goes back as JSON
		return nil
	}})
	batch := []byte{0x93, 0x01, 0x07, 0x08, 0x93, 0x01, 0x09, 0x0a} // two heartbeats
	want, err := frame.AppendJSON(nil, batch)
	if err != nil {
		t.Fatal(err)
	}
	c := openAs(t, s, protocolJSON)
	c.send(text(string(want)))
	c.expect(ws.OpText, string(want))
	c.send(text(`{"not": "frames"}`))
	c.expectClose(frame.CloseProtocolError)
}

// TestSilence lets time pass tick by tick: answers to pings keep a connection open, and without one it is closed. Pings come after the same silence
// each time, also if all other deadlines are much longer.
func TestSilence(t *testing.T) {
	for _, cfg := range []Config{
		{PingAfter: 5 * time.Second, CloseAfter: 10 * time.Second, HandshakeTimeout: 5 * time.Second},
		{PingAfter: 5 * time.Second, CloseAfter: 100 * time.Second, HandshakeTimeout: time.Minute},
	} {
		l := stoppedLoop(t, cfg, &testHandler{})
		c := pair(t, l).upgrade(wanted)
		buf := make([]byte, 100)
		for round := range 4 {
			ticks(l, 4)
			if got := c.receive(buf); len(got) > 0 {
				t.Fatalf("%v, round %d, before its time: % x", cfg.CloseAfter, round, got)
			}
			ticks(l, 1)
			if got := c.receive(buf); string(got) != "\x89\x00" {
				t.Fatalf("%v, round %d: got % x, want a ping", cfg.CloseAfter, round, got)
			}
			c.turn(masked(ws.OpPong, true, ""))
		}
		ticks(l, int(cfg.CloseAfter/time.Second))
		if got := c.receive(buf); !bytes.HasPrefix(got, []byte{0x89, 0, 0x88}) || binary.BigEndian.Uint16(got[4:]) != frame.CloseHeartbeatTimeout || c.reason != ReasonSilent {
			t.Errorf("got % x, reason %v; want a ping, and close 4002 for silence", got, c.reason)
		}
	}
}

// TestStandstill has a loop stand still for longer than a peer may be silent or take nothing. What the peer sent in that time is read, and what it took
// is noticed, before it is judged.
func TestStandstill(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true, tick: time.Millisecond, PingAfter: 10 * time.Millisecond, CloseAfter: 20 * time.Millisecond,
		WriteTimeout: 10 * time.Millisecond, HandshakeTimeout: 10 * time.Millisecond}, Echo{})
	c, begun := pair(t, l).upgrade(), pair(t, l)
	c.WriteMessage(false, make([]byte, 900<<10))
	l.end()
	if c.out == nil {
		t.Fatal("the kernel took all")
	}
	time.Sleep(50 * time.Millisecond)
	_ = l.onTimer(nil)
	if c.state != stateOpen || begun.state != stateHandshake {
		t.Errorf("after 50 ticks in which nothing ran the connection is in state %d for %v, the handshake in state %d", c.state, c.reason, begun.state)
	}
}

func TestPeerThatNeverClosesIsCutOff(t *testing.T) {
	s := serve(t, quick(Config{Raw: true, LingerTimeout: 50 * time.Millisecond}), Echo{})
	c := open(t, s)
	c.send(masked(ws.OpClose, true, closeBody(1000, "")))
	c.expectClose(1000) // and the client's side stays open
	eventually(t, "the server let go", func() (gone bool) {
		onLoop(t, s.loops[0], func() { gone = s.loops[0].live == 0 })
		return gone
	})
}

// fill delivers to a client that does not read until something stays in the server, and more bytes after that.
func fill(t *testing.T, s *Server, id frame.ConnID, batch []byte, more int) {
	owner := new(parcelOwner)
	sent := 0
	for waiting := 0; waiting <= more; {
		s.Deliver(id.Loop(), parcelFor(owner, batch, id))
		sent++
		eventually(t, "delivered", func() bool { return owner.released() == sent })
		onLoop(t, s.loops[id.Loop()], func() {
			c := s.loops[id.Loop()].slots.find(id)
			switch {
			case c == nil:
				waiting = more + 1
			case c.out != nil:
				waiting = c.out.waiting()
			}
		})
	}
}

func TestSlowConsumer(t *testing.T) {
	s, o, reasons := watched(t, Config{OutSoft: 64 << 10, OutHard: 128 << 10})
	c := open(t, s)
	id := o.next(t)
	fill(t, s, id, make([]byte, 30<<10), 128<<10)
	wantReason(t, reasons, ReasonSlowConsumer)
	c.expectClose(frame.CloseSlowConsumer) // what had been sent before comes whole
}

// TestSlowConsumerHasTimeToBeTold finds a peer slow when it has taken nothing for a while. It comes to itself later than the write timeout would have
// ended, takes what waits piece by piece, and gets the close frame; one that goes on like this is cut off in the end, as is one that stalls again.
func TestSlowConsumerHasTimeToBeTold(t *testing.T) {
	const timeout = 5 // ticks
	buf := make([]byte, 1<<20)
	for name, tc := range map[string]struct {
		reads int // bytes at each tick, 2 ticks after it was found slow and later
		lasts int // ticks from then on in which it is not gone
		ends  int // the tick by which it is
		told  bool
	}{
		"reads again":      {8 << 20, 2, 2 + timeout, true},
		"reads too little": {64 << 10, 3 * timeout, flushTimeouts*timeout + 1, false},
		"stalls":           {0, timeout - 1, timeout + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := stoppedLoop(t, Config{Raw: true, WriteTimeout: timeout * time.Second, LingerTimeout: time.Second, OutSoft: 4 << 20, OutHard: 4 << 20}, Echo{})
			c := pair(t, l).upgrade()
			c.WriteMessage(false, make([]byte, 4<<20))
			l.end()
			ticks(l, timeout-1)
			c.WriteMessage(false, make([]byte, 1<<20))
			l.end()
			if c.reason != ReasonSlowConsumer {
				t.Fatalf("state %d, reason %v", c.state, c.reason)
			}
			ticks(l, 2)
			var last []byte
			for tick := 2; c.state != stateClosed; tick++ {
				if tick > tc.ends {
					t.Fatalf("it is in state %d after %d ticks", c.state, tick)
				}
				for n := tc.reads; n > 0; {
					got := c.receive(buf[:min(n, len(buf))])
					last = append(last[max(0, len(last)-100):], got...)
					if n -= len(got); c.out != nil {
						_ = c.onWrite(nil)
					} else if len(got) == 0 {
						break
					}
				}
				ticks(l, 1)
				if c.state == stateClosed && tick+1 <= tc.lasts {
					t.Errorf("it is gone after %d ticks", tick+1)
				}
			}
			if told := bytes.Contains(last, []byte("\x0f\xa1slow consumer")); told != tc.told {
				t.Errorf("told: %v", told)
			}
			if l.pool.held != 0 {
				t.Errorf("%d bytes are held", l.pool.held)
			}
		})
	}
}

func TestSignalsAreDroppedFirst(t *testing.T) {
	s, o, _ := watched(t, Config{OutSoft: 64 << 10, OutHard: 1 << 20})
	c := open(t, s)
	id := o.next(t)
	fill(t, s, id, heartbeats(1000), 64<<10)
	presence := (&frame.Presence{Conv: frame.ID{1}, User: []byte("u"), Online: true}).Append(nil)
	last := []byte{0x93, 0x01, 0x63, 0x63}
	owner := new(parcelOwner)
	s.Deliver(0, parcelFor(owner, bytes.Join([][]byte{presence, last, presence}, nil), id))
	eventually(t, "delivered", func() bool { return owner.released() == 1 })
	for {
		p := c.next().Payload
		if bytes.Contains(p, presence) {
			t.Fatal("a droppable frame was sent over the soft bound")
		}
		if bytes.Equal(p, last) {
			break
		}
	}
	onLoop(t, s.loops[0], func() {
		if n := s.loops[0].n.dropped; n != 2 {
			t.Errorf("%d frames dropped, want 2", n)
		}
	})
}

func heartbeats(n int) []byte { return bytes.Repeat([]byte{0x93, 0x01, 0x07, 0x08}, n) }

func TestWriteTimeout(t *testing.T) {
	s, o, reasons := watched(t, quick(Config{WriteTimeout: 100 * time.Millisecond, OutHard: 16 << 20, OutSoft: 16 << 20}))
	c := open(t, s)
	fill(t, s, o.next(t), make([]byte, 60<<10), 1)
	wantReason(t, reasons, ReasonWriteTimeout)
	if _, err := io.Copy(io.Discard, c); err == nil {
		t.Log("the end came without a reset")
	}
}

func TestSlowReaderGetsEverything(t *testing.T) {
	const n = 300
	s, o, _ := watched(t, Config{OutSoft: 32 << 20, OutHard: 32 << 20})
	c := open(t, s)
	id := o.next(t)
	owner := new(parcelOwner)
	for i := range n {
		s.Deliver(0, parcelFor(owner, binary.BigEndian.AppendUint32(make([]byte, 30<<10), uint32(i)), id))
	}
	for i := 0; i < n; {
		for p := c.next().Payload; len(p) > 0; p = p[30<<10+4:] {
			if got := binary.BigEndian.Uint32(p[30<<10:]); got != uint32(i) {
				t.Fatalf("message %d came, want %d", got, i)
			}
			i++
		}
	}
	eventually(t, "the buffers are given back", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = s.loops[0].pool.held == 0 })
		return ok
	})
}

// TestHalfCloseGetsItsAnswers: the poller does not watch a connection whose peer said its last, so its ticks are short here.
func TestHalfCloseGetsItsAnswers(t *testing.T) {
	s := serve(t, quick(Config{Raw: true, OutHard: 64 << 20, OutSoft: 64 << 20}), Echo{})
	c := open(t, s)
	const n = 200
	var all []byte
	for range n {
		all = append(all, binaryOf(strings.Repeat("h", 20<<10))...)
	}
	go func() {
		_, _ = c.Write(all)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
	}()
	for range n {
		if f := c.next(); len(f.Payload) != 20<<10 {
			t.Fatalf("%d bytes", len(f.Payload))
		}
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Fatalf("after the answers: %v", err)
	}
}

func TestBurstThenIdleHoldsNothing(t *testing.T) {
	const n = 200
	s := serve(t, quick(Config{Raw: true}), Echo{})
	var clients []*client
	for range n {
		c := open(t, s)
		whole := binaryOf(strings.Repeat("b", 60000))
		c.send(whole[:30000]) // incomplete: the server must hold it
		clients = append(clients, c)
	}
	held := func() (n int) {
		onLoop(t, s.loops[0], func() { n = s.loops[0].pool.held })
		return n
	}
	eventually(t, "the server holds the incomplete messages", func() bool { return held() >= n*29000 })
	for _, c := range clients {
		c.send(make([]byte, 8+60000-30000)) // the rest, whatever it says
	}
	for _, c := range clients {
		if f := c.next(); len(f.Payload) != 60000 {
			t.Fatalf("%d bytes came back", len(f.Payload))
		}
	}
	eventually(t, "nothing is held", func() bool { return held() == 0 })
	eventually(t, "nothing is kept for the next burst", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = keepsNothing(s.loops[0]) })
		return ok
	})
}

func keepsNothing(l *loop) bool {
	for _, free := range l.pool.free {
		if free != nil {
			return false
		}
	}
	return l.pool.inputs == nil && cap(l.writer.arena) == writeBuffer && cap(l.writer.segments) <= idleSegments
}

func TestShutdownSaysGoodbye(t *testing.T) {
	s, _, reasons := watched(t, Config{DrainWindow: 5 * time.Second, tick: 100 * time.Millisecond})
	c, handshake := open(t, s), dial(t, s)
	handshake.send([]byte("GET /"))
	onLoop(t, s.loops[0], func() {})
	eventually(t, "both are accepted", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = s.loops[0].live == 2 })
		return ok
	})
	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	c.expectDrain(0, 5*time.Second)
	c.expectClose(4000)
	c.Close()
	wantReason(t, reasons, ReasonShutdown)
	if head := handshake.readHead(); !strings.HasPrefix(head, "HTTP/1.1 503 ") {
		t.Errorf("the unfinished handshake got %q", head)
	}
	handshake.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("it still listens")
	}
	owner := new(parcelOwner)
	s.Deliver(0, parcelFor(owner, []byte("x")))
	if owner.released() != 1 {
		t.Error("a parcel after the end was kept")
	}
}

func TestShutdownOfRawServer(t *testing.T) {
	s, _, _ := watched(t, Config{Raw: true})
	c := open(t, s)
	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	c.expectClose(1001)
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsOffWhoStays(t *testing.T) {
	s, _, reasons := watched(t, Config{})
	open(t, s) // and never answers the close frame
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	wantReason(t, reasons, ReasonShutdown)
}

func TestShutdownWithoutServe(t *testing.T) {
	s, err := New(Config{Listen: "127.0.0.1:0"}, &testHandler{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Serve(); err != nil {
		t.Error(err)
	}
}

// TestOutOfDescriptors lowers the limit so that a dial succeeds and the accept fails, and raises it again.
func TestOutOfDescriptors(t *testing.T) {
	s := serve(t, quick(Config{Raw: true}), Echo{})
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr().String()) // so that the runtime's own descriptors exist
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "accepted", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = s.loops[0].live == 1 })
		return ok
	})
	free, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(free)
	low := limit
	low.Cur = uint64(free) + 1
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	late := dial(t, s)
	eventually(t, "accepting failed", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = s.loops[0].n.acceptFailed > 0 })
		return ok
	})
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	late.send([]byte(upgradeRequest("/")))
	late.readHead()
	late.send(text("accepted after all"))
	late.expect(ws.OpText, "accepted after all")
}

// TestChurn opens, uses and ends connections in every way at once, and wants each Open to be followed by one Closed.
func TestChurn(t *testing.T) {
	const workers, each = 16, 50
	var mu sync.Mutex
	alive := make(map[frame.ConnID]int)
	s := serve(t, Config{Loops: 2, LingerTimeout: time.Second}, &testHandler{
		open:    func(c *Conn, _ *Request) { mu.Lock(); alive[c.ID()]++; mu.Unlock() },
		message: func(c *Conn, p []byte) error { c.Write(p); return nil },
		closed:  func(c *Conn, _ Reason) { mu.Lock(); alive[c.ID()]--; mu.Unlock() },
	})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				churnOnce(t, s, w+i)
			}
		})
	}
	wg.Wait()
	eventually(t, "every connection is closed once", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for id, n := range alive {
			if n < 0 || n > 1 {
				t.Fatalf("%#x: Open without Closed %d times", uint64(id), n)
			}
			if n == 1 {
				return false
			}
		}
		return len(alive) == workers*each
	})
}

func churnOnce(t *testing.T, s *Server, how int) {
	c := open(t, s)
	defer c.Close()
	c.send(binaryOf("churn"))
	c.expect(ws.OpBinary, "churn")
	switch how % 5 {
	case 0: // no close frame
	case 1:
		c.send(masked(ws.OpClose, true, ""))
		c.expectClose(1005)
	case 2: // reset
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
	case 3:
		c.send([]byte{0xff, 0xff})
		c.send(make([]byte, 20))
		c.expectClose(1002)
	case 4: // data and end of stream at once
		c.send(append(binaryOf("a"), binaryOf("b")[:3]...))
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		c.expect(ws.OpBinary, "a")
	}
}
