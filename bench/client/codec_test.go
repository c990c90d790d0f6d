package client

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

func TestFramesOfEveryLengthAreReadBack(t *testing.T) {
	for _, n := range []int{0, 1, 2, 8, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537, 100_000} {
		payload := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		out := []byte("before")
		out = finishFrame(append(append(out, make([]byte, headerRoom)...), payload...), len("before"), ws.OpBinary, 0x12345678)
		r := bytes.NewReader(out[len("before"):])
		//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
		f, err := ws.ReadFrame(r)
		if err != nil || r.Len() != 0 || !f.Header.Masked || !f.Header.Fin || f.Header.OpCode != ws.OpBinary {
			t.Fatalf("%d bytes: %+v, %d left, %v", n, f.Header, r.Len(), err)
		}
		if n > 8 && bytes.Equal(f.Payload, payload) {
			t.Errorf("%d bytes are not masked", n)
		}
		if got := ws.UnmaskFrame(f); !bytes.Equal(got.Payload, payload) {
			t.Errorf("%d bytes came back different", n)
		}
		if n >= 126 && n <= 65535 && out[len("before")+1] != 0x80|126 {
			t.Errorf("%d bytes: not the shortest length", n)
		}
	}
}

// FuzzParseHeader compares with the blocking reader of gobwas/ws.
func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{0x81, 5, 'h', 'e', 'l', 'l', 'o'})
	f.Add([]byte{0x82, 126, 0, 200})
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Add([]byte{0x82, 127, 0xff, 0, 0, 0, 0, 1, 0, 0})
	f.Add([]byte{0x89, 126, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok, err := parseHeader(b, maxMessage)
		r := bytes.NewReader(b)
		want, wantErr := ws.ReadHeader(r)
		switch {
		case errors.Is(wantErr, io.EOF) || errors.Is(wantErr, io.ErrUnexpectedEOF):
			if ok {
				t.Fatalf("%x: %+v of an incomplete header", b, got)
			}
		case wantErr != nil, len(b)-r.Len() != ws.HeaderSize(want), want.Rsv != 0, want.Masked, want.OpCode.IsReserved(), want.Length > maxMessage,
			want.OpCode.IsControl() && (want.Length > 125 || !want.Fin):
			if err == nil {
				t.Fatalf("%x: accepted as %+v", b, got)
			}
		case err != nil || !ok || got.fin != want.Fin || got.op != want.OpCode || int64(got.length) != want.Length || got.size != ws.HeaderSize(want):
			t.Fatalf("%x: %+v, %t, %v, want %+v", b, got, ok, err, want)
		}
	})
}

func TestTimersFireInOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var h timerHeap
	timers := make([]*Timer, 200)
	due := map[*Timer]int64{}
	for i := range timers {
		timers[i] = &Timer{}
	}
	for range 20_000 {
		tm := timers[r.IntN(len(timers))]
		if r.IntN(3) == 0 {
			h.disarm(tm)
			delete(due, tm)
		} else {
			at := r.Int64N(1000)
			h.arm(tm, at)
			due[tm] = at
		}
		first := int64(math.MaxInt64)
		for _, at := range due {
			first = min(first, at)
		}
		if at, ok := h.next(); ok != (len(due) > 0) || ok && at != first {
			t.Fatalf("next is %d, %t; want %d of %d", at, ok, first, len(due))
		}
	}
	for i, tm := range h {
		if tm.pos != i+1 || !tm.Armed() || due[tm] != tm.at {
			t.Fatalf("timer %d is out of place", i)
		}
	}
}

// local makes a loop that the test runs itself, with one open connection whose other end is a descriptor.
func local(t testing.TB, h Handler) (l *Loop, c *Conn, peer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = NewLoop(); err != nil {
		t.Fatal(err)
	}
	c = l.NewConn(&Target{}, (&Target{}).addr.Addr(), h)
	c.fd, c.state = int32(fds[0]), stateOpen
	if err := l.watch(c, unix.EPOLL_CTL_ADD, c.interest()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.release()
		l.close()
		_ = unix.Close(fds[1])
	})
	return l, c, fds[1]
}

// reply answers each message with one.
type reply struct {
	conn *Conn
	got  int
}

func (r *reply) Opened()                       {}
func (r *reply) Closed(error)                  {}
func (r *reply) Message(_ ws.OpCode, _ []byte) { r.got++; r.conn.Wake() }
func (r *reply) Flush()                        { r.conn.End(append(r.conn.Begin(ws.OpBinary), "answer"...)) }

func TestAMessageAllocatesNothing(t *testing.T) {
	h := &reply{}
	l, c, peer := local(t, h)
	h.conn = c
	in := frames(binaryFrame("question"), binaryFrame("another"))
	half, buf := len(in)-3, make([]byte, 4096)
	step := func() { // an incomplete frame, then the rest of it
		for _, part := range [][]byte{in[:half], in[half:]} {
			if _, errno := rawWrite(peer, part); errno != 0 {
				t.Fatal(errno)
			}
			if err := l.round(); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = rawRead(peer, buf)
	}
	step()
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations for two messages", n)
	}
	if h.got < 2000 {
		t.Errorf("only %d messages arrived", h.got)
	}
}

func BenchmarkEcho16(b *testing.B) {
	h := &reply{}
	l, c, peer := local(b, h)
	h.conn = c
	var in []byte
	for range 16 {
		in = append(in, frames(ws.NewBinaryFrame(make([]byte, 128)))...)
	}
	buf := make([]byte, 64<<10)
	for b.Loop() {
		_, _ = rawWrite(peer, in)
		_ = l.round()
		_, _ = rawRead(peer, buf)
	}
}

// TestConnectionsAreSmall bounds what a connection costs that waits, also after a message that came in two halves.
func TestConnectionsAreSmall(t *testing.T) {
	const conns, least, most = 10_000, 120, 180
	l, c, peer := local(t, nil)
	h := &reply{conn: c}
	c.handler = h
	whole := frames(binaryFrame("question"))
	for _, part := range [][]byte{whole[:4], whole[4:]} {
		if _, errno := rawWrite(peer, part); errno != 0 {
			t.Fatal(errno)
		}
		if err := l.round(); err != nil {
			t.Fatal(err)
		}
	}
	if h.got != 1 || c.in != nil || c.pending != nil || c.fragments != nil || c.ending != nil {
		t.Errorf("%d messages, and the connection holds something: %+v", h.got, c)
	}
	before := heap()
	for range conns {
		l.NewConn(c.target, netip.Addr{}, h)
	}
	if each := (heap() - before) / conns; each < least || each > most {
		t.Errorf("a connection takes %d bytes of heap, want %d to %d", each, least, most)
	}
	runtime.KeepAlive(l)
}

// heap is what is in use, without what earlier tests have left to pools and finalizers.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// collector counts messages and takes the end.
type collector struct {
	got int
	end error
}

func (*collector) Opened()                         {}
func (*collector) Flush()                          {}
func (c *collector) Message(_ ws.OpCode, _ []byte) { c.got++ }
func (c *collector) Closed(err error)              { c.end = err }

// TestMoreThanOneReadTakes has messages and the end of the connection arrive at once, more than what one turn reads.
func TestMoreThanOneReadTakes(t *testing.T) {
	h := &collector{}
	l, _, peer := local(t, h)
	l.in = l.in[:40]
	const messages = 100
	for range messages {
		if _, errno := rawWrite(peer, frames(binaryFrame("a message"))); errno != 0 {
			t.Fatal(errno)
		}
	}
	if err := unix.Shutdown(peer, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); h.end == nil && time.Since(start) < 10*time.Second; {
		if err := l.round(); err != nil {
			t.Fatal(err)
		}
	}
	if h.got != messages || !errors.Is(h.end, io.EOF) {
		t.Errorf("%d of %d messages came, the end is %v", h.got, messages, h.end)
	}
}

// TestWokenInVain: a woken connection that cannot write does not keep its loop busy, and writes once it can.
func TestWokenInVain(t *testing.T) {
	h := &reply{}
	l, c, peer := local(t, h)
	h.conn = c
	for _, cannot := range []func() (back func()){
		func() func() { c.state = stateConnecting; return func() { c.state = stateOpen } },
		func() func() { c.pending = []byte("x"); return func() { c.pending = nil } },
	} {
		back := cannot()
		c.Wake()
		l.flushDirty()
		if len(l.dirty) != 0 || !c.woken {
			t.Fatalf("%d connections to be flushed at once, woken %t", len(l.dirty), c.woken)
		}
		back()
		if _, errno := rawWrite(peer, frames(ws.NewPongFrame(nil))); errno != 0 {
			t.Fatal(errno)
		}
		if err := l.round(); err != nil {
			t.Fatal(err)
		}
		if n, _ := rawRead(peer, make([]byte, 100)); n <= 0 || c.woken {
			t.Errorf("nothing was written, woken %t", c.woken)
		}
	}
}
