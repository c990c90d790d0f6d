package netserver

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// FuzzParseHeader compares the header parser with gobwas's reader, which is plain but needs an io.Reader and allocates.
func FuzzParseHeader(f *testing.F) {
	for _, seed := range [][]byte{{}, {0x81}, {0x81, 0x85, 1, 2, 3, 4}, {0x82, 126, 1, 0}, {0x82, 0xfe, 1, 0, 1, 2, 3}, {0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9},
		{0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9}, {0xff, 0xff}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHeader(b)
		r := bytes.NewReader(b)
		want, err := ws.ReadHeader(r)
		if err == ws.ErrHeaderLengthMSB {
			if ok && h.length>>63 != 1 {
				t.Fatalf("top bit lost: %+v", h)
			}
			return
		}
		if ok != (err == nil) {
			t.Fatalf("%x: ok is %v, model says %v", b, ok, err)
		}
		if !ok {
			return
		}
		got := ws.Header{Fin: h.fin, Rsv: h.rsv, OpCode: h.op, Masked: h.masked, Mask: h.mask, Length: int64(h.length)}
		if got != want || int(h.size) != len(b)-r.Len() {
			t.Fatalf("%x: %+v, %d bytes; model says %+v, %d bytes", b, got, h.size, want, len(b)-r.Len())
		}
		again := appendHeader(nil, h.op, int(h.length))
		if back, ok := parseHeader(again); !ok || back.length != h.length || back.op != h.op || !back.fin {
			t.Fatalf("appendHeader(%v, %d) = %x, which reads as %+v", h.op, h.length, again, back)
		}
	})
}

// model reads a client's stream the obvious way, with gobwas's reader on all of it at once: the messages that are complete before
// the connection ends, and the code that it ends with (0: it goes on).
func model(stream []byte, limit int) (messages []step, code uint16) {
	r := bytes.NewReader(stream)
	var msg []byte
	var op ws.OpCode
	for {
		h, err := ws.ReadHeader(r)
		if err == ws.ErrHeaderLengthMSB {
			return messages, 1002
		}
		if err != nil {
			return messages, 0
		}
		inMessage := op != 0
		bad := h.Rsv != 0 || h.OpCode.IsReserved() || !h.Masked || h.OpCode.IsControl() && (!h.Fin || h.Length > 125) ||
			h.OpCode.IsData() && inMessage != (h.OpCode == ws.OpContinuation)
		if bad {
			return messages, 1002
		}
		if h.OpCode.IsData() && h.Length > int64(limit-len(msg)) {
			return messages, 1009
		}
		payload := make([]byte, min(int(h.Length), r.Len()))
		_, _ = io.ReadFull(r, payload)
		ws.Cipher(payload, h.Mask, 0)
		whole := int64(len(payload)) == h.Length
		switch {
		case h.OpCode.IsControl() && !whole:
			return messages, 0
		case h.OpCode == ws.OpPing:
			messages = append(messages, step{ws.OpPong, string(payload)})
			continue
		case h.OpCode == ws.OpPong:
			continue
		case h.OpCode == ws.OpClose:
			return messages, modelClose(payload)
		}
		if !inMessage {
			op = h.OpCode
		}
		msg = append(msg, payload...)
		if op == ws.OpText && !validSoFar(msg, whole && h.Fin) {
			return messages, 1007
		}
		if !whole {
			return messages, 0
		}
		if h.Fin {
			messages = append(messages, step{op, string(msg)})
			msg, op = nil, 0
		}
	}
}

func modelClose(body []byte) uint16 {
	code, reason := ws.ParseCloseFrameData(body)
	switch {
	case len(body) == 0:
		return 1005
	case len(body) == 1 || !validCloseCode(uint16(code)):
		return 1002
	case !utf8.ValidString(reason):
		return 1007
	}
	return uint16(code)
}

// validSoFar tells whether b is UTF-8, or can become it if it is not complete: it tries every end that could follow.
func validSoFar(b []byte, complete bool) bool {
	if utf8.Valid(b) {
		return true
	}
	for k := 1; k < utf8.UTFMax && k <= len(b) && !complete; k++ {
		if tail := b[len(b)-k:]; utf8.Valid(b[:len(b)-k]) && !utf8.FullRune(tail) {
			return true
		}
	}
	return false
}

const fuzzLimit = 300

// FuzzFrames feeds a stream in pieces to a connection of an echo server, and compares what comes back with the model.
func FuzzFrames(f *testing.F) {
	for _, tc := range slices.Concat(rfcCases, limitCases) {
		if all := tc.bytes(); len(all) < 1000 {
			f.Add(all, []byte{0})
		}
	}
	f.Fuzz(compareWithModel)
}

// FuzzConversation does the same with streams that are mostly right, which FuzzFrames seldom finds: the script says which frames are sent.
func FuzzConversation(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		f.Add(randomBytes(rnd, 60), randomBytes(rnd, 8))
	}
	f.Fuzz(func(t *testing.T, script, cuts []byte) { compareWithModel(t, streamOf(script), cuts) })
}

// compareWithModel sends the stream in pieces, whose sizes cuts gives (see nextPiece). What comes back must be what the model says, and a
// violation must be noticed with the piece that makes it certain, neither earlier nor later.
func compareWithModel(t *testing.T, stream, cuts []byte) {
	if len(stream) > 4000 {
		return
	}
	l := stoppedLoop(t, Config{Raw: true, MaxMessage: fuzzLimit}, Echo{})
	c := pair(t, l).upgrade()
	var out []byte
	buf := make([]byte, 64<<10)
	before, sent := 0, 0
	for i := 0; sent < len(stream) && c.state == stateOpen; i++ {
		before, sent = sent, sent+nextPiece(cuts, i, len(stream)-sent)
		c.turn(slices.Clone(stream[before:sent]))
		out = append(out, c.receive(buf)...)
		if err := l.check(); err != nil {
			t.Fatal(err)
		}
	}
	messages, code := model(stream[:sent], fuzzLimit)
	compareOutput(t, out, messages, code)
	if open := c.state == stateOpen; open != (code == 0) {
		t.Fatalf("open is %v after %d bytes, model closes with %d", open, sent, code)
	}
	if _, early := model(stream[:before], fuzzLimit); early != 0 {
		t.Fatalf("the model closes with %d after %d bytes already, the server after %d", early, before, sent)
	}
	if c.in == nil && l.pool.held != 0 {
		t.Fatalf("%d bytes of buffers are held by nobody", l.pool.held)
	}
}

// nextPiece is the size of piece i: the cuts are taken in turn, from 1 byte on; without cuts all is one piece.
func nextPiece(cuts []byte, i, left int) int {
	if len(cuts) == 0 {
		return left
	}
	return min(int(cuts[i%len(cuts)])+1, left)
}

func compareOutput(t *testing.T, out []byte, messages []step, code uint16) {
	t.Helper()
	r := bytes.NewReader(out)
	for i, want := range messages {
		//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
		f, err := ws.ReadFrame(r)
		if err != nil || f.Header.OpCode != want.op || string(f.Payload) != want.payload {
			t.Fatalf("answer %d is %v %q, %v; want %v %q", i, f.Header.OpCode, f.Payload, err, want.op, want.payload)
		}
	}
	if code != 0 {
		//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
		f, err := ws.ReadFrame(r)
		got, _ := ws.ParseCloseFrameData(f.Payload)
		if len(f.Payload) == 0 {
			got = 1005
		}
		if err != nil || f.Header.OpCode != ws.OpClose || uint16(got) != code {
			t.Fatalf("closed with %v %q, %v; want %d", f.Header.OpCode, f.Payload, err, code)
		}
	}
	if r.Len() > 0 {
		t.Fatalf("%d bytes more than wanted", r.Len())
	}
}

// TestRandomConversations runs random scripts, as FuzzConversation does while it is not fuzzing for long.
func TestRandomConversations(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		compareWithModel(t, streamOf(randomBytes(rnd, 60)), randomBytes(rnd, 8))
		if t.Failed() {
			return
		}
	}
}

func randomBytes(rnd *rand.Rand, most int) []byte {
	b := make([]byte, rnd.IntN(most))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// usual is what clients send, about as often.
var usual = [...]ws.OpCode{ws.OpText, ws.OpText, ws.OpText, ws.OpBinary, ws.OpBinary, ws.OpBinary, ws.OpPing, ws.OpPing, ws.OpPong, ws.OpClose}

// streamOf makes a client's stream of a script: four bytes a frame, for its opcode, its length, whether it is the last fragment, and what is wrong
// with it, which mostly is nothing.
func streamOf(script []byte) (stream []byte) {
	var said scripted
	for s := range slices.Chunk(script, 4) {
		if len(s) == 4 {
			stream = append(stream, spoiled(said.frame(usual[int(s[0])%len(usual)], int(s[1]), s[2]), s[3])...)
		}
	}
	return stream
}

// scripted is the message that a script is at.
type scripted struct {
	inMessage bool
	at        int // bytes of alphabet that it has, modulo its length
}

const alphabet = "aé€😀" // one rune of each length

// frame makes the next frame. Fragments go on in the alphabet where the last one ended, in the middle of a rune or not; a message ends with a
// whole alphabet, unless how is a multiple of 16.
func (s *scripted) frame(op ws.OpCode, n int, how byte) []byte {
	fin := how%2 == 0
	switch {
	case op == ws.OpClose:
		return masked(op, true, closeBody(999+uint16(n%20), ""))
	case op.IsControl():
		return masked(op, true, strings.Repeat("p", n/2))
	case fin && how%16 != 0:
		n += len(alphabet) - (s.at+n)%len(alphabet)
	}
	if s.inMessage {
		op = ws.OpContinuation
	}
	payload := strings.Repeat(alphabet, (s.at+n)/len(alphabet)+1)[s.at : s.at+n]
	s.inMessage, s.at = !fin, (s.at+n)%len(alphabet)
	if fin {
		s.at = 0
	}
	return masked(op, fin, payload)
}

// spoiled changes one bit of the header of a frame, for one value of how in eight.
func spoiled(frame []byte, how byte) []byte {
	if how%8 == 0 {
		frame[how>>7] ^= 1 << (how >> 3 & 7)
	}
	return frame
}

func FuzzTextCheck(f *testing.F) {
	for _, s := range []string{"", "a", "é", "€", "😀", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80", "a\x80", "\xe2\x82", "ab\xf0\x9f\x98"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		var check textCheck
		for done := 0; done < len(b); {
			n := min(int(piece)+1, len(b)-done)
			ok := check.feed(b[done : done+n])
			done += n
			if want := validSoFar(b[:done], false); ok != want {
				t.Fatalf("%x: after %d bytes ok is %v, want %v", b, done, ok, want)
			}
			if !ok {
				return
			}
		}
		if check.done() != utf8.Valid(b) {
			t.Fatalf("%x: done is %v", b, check.done())
		}
	})
}

// FuzzHandshake feeds bytes as an upgrade request in pieces: whatever they are, the answer is one complete HTTP answer or none yet, and
// nothing is left behind.
func FuzzHandshake(f *testing.F) {
	for _, tc := range handshakeCases {
		if len(tc.request) < 1000 {
			f.Add([]byte(tc.request), uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, request []byte, piece uint8) {
		if len(request) > 2000 || len(request) == 0 {
			return
		}
		l := stoppedLoop(t, Config{MaxHeader: 1000}, &testHandler{})
		c := pair(t, l)
		var out []byte
		buf := make([]byte, 8192)
		for b := request; len(b) > 0 && c.state == stateHandshake; {
			n := min(int(piece)+1, len(b))
			c.turn(b[:n])
			out = append(out, c.receive(buf)...)
			b = b[n:]
		}
		if (c.state == stateHandshake) != (len(out) == 0) {
			t.Fatalf("state %d after the answer %q", c.state, out)
		}
		if len(out) > 0 && !bytes.HasPrefix(out, []byte("HTTP/1.1 ")) {
			t.Fatalf("answer %q", out)
		}
		if err := l.check(); err != nil {
			t.Fatal(err)
		}
	})
}
