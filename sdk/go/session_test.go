package switchyard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// The test vectors of the protocol: valid frames of the server are taken, invalid ones are an error, and nothing panics.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("../../frame/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	type vector struct{ Name, From, Hex string }
	var vectors struct{ Valid, Invalid []vector }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Valid) < 20 {
		t.Fatalf("only %d vectors", len(vectors.Valid))
	}
	for _, v := range vectors.Valid {
		f, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := bareSession().receive(f, time.Now()); err != nil && v.From != "client" {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

// bareSession is connected to nothing, with one conversation open.
func bareSession() *session {
	s := newSession(Options{Token: nil}.withDefaults(), rand.Int64N, func() {})
	s.connected(testWelcome(), time.Now())
	c := &Client{opts: s.opts, session: s}
	conv := c.newConversation(testConv)
	s.attached(conv)
	return s
}

func FuzzSession(f *testing.F) {
	f.Add(text(1, "a").Append(nil))
	f.Add(text(5, "gap").Append((&frame.Resumed{Ref: 2, Conv: testConv, Recovered: true, Count: 1 << 60}).Append(nil)))
	f.Add((&frame.Drain{DelayMS: 1 << 63, WindowMS: 1 << 63}).Append(nil))
	f.Add((&frame.Error{Ref: 0, Code: frame.ErrorUnavailable, RetryMS: 1 << 63}).Append(nil))
	f.Add((&frame.Welcome{ExpiresMS: 1<<64 - 1, Session: ID{1}, MaxMessage: 1<<64 - 1}).Append(nil))
	f.Fuzz(func(t *testing.T, batch []byte) {
		s := bareSession()
		s.receive(batch, time.Now())
		s.runHooks()
		s.due(time.Now().Add(time.Hour), batches{})
		for _, c := range s.convs {
			c.track.check(t)
		}
	})
}

// What the reader assembles does not depend on how the bytes arrive.
func TestReaderOnAnyPieces(t *testing.T) {
	var stream bytes.Buffer
	want := bytes.Repeat([]byte("switchyard"), 30_000)
	ws.WriteFrame(&stream, ws.NewBinaryFrame([]byte("short")))
	ws.WriteFrame(&stream, ws.NewFrame(ws.OpBinary, false, want[:100_000]))
	ws.WriteFrame(&stream, ws.NewPingFrame([]byte("ping")))
	ws.WriteFrame(&stream, ws.NewFrame(ws.OpContinuation, true, want[100_000:]))
	for name, src := range map[string]io.Reader{
		"whole": bytes.NewReader(stream.Bytes()), "bytes": iotest.OneByteReader(bytes.NewReader(stream.Bytes())),
		"halves": iotest.HalfReader(bytes.NewReader(stream.Bytes())), "error with data": iotest.DataErrReader(bytes.NewReader(stream.Bytes())),
	} {
		r := newWSReader(src, 1<<20)
		for i, part := range []string{"short", "ping", string(want)} {
			if _, payload, err := r.next(); err != nil || string(payload) != part {
				t.Fatalf("%s: message %d: %d bytes, %v", name, i, len(payload), err)
			}
		}
		if _, _, err := r.next(); err != io.EOF {
			t.Errorf("%s: the end is %v", name, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(ws.MustCompileFrame(ws.NewBinaryFrame([]byte("hello"))))
	f.Add([]byte{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x02, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1000
		r := newWSReader(bytes.NewReader(stream), limit)
		for {
			_, payload, err := r.next()
			if err != nil {
				return
			}
			if len(payload) > limit {
				t.Fatalf("a message of %d bytes", len(payload))
			}
		}
	})
}

// Frames are written as any server reads them, in each form of the length.
func TestAppendWS(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65_535, 65_536, 100_000} {
		payload := bytes.Repeat([]byte{0xa5, 1, 2}, n/3+1)[:n]
		//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
		f, err := ws.ReadFrame(bytes.NewReader(appendWS([]byte{}, ws.OpBinary, payload)))
		if err != nil || !f.Header.Masked || !f.Header.Fin || !bytes.Equal(ws.UnmaskFrame(f).Payload, payload) {
			t.Errorf("%d bytes: %+v, %v", n, f.Header, err)
		}
	}
}

// Batches stay within what the server accepts, and keep the order.
func TestOutgoingCutsBatches(t *testing.T) {
	o := outgoing{maxBytes: 100, maxFrames: 3}
	var all []byte
	for i := range 20 {
		m := text(uint64(i+1), string(make([]byte, i)))
		all = m.Append(all)
		o.add(m)
	}
	out := o.take(batches{})
	var joined []byte
	out.each(func(batch []byte) {
		frames := 0
		for rest := batch; len(rest) > 0; frames++ {
			_, _, next, err := frame.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = next
		}
		if frames > 3 || frames > 1 && len(batch) > 100 || frames == 0 {
			t.Errorf("a batch of %d frames, %d bytes", frames, len(batch))
		}
		joined = append(joined, batch...)
	})
	if !bytes.Equal(joined, all) || !o.empty() {
		t.Error("the frames changed")
	}
}

// Marks wait for each other as long as MarkDelay, and travel at once with anything that is sent.
func TestMarkDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		opts := s.options()
		opts.MarkDelay = 700 * time.Millisecond
		c, p := s.start(opts)
		conv := open(c, p, 0)
		from := time.Now()
		p.send(text(1, "a"), text(2, "b"))
		receive(t, conv, "a")
		receive(t, conv, "b")
		p.expectMark(frame.TypeDelivered, 2)
		if took := time.Since(from); took != opts.MarkDelay || len(p.marks) != 1 {
			t.Errorf("after %v: %+v", took, p.marks)
		}
		from = time.Now()
		conv.Read(2)
		post(t, conv, "x")
		expectSend(p, "x")
		p.expectMark(frame.TypeRead, 2)
		if took := time.Since(from); took != 0 {
			t.Errorf("a mark beside a message waits %v", took)
		}
		c.Close()
	})
}

// Signals are dropped while the connection is jammed, rather than queued.
func TestSignalsAreDroppedWhenJammed(t *testing.T) {
	s := bareSession()
	c := s.convs[testConv]
	for len(s.out.buf) <= jamBytes {
		s.out.add(text(1, "something large that waits for a slow connection"))
	}
	before := len(s.out.buf)
	if err := s.signal(&frame.Signal{Conv: c.id, Name: []byte("typing"), Body: raw(true)}); err != nil || len(s.out.buf) != before {
		t.Errorf("%d bytes wait, then %d, %v", before, len(s.out.buf), err)
	}
}

// A supervisor has no marks, so none are sent for it.
func TestSupervisorsSendNoMarks(t *testing.T) {
	s := bareSession()
	s.role = "supervisor"
	s.receive(text(1, "a").Append(nil), time.Now())
	if _, ok, err := s.pull(s.convs[testConv]); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if len(s.dirty) != 0 {
		t.Error("a mark is waiting")
	}
}

// The largest frame around a body is as large as sendOverhead says, and a body that just fits is sent.
func TestLargestBody(t *testing.T) {
	const most = 1<<64 - 1
	f := frame.Send{Ref: most, Conv: testConv, Level: 2, ID: ID{1}, Base: most, Body: raw(nil)}
	if size := len(f.Append(nil)) - len(f.Body); size != sendOverhead {
		t.Errorf("%d bytes around the body, want %d", size, sendOverhead)
	}
	s := bareSession()
	c := s.convs[testConv]
	body := make(Raw, s.out.maxBytes-sendOverhead)
	if _, err := s.post(c, body); err != nil {
		t.Error(err)
	}
	if _, err := s.post(c, append(body, 0)); err == nil {
		t.Error("a body of one byte more is taken")
	}
}

// A message costs the application what it keeps of it: its slot, its body, its sender; and no more.
func TestAllocations(t *testing.T) {
	s := bareSession()
	c := s.convs[testConv]
	var buf []byte
	got := testing.AllocsPerRun(100, func() {
		m := frame.Message{Conv: testConv, Seq: c.track.last + 1, Prev: c.track.last, Sender: []byte("bob"), Body: []byte{0xc3}}
		buf = m.Append(buf[:0])
		s.receive(buf, time.Time{})
		s.pull(c)
	})
	if got > 4 {
		t.Errorf("%v allocations a message", got)
	}
}
