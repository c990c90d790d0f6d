package switchyard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/frame"
)

// AtExit is called after the last test.
var AtExit = func() {}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		AtExit()
		os.Exit(code)
	}))
}

// patience is how long a test waits for what must come at once. It only bounds a failing test.
const patience = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// fakeServer accepts connections for a test, which plays the server's part frame by frame.
type fakeServer struct {
	t        testing.TB
	url      string
	patience time.Duration
	conns    chan net.Conn
	dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP

	mu       sync.Mutex
	refusing int // how many dials fail from now on
	dials    []time.Time
}

// newFakeServer listens on TCP.
func newFakeServer(t testing.TB) *fakeServer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{t: t, patience: patience, url: "ws://" + listener.Addr().String() + "/v1/ws", conns: make(chan net.Conn, 16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.conns <- conn
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return s
}

// newPipeServer gives each dial one end of a pipe, so that a test can run in a synctest bubble.
func newPipeServer(t testing.TB) *fakeServer {
	s := &fakeServer{t: t, patience: 24 * time.Hour, url: "ws://pipe/v1/ws", conns: make(chan net.Conn, 16)}
	s.dial = func(context.Context, string, string) (net.Conn, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dials = append(s.dials, time.Now())
		if s.refusing > 0 {
			s.refusing--
			return nil, errors.New("refused")
		}
		near, far := net.Pipe()
		s.conns <- far
		return near, nil
	}
	return s
}

func (s *fakeServer) options() Options {
	return Options{
		Token:       func(context.Context) (string, error) { return "token", nil },
		DialContext: s.dial,
		MarkDelay:   time.Millisecond,
	}
}

// refuse makes the next n dials fail, and forgets those that were.
func (s *fakeServer) refuse(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusing, s.dials = n, nil
}

// dialed returns when there were dials.
func (s *fakeServer) dialed() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

// peer is the server's side of one connection. A test calls it from one goroutine.
type peer struct {
	t        testing.TB
	patience time.Duration
	conn     net.Conn
	src      *bufio.Reader
	frames   []byte       // of the last message, not yet looked at
	marks    []frame.Mark // delivered and read marks that came between other frames
	pongs    []string
}

// accept takes the next connection and upgrades it.
func (s *fakeServer) accept() *peer {
	s.t.Helper()
	select {
	case conn := <-s.conns:
		return s.upgrade(conn)
	case <-time.After(s.patience):
		s.t.Fatal("the client does not connect")
		return nil
	}
}

func (s *fakeServer) upgrade(conn net.Conn) *peer {
	s.t.Helper()
	upgrader := ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == subprotocol }}
	if _, err := upgrader.Upgrade(conn); err != nil {
		s.t.Fatalf("upgrade: %v", err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return s.peer(conn)
}

func (s *fakeServer) peer(conn net.Conn) *peer {
	return &peer{t: s.t, patience: s.patience, conn: conn, src: bufio.NewReader(conn)}
}

func testWelcome() *frame.Welcome {
	now := uint64(time.Now().UnixMilli())
	return &frame.Welcome{
		Ref: firstRef, Session: ID{9}, User: []byte("ann"), Role: []byte("visitor"),
		ServerMS: now, ExpiresMS: now + 3_600_000, HeartbeatMS: 30_000, MaxMessage: 64 << 10,
		RetryMinMS: 1000, RetryMaxMS: 60_000, RetryJitterMS: 1000,
	}
}

// welcome accepts a connection and its hello.
func (s *fakeServer) welcome() *peer {
	s.t.Helper()
	p := s.accept()
	expect(p, &frame.Hello{})
	p.send(testWelcome())
	return p
}

// start dials, and returns both sides. The client is closed at the end of the test.
func (s *fakeServer) start(opts Options) (*Client, *peer) {
	s.t.Helper()
	c, p := s.startWith(opts, testWelcome())
	return c, p
}

func (s *fakeServer) startWith(opts Options, w *frame.Welcome) (*Client, *peer) {
	s.t.Helper()
	type result struct {
		c   *Client
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := Dial(testContext(s.t), s.url, opts)
		done <- result{c, err}
	}()
	p := s.accept()
	expect(p, &frame.Hello{})
	p.send(w)
	r := <-done
	if r.err != nil {
		s.t.Fatalf("dial: %v", r.err)
	}
	s.t.Cleanup(func() { p.conn.Close(); r.c.Close() })
	return r.c, p
}

// send writes frames as one message.
func (p *peer) send(frames ...encoder) {
	p.t.Helper()
	var batch []byte
	for _, f := range frames {
		batch = f.Append(batch)
	}
	p.write(ws.NewBinaryFrame(batch))
}

func (p *peer) write(f ws.Frame) {
	p.t.Helper()
	p.conn.SetWriteDeadline(time.Now().Add(p.patience))
	if err := ws.WriteFrame(p.conn, f); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

// close ends the connection with a close frame.
func (p *peer) close(code int, reason string) {
	p.t.Helper()
	p.write(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
	p.conn.Close()
}

// next returns the next frame of interest: heartbeats are answered, and marks and pongs are noted.
func (p *peer) next() (frame.Type, []byte, error) {
	for {
		for len(p.frames) == 0 {
			if err := p.readMessage(); err != nil {
				return 0, nil, err
			}
		}
		typ, f, rest, err := frame.Next(p.frames)
		if err != nil {
			return 0, nil, err
		}
		p.frames = rest
		switch typ {
		case frame.TypeHeartbeat:
			p.answerHeartbeat(f)
		case frame.TypeDelivered, frame.TypeRead:
			var m frame.Mark
			if err := m.Parse(f); err != nil {
				return 0, nil, err
			}
			p.marks = append(p.marks, m)
		default:
			return typ, f, nil
		}
	}
}

func (p *peer) answerHeartbeat(f []byte) {
	var h frame.Heartbeat
	if h.Parse(f) == nil {
		h.ServerMS = h.ClientMS + 5000
		p.conn.SetWriteDeadline(time.Now().Add(p.patience))
		ws.WriteFrame(p.conn, ws.NewBinaryFrame(h.Append(nil)))
	}
}

func (p *peer) readMessage() error {
	p.conn.SetReadDeadline(time.Now().Add(p.patience))
	h, err := ws.ReadHeader(p.src)
	if err != nil {
		return err
	}
	if !h.Masked {
		return errors.New("the client sent an unmasked frame")
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(p.src, payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpBinary:
		p.frames = payload
		return nil
	case ws.OpPong:
		p.pongs = append(p.pongs, string(payload))
		return nil
	case ws.OpClose:
		return newCloseError(payload)
	default:
		return fmt.Errorf("the client sent opcode %d", h.OpCode)
	}
}

type parser interface{ Parse(f []byte) error }

// expect reads the next frame, which must be of a certain type.
func expect[T parser](p *peer, into T) T {
	p.t.Helper()
	typ, f, err := p.next()
	if err != nil {
		p.t.Fatalf("waiting for %T: %v", into, err)
	}
	if err := into.Parse(f); err != nil {
		p.t.Fatalf("waiting for %T, got %v: %v", into, typ, err)
	}
	return into
}

// expectMark reads until a mark has reached a sequence.
func (p *peer) expectMark(typ frame.Type, seq uint64) {
	p.t.Helper()
	for {
		for _, m := range p.marks {
			if m.Type == typ && m.Seq == seq {
				return
			}
		}
		seen := len(p.marks)
		for len(p.marks) == seen {
			p.nextMark()
		}
	}
}

func (p *peer) nextMark() {
	p.t.Helper()
	if len(p.frames) == 0 {
		if err := p.readMessage(); err != nil {
			p.t.Fatalf("waiting for a mark: %v", err)
		}
	}
	for len(p.frames) > 0 {
		typ, f, rest, err := frame.Next(p.frames)
		if err != nil {
			p.t.Fatal(err)
		}
		p.frames = rest
		switch typ {
		case frame.TypeHeartbeat:
			p.answerHeartbeat(f)
		case frame.TypeDelivered, frame.TypeRead:
			var m frame.Mark
			if err := m.Parse(f); err != nil {
				p.t.Fatal(err)
			}
			p.marks = append(p.marks, m)
		default:
			p.t.Fatalf("waiting for a mark, got %v", typ)
		}
	}
}

var testConv = ID{0xc0, 1}

// open opens testConv at a head.
func open(c *Client, p *peer, head uint64) *Conversation {
	p.t.Helper()
	return during(p.t, func() (*Conversation, error) {
		return c.Open(testContext(p.t), "sales", OpenOptions{})
	}, func() {
		request := expect(p, &frame.Open{})
		p.send(&frame.Conversation{Ref: request.Ref, Conv: testConv, State: frame.StateAssigned, Group: []byte("sales"), Visitor: []byte("ann"), Agent: []byte("bob"), Head: head})
	})
}

// during runs a blocking call beside the server's part of it.
func during[T any](t testing.TB, call func() (T, error), script func()) T {
	t.Helper()
	value, err := attempted(call, script)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func attempted[T any](call func() (T, error), script func()) (value T, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		value, err = call()
	}()
	script()
	<-done
	return value, err
}

// text makes a message of bob's.
func text(seq uint64, body string) *frame.Message {
	return textAfter(seq-1, seq, body)
}

func textAfter(prev, seq uint64, body string) *frame.Message {
	return &frame.Message{Conv: testConv, Seq: seq, Prev: prev, TimeMS: 1000 + seq, Sender: []byte("bob"), ID: ID{0xb0, byte(seq)}, Body: raw(body)}
}

// own makes the stored form of a message that the client sent.
func own(f *frame.Send, seq uint64) *frame.Message {
	return &frame.Message{Conv: f.Conv, Seq: seq, Prev: seq - 1, TimeMS: 1000 + seq, Sender: []byte("ann"), ID: f.ID, Body: f.Body}
}

func raw(body any) Raw {
	r, err := encodeBody(body)
	if err != nil {
		panic(err)
	}
	return r
}

// receive reads the next message, which must have this text.
func receive(t testing.TB, conv *Conversation, want string) Message {
	t.Helper()
	m, err := conv.Receive(testContext(t))
	if err != nil {
		t.Fatalf("waiting for %q: %v", want, err)
	}
	if m.Body.Text() != want {
		t.Fatalf("received %q (sequence %d), want %q", m.Body.Text(), m.Seq, want)
	}
	return m
}

// sendCopy is a Send that owns its bytes.
func sendCopy(f *frame.Send) *frame.Send {
	f.Body = append([]byte(nil), f.Body...)
	return f
}

func expectSend(p *peer, want string) *frame.Send {
	p.t.Helper()
	f := sendCopy(expect(p, &frame.Send{}))
	if got := Raw(f.Body).Text(); got != want {
		p.t.Fatalf("the client sent %q, want %q", got, want)
	}
	return f
}

// post puts a message into the outbox.
func post(t testing.TB, conv *Conversation, body string) *Pending {
	t.Helper()
	p, err := conv.Post(testContext(t), body)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// accepted waits for the answer to a message.
func accepted(t testing.TB, p *Pending, seq uint64) {
	t.Helper()
	got, err := p.Wait(testContext(t))
	if err != nil || got.Seq != seq || got.ID != p.ID() {
		t.Fatalf("got %+v, %v, want sequence %d", got, err, seq)
	}
}
