package netserver

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

type step struct {
	op      ws.OpCode
	payload string
}

// rfcCases are conversations with the echo server: what the client sends, what comes back in order, and the code that the
// server closes with (0: it stays open).
var rfcCases = []struct {
	name  string
	send  [][]byte
	want  []step
	close uint16
}{
	{"text", [][]byte{text("hello")}, []step{{ws.OpText, "hello"}}, 0},
	{"empty", [][]byte{text(""), binaryOf("")}, []step{{ws.OpText, ""}, {ws.OpBinary, ""}}, 0},
	{"binary of 126 bytes", [][]byte{binaryOf(strings.Repeat("x", 126))}, []step{{ws.OpBinary, strings.Repeat("x", 126)}}, 0},
	{"binary of 65,535 bytes", [][]byte{binaryOf(strings.Repeat("y", 65535))}, []step{{ws.OpBinary, strings.Repeat("y", 65535)}}, 0},
	{"largest message", [][]byte{binaryOf(strings.Repeat("z", 65536))}, []step{{ws.OpBinary, strings.Repeat("z", 65536)}}, 0},
	{"fragments", [][]byte{masked(ws.OpText, false, "a"), masked(ws.OpContinuation, false, "b"), masked(ws.OpContinuation, true, "c")},
		[]step{{ws.OpText, "abc"}}, 0},
	{"empty fragments", [][]byte{masked(ws.OpText, false, ""), masked(ws.OpContinuation, false, ""), masked(ws.OpContinuation, true, "")},
		[]step{{ws.OpText, ""}}, 0},
	{"ping between fragments", [][]byte{masked(ws.OpBinary, false, "a"), masked(ws.OpPing, true, "p"), masked(ws.OpContinuation, true, "b")},
		[]step{{ws.OpPong, "p"}, {ws.OpBinary, "ab"}}, 0},
	{"close between fragments", [][]byte{masked(ws.OpBinary, false, "a"), masked(ws.OpClose, true, closeBody(1000, ""))}, nil, 1000},
	{"ping of 125 bytes", [][]byte{masked(ws.OpPing, true, strings.Repeat("p", 125))}, []step{{ws.OpPong, strings.Repeat("p", 125)}}, 0},
	{"unsolicited pong", [][]byte{masked(ws.OpPong, true, "x"), text("a")}, []step{{ws.OpText, "a"}}, 0},
	{"rune across fragments", [][]byte{masked(ws.OpText, false, "\xe2\x82"), masked(ws.OpContinuation, true, "\xac")},
		[]step{{ws.OpText, "€"}}, 0},
	{"many in one write", [][]byte{append(append(text("1"), text("2")...), binaryOf("3")...)},
		[]step{{ws.OpText, "1"}, {ws.OpText, "2"}, {ws.OpBinary, "3"}}, 0},

	{"close without code", [][]byte{masked(ws.OpClose, true, "")}, nil, 1005},
	{"close with reason", [][]byte{masked(ws.OpClose, true, closeBody(3000, "bye"))}, nil, 3000},
	{"close after a message", [][]byte{text("a"), masked(ws.OpClose, true, closeBody(4999, ""))}, []step{{ws.OpText, "a"}}, 4999},
	{"frames after close", [][]byte{append(masked(ws.OpClose, true, closeBody(1000, "")), text("late")...)}, nil, 1000},
	{"close of one byte", [][]byte{masked(ws.OpClose, true, "x")}, nil, 1002},
	{"close with 1005", [][]byte{masked(ws.OpClose, true, closeBody(1005, ""))}, nil, 1002},
	{"close with 2999", [][]byte{masked(ws.OpClose, true, closeBody(2999, ""))}, nil, 1002},
	{"close with 5000", [][]byte{masked(ws.OpClose, true, closeBody(5000, ""))}, nil, 1002},
	{"close reason not UTF-8", [][]byte{masked(ws.OpClose, true, closeBody(1000, "\xff"))}, nil, 1007},

	{"reserved bit", [][]byte{{0xc1, 0x80, 0, 0, 0, 0}}, nil, 1002},
	{"reserved data opcode", [][]byte{{0x83, 0x80, 0, 0, 0, 0}}, nil, 1002},
	{"reserved control opcode", [][]byte{{0x8b, 0x80, 0, 0, 0, 0}}, nil, 1002},
	{"unmasked", [][]byte{{0x81, 1, 'a'}}, nil, 1002},
	{"fragmented ping", [][]byte{{0x09, 0x80, 0, 0, 0, 0}}, nil, 1002},
	{"ping of 126 bytes", [][]byte{masked(ws.OpPing, true, strings.Repeat("p", 126))}, nil, 1002},
	{"continuation of nothing", [][]byte{masked(ws.OpContinuation, true, "a")}, nil, 1002},
	{"message within a message", [][]byte{masked(ws.OpText, false, "a"), text("b")}, nil, 1002},
	{"2^63 bytes declared", [][]byte{{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}}, nil, 1002},
	{"2^63-1 bytes declared", [][]byte{{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}}, nil, 1009},
	{"message over the limit", [][]byte{binaryOf(strings.Repeat("z", 65537))}, nil, 1009},
	{"fragments over the limit", [][]byte{masked(ws.OpBinary, false, strings.Repeat("z", 65000)),
		masked(ws.OpContinuation, true, strings.Repeat("z", 537))}, nil, 1009},
	{"text not UTF-8", [][]byte{text("a\xffb")}, nil, 1007},
	{"surrogate", [][]byte{text("\xed\xa0\x80")}, nil, 1007},
	{"text ends within a rune", [][]byte{text("\xe2\x82")}, nil, 1007},
	{"bad UTF-8 fails before the message ends", [][]byte{masked(ws.OpText, false, "\xf4\x90")}, nil, 1007},
	{"garbage", [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, nil, 1002},
}

func TestRFC6455(t *testing.T) {
	s := serve(t, Config{Raw: true}, Echo{})
	for _, tc := range rfcCases {
		for _, piece := range []int{1, 2, 1 << 20} {
			if piece < 1<<20 && len(tc.send[0]) > 1000 {
				piece *= 997 // so that large cases stay quick
			}
			t.Run(tc.name, func(t *testing.T) { runRFCCase(t, s, piece, tc.send, tc.want, tc.close) })
		}
	}
}

func runRFCCase(t *testing.T, s *Server, piece int, send [][]byte, want []step, code uint16) {
	c := open(t, s)
	for _, b := range send {
		for len(b) > 0 {
			n := min(piece, len(b))
			if _, err := c.Write(b[:n]); err != nil && code == 0 {
				t.Fatal(err)
			}
			b = b[n:]
		}
	}
	for _, w := range want {
		c.expect(w.op, w.payload)
	}
	if code == 0 {
		c.send(masked(ws.OpPing, true, "still there?"))
		c.expect(ws.OpPong, "still there?")
		c.send(masked(ws.OpClose, true, closeBody(1000, "")))
		code = 1000
	}
	c.expectClose(code)
}
