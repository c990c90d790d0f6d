package main

import (
	"encoding/binary"
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

// TestChatAllocatesNothing counts the allocations of this process while two devices chat through a whole server in it, store and all: read, decode,
// ring, shard, commit, mailbox, merge, write. The devices allocate nothing themselves. What goes on by the second and not by the message (percentiles, the
// engine's housekeeping) does not count: it is not in the best of several parts.
func TestChatAllocatesNothing(t *testing.T) {
	address, key := startInProcess(t)
	visitor := dialFrugal(t, address, key)
	conv := visitor.open()
	device := dialFrugal(t, address, key)
	device.attach(conv)
	for _, tc := range []struct {
		inflight, rounds int
	}{{1, 2000}, {16, 640}} {
		round := func() {
			visitor.chat(tc.inflight)
			device.receive(tc.inflight)
		}
		for range 1000 { // so that every buffer has grown: the store has some hundred transactions, which take turns
			round()
		}
		const parts, most = 40, 0.02 // short parts, since a busy machine takes long for a few messages
		best := math.Inf(1)
		for range parts {
			best = min(best, float64(mallocsOf(tc.rounds/parts, round))/float64(tc.inflight*tc.rounds/parts))
		}
		t.Logf("%d in flight: %.3f allocations a message", tc.inflight, best)
		if best > most {
			t.Errorf("%d in flight: %.3f allocations a message, want %g at most", tc.inflight, best, most)
		}
	}
}

// mallocsOf counts the allocations of the whole process in a number of rounds.
func mallocsOf(rounds int, round func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		round()
	}
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// startInProcess runs a whole server in this process and returns its address and a key that it takes.
func startInProcess(t *testing.T) (address string, key auth.Key) {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Server.ID, cfg.Server.Listen, cfg.Admin.Listen = "alloc", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Store.Dir, cfg.Store.SyncEvery = filepath.Join(dir, "data"), 0
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	verifier, key, err := newVerifier(&cfg, true, log)
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(&cfg, sockets{}, verifier, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(0); err != nil {
			t.Error(err)
		}
	})
	return s.net.Addr().String(), key
}

// frugal is a blocking client that allocates nothing once it is attached.
type frugal struct {
	net.Conn
	t      *testing.T
	in     []byte // what was read
	from   int    // the first byte of it that is not handled
	out    []byte
	frames []byte
	next   frame.Send

	welcome, attached, acks, messages int
	last                              uint64 // sequence
	conv                              frame.ID
}

func dialFrugal(t *testing.T, address string, key auth.Key) *frugal {
	t.Helper()
	dialer := ws.Dialer{Protocols: []string{"switchyard.v1.msgpack"}}
	conn, _, _, err := dialer.Dial(t.Context(), "ws://"+address+"/v1/ws")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	token, err := devToken(key, "ann", frame.RoleVisitor, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &frugal{Conn: conn, t: t, in: make([]byte, 0, 64<<10)}
	c.send((&frame.Hello{Ref: 1, Token: []byte(token)}).Append(nil))
	c.readUntil(&c.welcome, 1)
	return c
}

func (c *frugal) open() frame.ID {
	c.send((&frame.Open{Ref: 2, Key: frame.ID{1}, Group: []byte(devGroup)}).Append(nil))
	c.readUntil(&c.attached, 1)
	return c.conv
}

func (c *frugal) attach(conv frame.ID) {
	c.conv = conv
	c.send((&frame.Attach{Ref: 2, Conv: conv}).Append(nil))
	c.readUntil(&c.attached, 1)
}

// chat sends n messages together and waits for their acks.
func (c *frugal) chat(n int) {
	c.frames = c.frames[:0]
	m := &c.next
	m.Ref, m.Conv, m.Level, m.Base = 3, c.conv, 2, c.last
	for range n {
		binary.BigEndian.PutUint64(m.ID[:], binary.BigEndian.Uint64(m.ID[:])+1)
		m.Body = hello
		c.frames = m.Append(c.frames)
	}
	c.send(c.frames)
	c.readUntil(&c.acks, c.acks+n)
}

var hello = frame.AppendText(nil, "hello, is anybody there?")

// receive waits for n messages and says that they were delivered.
func (c *frugal) receive(n int) {
	c.readUntil(&c.messages, c.messages+n)
	m := frame.Mark{Type: frame.TypeDelivered, Conv: c.conv, Seq: c.last}
	c.frames = m.Append(c.frames[:0])
	c.send(c.frames)
}

// send writes a message with a mask of zeros, which changes nothing.
func (c *frugal) send(frames []byte) {
	c.out = append(c.out[:0], 0x82, 0x80|126, byte(len(frames)>>8), byte(len(frames)), 0, 0, 0, 0)
	c.out = append(c.out, frames...)
	if _, err := c.Write(c.out); err != nil {
		c.t.Fatal(err)
	}
}

// readUntil reads until one of the client's own counts is as wanted.
func (c *frugal) readUntil(count *int, want int) {
	for *count < want {
		rest := copy(c.in, c.in[c.from:])
		n, err := c.Read(c.in[rest:cap(c.in)])
		if err != nil {
			c.t.Fatalf("reading: %v", err)
		}
		c.in, c.from = c.in[:rest+n], 0
		for c.message() {
		}
	}
}

// message handles the next WebSocket message, if it is whole.
func (c *frugal) message() bool {
	b := c.in[c.from:]
	if len(b) < 4 {
		return false
	}
	head, size := 2, int(b[1])
	if size == 126 {
		head, size = 4, int(b[2])<<8|int(b[3])
	}
	if len(b) < head+size {
		return false
	}
	c.from += head + size
	if op := ws.OpCode(b[0] & 15); op != ws.OpBinary {
		c.t.Fatalf("the server sent %v %q", op, b[head:head+size])
	}
	for b = b[head : head+size]; len(b) > 0; {
		typ, f, rest, err := frame.Next(b)
		if err != nil {
			c.t.Fatal(err)
		}
		c.frame(typ, f)
		b = rest
	}
	return true
}

func (c *frugal) frame(typ frame.Type, f []byte) {
	var err error
	switch typ {
	case frame.TypeWelcome:
		c.welcome++
	case frame.TypeConversation:
		var m frame.Conversation
		err = m.Parse(f)
		c.attached, c.conv = c.attached+1, m.Conv
	case frame.TypeResumed:
		c.attached++
	case frame.TypeAck:
		var m frame.Ack
		err = m.Parse(f)
		c.acks, c.last = c.acks+1, m.Seq
	case frame.TypeMessage:
		var m frame.Message
		err = m.Parse(f)
		c.messages, c.last = c.messages+1, m.Seq
	case frame.TypeError:
		var m frame.Error
		if err = m.Parse(f); err == nil {
			c.t.Fatalf("refused: %s %s", frame.ErrorName(m.Code), m.Text)
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}
