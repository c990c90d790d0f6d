package netserver

import (
	"bytes"
	"log/slog"
	"reflect"
	"syscall"
	"testing"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/frame"
)

// pairedConn is a connection on a loop that no goroutine runs, with the other end of its socket; the test calls the poller's callbacks.
type pairedConn struct {
	*Conn
	peer int32
	t    testing.TB
}

func stoppedLoop(t testing.TB, cfg Config, h Handler) *loop {
	t.Helper()
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	l, err := newLoop(&cfg, 0, h, slog.New(slog.DiscardHandler), newShared())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.cutOff()
		l.end()
		if err := l.poll.Close(); err != nil {
			t.Error(err)
		}
		l.run()
		l.release(func() {})
	})
	return l
}

func pair(t testing.TB, l *loop) *pairedConn {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	id := l.slots.chunksNext(l)
	l.adopt(accepted{fd: int32(fds[0])})
	c := l.slots.at(id)
	p := &pairedConn{c, int32(fds[1]), t}
	t.Cleanup(func() { sysClose(p.peer) })
	return p
}

// chunksNext is the slot that take will return next.
func (s *slots) chunksNext(l *loop) int {
	c := s.take(l)
	slot := c.id.Slot()
	s.used--
	s.free = append(s.free, uint32(slot))
	return slot
}

func (p *pairedConn) send(b []byte) {
	if n, errno := sysWrite(p.peer, b); n != len(b) {
		p.t.Fatalf("wrote %d of %d bytes: %v", n, len(b), errno)
	}
}

// turn sends and lets the connection read.
func (p *pairedConn) turn(b []byte) {
	p.send(b)
	_ = p.onRead(nil)
}

// receive returns what has arrived at the peer.
func (p *pairedConn) receive(buf []byte) []byte {
	n, _ := sysRead(p.peer, buf)
	return buf[:n]
}

func (p *pairedConn) upgrade(headers ...string) *pairedConn {
	path := "/"
	if !p.loop.cfg.Raw {
		path = p.loop.cfg.Path
	}
	p.turn([]byte(upgradeRequest(path, headers...)))
	if got := p.receive(make([]byte, 4096)); !bytes.HasPrefix(got, []byte("HTTP/1.1 101")) {
		p.t.Fatalf("not upgraded: %q", got)
	}
	return p
}

// TestAnsweredWhenAccepted: a request that came before its connection was accepted is answered in that turn; the poller, which does not run
// here, has no part in it.
func TestAnsweredWhenAccepted(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true}, Echo{})
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sysClose(int32(fds[1]))
	p := &pairedConn{nil, int32(fds[1]), t}
	p.send([]byte(upgradeRequest("/")))
	l.begin()
	l.adopt(accepted{fd: int32(fds[0])})
	l.end()
	if got := p.receive(make([]byte, 4096)); !bytes.HasPrefix(got, []byte("HTTP/1.1 101")) {
		t.Errorf("answered %q", got)
	}
}

// TestTheKernelWaitsForTheRequest: the option of deferAccept is set.
func TestTheKernelWaitsForTheRequest(t *testing.T) {
	fd, _, err := listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer sysClose(fd)
	if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT); err != nil || got == 0 {
		t.Errorf("TCP_DEFER_ACCEPT is %d, %v", got, err)
	}
}

// TestPollerAssumptions checks what the package relies on in netpoll: newPoll gives a working poller, an operator's OnRead replaces
// Inputs, the end of a stream detaches the operator and calls OnHup on another goroutine after OnRead, an operator can be freed in
// another one's handler, the hook of afterTurns comes after OnRead, and Close ends Wait.
func TestPollerAssumptions(t *testing.T) {
	poll, err := newPoll()
	if err != nil {
		t.Fatal(err)
	}
	turns := make(chan int, 8)
	handled := 0 // the poller's goroutine's
	if err := afterTurns(poll, func() { turns <- handled }); err != nil {
		t.Fatal(err)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	reads, hups, ended := make(chan int, 8), make(chan int, 1), make(chan error, 1)
	op := poll.Alloc()
	op.FD = fds[0]
	op.OnRead = func(netpoll.Poll) error {
		var b [8]byte
		n, _ := sysRead(int32(fds[0]), b[:])
		handled++
		reads <- n
		return nil
	}
	op.OnHup = func(netpoll.Poll) error { hups <- 1; return nil }
	if err := op.Control(netpoll.PollReadable); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- poll.Wait() }()
	sysWrite(int32(fds[1]), []byte("abc"))
	if n := <-reads; n != 3 {
		t.Fatalf("OnRead got %d bytes", n)
	}
	if n := <-turns; n != 1 {
		t.Fatalf("the turn ended after %d reads", n)
	}
	sysClose(int32(fds[1]))
	if n := <-reads; n != 0 {
		t.Fatalf("OnRead got %d bytes at the end of the stream", n)
	}
	<-hups
	op.Free()
	if err := poll.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	sysClose(int32(fds[0]))
}

func TestEchoTurnDoesNotAllocate(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true}, Echo{})
	c := pair(t, l).upgrade()
	burst := bytes.Repeat(binaryOf(string(make([]byte, 128))), 16)
	buf := make([]byte, 8192)
	n := testing.AllocsPerRun(1000, func() {
		c.turn(burst)
		if got := c.receive(buf); len(got) != 16*130+16*2 {
			t.Fatalf("%d bytes came back", len(got))
		}
	})
	if n != 0 {
		t.Errorf("an echo turn allocates %v times", n)
	}
}

func TestDeliveryTurnDoesNotAllocate(t *testing.T) {
	l := stoppedLoop(t, Config{}, &testHandler{})
	a, b := pair(t, l).upgrade(wanted), pair(t, l).upgrade(wanted)
	owner := new(parcelOwner)
	p := parcelFor(owner, make([]byte, 200), a.ID(), b.ID(), a.ID())
	buf := make([]byte, 8192)
	n := testing.AllocsPerRun(1000, func() {
		l.box.put(p)
		_ = l.onMailbox(nil)
		if got := a.receive(buf); len(got) != 4+400 {
			t.Fatalf("%d bytes came", len(got))
		}
		if got := b.receive(buf); len(got) != 4+200 {
			t.Fatalf("%d bytes came", len(got))
		}
	})
	if n != 0 {
		t.Errorf("a delivery turn allocates %v times", n)
	}
	if owner.released() != 1001 {
		t.Errorf("released %d times", owner.released())
	}
}

func TestParcelForClosedConnectionReachesNobody(t *testing.T) {
	l := stoppedLoop(t, Config{}, &testHandler{})
	first := pair(t, l).upgrade(wanted)
	old := first.ID()
	sysClose(first.peer)
	first.peer = -1
	_ = first.onRead(nil)
	_ = l.onMailbox(nil) // reaps
	second := pair(t, l).upgrade(wanted)
	if second.Conn != first.Conn || second.ID() == old || second.ID().Slot() != old.Slot() {
		t.Fatalf("slot not used again: %#x after %#x", second.ID(), old)
	}
	owner := new(parcelOwner)
	l.box.put(parcelFor(owner, []byte("for the first"), old))
	l.box.put(parcelFor(owner, []byte("for the second"), second.ID()))
	_ = l.onMailbox(nil)
	if got := second.receive(make([]byte, 100)); string(got) != "\x82\x0efor the second" {
		t.Errorf("received %q", got)
	}
	if l.n.undeliverable != 1 || owner.released() != 2 {
		t.Errorf("%d undeliverable, %d released", l.n.undeliverable, owner.released())
	}
}

func TestSlotIsRetiredWithItsLastGeneration(t *testing.T) {
	l := stoppedLoop(t, Config{}, &testHandler{})
	c := l.slots.take(l)
	slot := c.id.Slot()
	c.id = frame.MakeConnID(0, 0, slot, maxGeneration)
	l.slots.give(c)
	for range slotChunk {
		if next := l.slots.take(l); next.id.Slot() == slot {
			t.Fatal("the slot was used again")
		}
	}
}

// outputOf sends a batch of segments to one connection and returns what arrives.
func outputOf(t *testing.T, cfg Config, protocol string, segments ...[]byte) []byte {
	l := stoppedLoop(t, cfg, &testHandler{})
	c := pair(t, l).upgrade("Sec-WebSocket-Protocol: " + protocol)
	for _, s := range segments {
		l.box.put(parcelFor(new(parcelOwner), s, c.ID()))
	}
	_ = l.onMailbox(nil)
	var all []byte
	for buf := make([]byte, 1<<20); ; {
		got := c.receive(buf)
		all = append(all, got...)
		if len(got) == 0 {
			if c.out == nil {
				return all
			}
			_ = c.onWrite(nil)
		}
	}
}

func TestMergedMessages(t *testing.T) {
	x := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, tc := range []struct {
		name     string
		merge    int
		segments [][]byte
		want     []byte
	}{
		{"one", 1000, [][]byte{x(5)}, cat([]byte{0x82, 5}, x(5))},
		{"small ones merge", 1000, [][]byte{x(5), x(100), x(200)}, cat([]byte{0x82, 126, 1, 49}, x(305))},
		{"a merge is bounded", 1000, [][]byte{x(600), x(400), x(1)}, cat([]byte{0x82, 126, 3, 232}, x(1000), []byte{0x82, 1}, x(1))},
		{"a long one stands alone", 1000, [][]byte{x(3), x(2000), x(4)},
			cat([]byte{0x82, 3}, x(3), []byte{0x82, 126, 7, 208}, x(2000), []byte{0x82, 4}, x(4))},
		{"large ones are not copied", 1 << 20, [][]byte{x(10), x(70000), x(20000), x(3)},
			cat([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 95, 157}, x(90013))},
		{"more than a write buffer", 1000, repeated(x(900), 200), bytes.Repeat(cat([]byte{0x82, 126, 3, 132}, x(900)), 200)},
		{"more pieces than one call takes", 1 << 20, repeated(x(9000), 100),
			cat([]byte{0x82, 127, 0, 0, 0, 0, 0, 0x0d, 0xbb, 0xa0}, x(900000))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := outputOf(t, Config{MaxMerge: tc.merge, OutHard: 2 << 20}, protocolMsgpack, tc.segments...)
			if !bytes.Equal(got, tc.want) {
				t.Errorf("got %d bytes % x..., want %d bytes % x...", len(got), got[:min(12, len(got))], len(tc.want), tc.want[:12])
			}
		})
	}
}

func repeated(b []byte, n int) (all [][]byte) {
	for range n {
		all = append(all, b)
	}
	return all
}

// TestPollerDoesNotGrow has more descriptors ready at once than the poller takes in one go.
func TestPollerDoesNotGrow(t *testing.T) {
	const many = 2*maxEvents + 7
	poll, err := newPoll()
	if err != nil {
		t.Fatal(err)
	}
	served, ended := 0, make(chan error, 1)
	var fds []int
	for range many {
		fd, err := unix.Eventfd(1, unix.EFD_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		op := poll.Alloc()
		op.FD = fd
		op.OnRead = func(p netpoll.Poll) error {
			var b [8]byte
			sysRead(int32(fd), b[:])
			if served++; served < many {
				return nil
			}
			return p.Close()
		}
		if err := op.Control(netpoll.PollReadable); err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	go func() { ended <- poll.Wait() }()
	if err := <-ended; err != nil || served != many {
		t.Fatalf("served %d of %d, %v", served, many, err)
	}
	if size := reflect.ValueOf(poll).Elem().FieldByName("size").Int(); size != maxEvents {
		t.Errorf("the poller takes %d events at once, want %d", size, maxEvents)
	}
	for _, fd := range fds {
		syscall.Close(fd)
	}
}
