package netserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second // for what must happen; it decides nothing when things go well

// testHandler records what it is told; any field may be nil.
type testHandler struct {
	admit   func(*Request) (time.Duration, bool)
	open    func(*Conn, *Request)
	message func(*Conn, []byte) error
	closed  func(*Conn, Reason)
}

func (h *testHandler) Admit(r *Request) (time.Duration, bool) {
	if h.admit == nil {
		return 0, true
	}
	return h.admit(r)
}

func (h *testHandler) Open(c *Conn, r *Request) {
	if h.open != nil {
		h.open(c, r)
	}
}

func (h *testHandler) Message(c *Conn, p []byte) error {
	if h.message == nil {
		return nil
	}
	return h.message(c, p)
}

func (h *testHandler) Closed(c *Conn, r Reason) {
	if h.closed != nil {
		h.closed(c, r)
	}
}

// serve starts a server on loopback and stops it at the end of the test, checking that no descriptor is left.
func serve(t testing.TB, cfg Config, h Handler) *Server {
	t.Helper()
	before := descriptors(t)
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	setDefault(&cfg.Loops, 1) // whatever the machine
	s, err := New(cfg, h, slog.New(slog.NewTextHandler(t.Output(), nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve() })
	t.Cleanup(func() {
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		stop(t, s)
		wg.Wait()
		eventually(t, "all descriptors are closed", func() bool { return descriptors(t) <= before })
	})
	return s
}

func stop(t testing.TB, s *Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Log(err)
	}
}

func descriptors(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen in %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// onLoop runs f on a loop and waits for it.
func onLoop(t testing.TB, l *loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.box.post(task{run: func() { f(); close(done) }}) {
		t.Fatal("the loop has ended")
	}
	<-done
}

// client is a blocking test client over a raw socket.
type client struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

func dial(t testing.TB, s *Server) *client { return dialAddress(t, s.Addr().String(), 1) }

// dialAddress dials from 127.0.0.last, because one source address has too few ports for a large test.
func dialAddress(t testing.TB, address string, last byte) *client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{conn, bufio.NewReaderSize(conn, 1024), t}
}

func upgradeRequest(path string, headers ...string) string {
	lines := append([]string{"GET " + path + " HTTP/1.1", "Host: example.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// open dials and upgrades: raw servers without, others with the given subprotocol.
func open(t testing.TB, s *Server) *client { return openAs(t, s, protocolMsgpack) }

func openAs(t testing.TB, s *Server, protocol string) *client {
	t.Helper()
	c := dial(t, s)
	if s.cfg.Raw {
		c.send([]byte(upgradeRequest("/ws")))
	} else {
		c.send([]byte(upgradeRequest(s.cfg.Path, "Sec-WebSocket-Protocol: "+protocol)))
	}
	head := c.readHead()
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("not upgraded: %q", head)
	}
	return c
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) readHead() string {
	c.t.Helper()
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := c.r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			c.t.Fatalf("after %q: %v", head.String(), err)
		}
	}
	return head.String()
}

// next reads a frame; any error fails the test.
func (c *client) next() ws.Frame {
	c.t.Helper()
	//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
	f, err := ws.ReadFrame(c.r)
	if err != nil {
		c.t.Fatalf("reading a frame: %v", err)
	}
	if f.Header.Masked {
		c.t.Fatal("the server masked a frame")
	}
	return f
}

// expect reads a frame and compares.
func (c *client) expect(op ws.OpCode, payload string) {
	c.t.Helper()
	f := c.next()
	if f.Header.OpCode != op || string(f.Payload) != payload || !f.Header.Fin {
		c.t.Fatalf("got %v %.100q, want %v %.100q", f.Header, f.Payload, op, payload)
	}
}

// expectClose reads up to a close frame, compares its code and then wants the end of the stream.
func (c *client) expectClose(code uint16) {
	c.t.Helper()
	for {
		f := c.next()
		if f.Header.OpCode != ws.OpClose {
			continue
		}
		got := uint16(1005)
		if len(f.Payload) >= 2 {
			got = binary.BigEndian.Uint16(f.Payload)
		}
		if got != code {
			c.t.Fatalf("closed with %d %q, want %d", got, f.Payload[2:], code)
		}
		break
	}
	if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
		c.t.Fatalf("after the close frame: %q, %v", b, err)
	}
}

// masked is a client frame.
func masked(op ws.OpCode, fin bool, payload string) []byte {
	b, err := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, []byte(payload))))
	if err != nil {
		panic(err)
	}
	return b
}

func text(s string) []byte     { return masked(ws.OpText, true, s) }
func binaryOf(s string) []byte { return masked(ws.OpBinary, true, s) }

func closeBody(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

// parcelOwner counts what comes back.
type parcelOwner struct {
	mu sync.Mutex
	n  int
}

func (o *parcelOwner) Release(*frame.Parcel) {
	o.mu.Lock()
	o.n++
	o.mu.Unlock()
}

func (o *parcelOwner) released() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
}

func parcelFor(o *parcelOwner, frames []byte, ids ...frame.ConnID) *frame.Parcel {
	p := &frame.Parcel{Buf: frames, Owner: o}
	for _, id := range ids {
		p.Targets = append(p.Targets, frame.Target{Conn: id, Len: uint32(len(frames))})
	}
	return p
}

// opened collects the ids of connections in the order of their opening.
type opened struct{ ids chan frame.ConnID }

func newOpened() *opened { return &opened{make(chan frame.ConnID, 1024)} }

func (o *opened) open(c *Conn, _ *Request) { o.ids <- c.ID() }

func (o *opened) next(t testing.TB) frame.ConnID {
	t.Helper()
	select {
	case id := <-o.ids:
		return id
	case <-time.After(patience):
		t.Fatal("no connection was opened")
		return 0
	}
}
