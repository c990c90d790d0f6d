package netserver

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// step is one frame that the server sends.
type step struct {
	op      ws.OpCode
	payload string
}

// exchange is what the client sends, and what must have come back before it goes on.
type exchange struct {
	send []byte
	want []step
}

// rfcCase is a conversation with the echo server, and the code that the server closes with (0: it stays open). The number is that of the
// same situation in the public Autobahn test suite; those that it does not have are numbered x. See docs/conformance.md.
type rfcCase struct {
	number, name string
	talk         []exchange
	close        uint16
}

// one is a case in which the client sends everything before it reads.
func one(number, name string, send []byte, want []step, code uint16) rfcCase {
	return rfcCase{number, name, []exchange{{send, want}}, code}
}

// rfcCases keep to the default limit of 64 KiB a message; limitCases are for a server that takes only fuzzLimit bytes.
var (
	rfcCases   = slices.Concat(framingCases(), pingCases(), reservedCases(), fragmentCases(), textCases(), closeCases())
	limitCases = boundCases(fuzzLimit)
)

// sections is how many cases there are of each section of the suite, without those numbered x; sections 9 and 10 are TestLargeMessages.
// docs/conformance.md repeats it.
var sections = map[string]int{"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37}

// TestRFC6455 holds every conversation in one piece, in small pieces, and one byte at a time.
func TestRFC6455(t *testing.T) {
	for _, suite := range []struct {
		cases []rfcCase
		limit int
	}{{rfcCases, 0}, {limitCases, fuzzLimit}} {
		s := serve(t, Config{Raw: true, MaxMessage: suite.limit}, Echo{})
		for _, tc := range suite.cases {
			for _, piece := range []int{1, 997, 1 << 20} {
				if piece == 997 && tc.size() < 4000 {
					piece = 3
				}
				if !t.Run(fmt.Sprintf("%s %s/%d", tc.number, tc.name, piece), func(t *testing.T) { tc.run(t, s, piece) }) {
					t.Fatal("the rest is left out, since a case that fails may wait for its patience")
				}
			}
		}
	}
}

func TestRFC6455CoversTheSections(t *testing.T) {
	have, seen := make(map[string]int), make(map[string]bool)
	for _, tc := range slices.Concat(rfcCases, limitCases) {
		section, _, numbered := strings.Cut(tc.number, ".")
		if numbered {
			have[section]++
		}
		if seen[tc.number+tc.name] {
			t.Errorf("%s %s is there twice", tc.number, tc.name)
		}
		seen[tc.number+tc.name] = true
	}
	for section, n := range sections {
		if have[section] != n {
			t.Errorf("%d cases of section %s, want %d", have[section], section, n)
		}
	}
}

func (tc *rfcCase) size() (n int) {
	for _, e := range tc.talk {
		n += len(e.send)
	}
	return n
}

// bytes is all that the client sends.
func (tc *rfcCase) bytes() []byte {
	var all []byte
	for _, e := range tc.talk {
		all = append(all, e.send...)
	}
	return all
}

func (tc *rfcCase) run(t *testing.T, s *Server, piece int) {
	c := open(t, s)
	defer c.Close() // now, not at the end of the whole test
	for i, e := range tc.talk {
		c.sendPieces(e.send, piece)
		for _, w := range e.want {
			c.expect(w.op, w.payload)
		}
		if i < len(tc.talk)-1 {
			c.expectAlive() // so a failure comes neither early nor late
		}
	}
	code := tc.close
	if code == 0 {
		c.expectAlive()
		c.send(masked(ws.OpClose, true, closeBody(1000, "")))
		code = 1000
	}
	c.expectClose(code)
}

// sendPieces writes b in pieces of n bytes, each with a system call and, since Go sets TCP_NODELAY, a segment of its own.
func (c *client) sendPieces(b []byte, n int) {
	c.t.Helper()
	for piece := range slices.Chunk(b, n) {
		c.send(piece)
	}
}

// expectAlive has a ping answered.
func (c *client) expectAlive() {
	c.t.Helper()
	c.send(masked(ws.OpPing, true, "still there?"))
	c.expect(ws.OpPong, "still there?")
}

// echoed is the answer to one message.
func echoed(op ws.OpCode, payload string) []step { return []step{{op, payload}} }

// frames joins frames that are sent together.
func frames(f ...[]byte) []byte { return bytes.Join(f, nil) }

// raw is a masked frame with any first byte.
func raw(first byte, payload string) []byte {
	b := masked(ws.OpText, true, payload)
	b[0] = first
	return b
}

// fragments is one message in a frame for each part.
func fragments(op ws.OpCode, parts ...string) []byte {
	var all []byte
	for i, p := range parts {
		all = append(all, masked(op, i == len(parts)-1, p)...)
		op = ws.OpContinuation
	}
	return all
}

// eachByte splits s into strings of one byte.
func eachByte(s string) (parts []string) {
	for i := range len(s) {
		parts = append(parts, s[i:i+1])
	}
	return parts
}
