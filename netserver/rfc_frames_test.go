package netserver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gobwas/ws"
)

// framingCases are section 1: messages of the lengths at which the header changes, text and binary. The cases 1.1.8 and 1.2.8 differ
// from those before by their pieces, which every case has here.
func framingCases() (all []rfcCase) {
	for i, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
		for j, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
			p := strings.Repeat([]string{"*", "\xfe"}[i], n)
			all = append(all, one(fmt.Sprintf("1.%d.%d", i+1, j+1), fmt.Sprintf("%d bytes", n), masked(op, true, p), echoed(op, p), 0))
		}
		p := strings.Repeat([]string{"é", "\xff"}[i], 65536)[:65536]
		all = append(all, one(fmt.Sprintf("1.%d.8", i+1), "65536 bytes in pieces", masked(op, true, p), echoed(op, p), 0))
	}
	return append(all,
		one("x", "many messages in one write", frames(text("1"), text("2"), binaryOf("3")), []step{{ws.OpText, "1"}, {ws.OpText, "2"}, {ws.OpBinary, "3"}}, 0),
		one("x", "unmasked", []byte{0x81, 1, 'a'}, nil, 1002),
		one("x", "length of 5 in 2 bytes", raw16("hello"), echoed(ws.OpText, "hello"), 0),
		one("x", "another protocol", []byte("GET / HTTP/1.1\r\n\r\n"), nil, 1002),
	)
}

// raw16 is a text message whose length is not in the shortest form. RFC 6455 binds the sender to that, and asks nothing of the receiver.
func raw16(payload string) []byte {
	b := masked(ws.OpText, true, payload)
	return append([]byte{b[0], 0x80 | 126, 0, byte(len(payload))}, b[2:]...)
}

// pingCases are section 2.
func pingCases() []rfcCase {
	long, tooLong := strings.Repeat("\xfe", 125), strings.Repeat("\xfe", 126)
	ping := func(p string) []byte { return masked(ws.OpPing, true, p) }
	pong := func(p string) []byte { return masked(ws.OpPong, true, p) }
	var ten []byte
	var tenBack []step
	for i := range 10 {
		p := fmt.Sprintf("payload-%d", i)
		ten, tenBack = append(ten, ping(p)...), append(tenBack, step{ws.OpPong, p})
	}
	return []rfcCase{
		one("2.1", "empty ping", ping(""), echoed(ws.OpPong, ""), 0),
		one("2.2", "ping with text", ping("Hello, world!"), echoed(ws.OpPong, "Hello, world!"), 0),
		one("2.3", "ping with bytes that are no text", ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), echoed(ws.OpPong, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), 0),
		one("2.4", "ping of 125 bytes", ping(long), echoed(ws.OpPong, long), 0),
		one("2.5", "ping of 126 bytes", ping(tooLong), nil, 1002),
		{"2.6", "ping of 125 bytes among messages", []exchange{{text("a"), echoed(ws.OpText, "a")}, {ping(long), echoed(ws.OpPong, long)}}, 0},
		one("2.7", "unsolicited empty pong", pong(""), nil, 0),
		one("2.8", "unsolicited pong", pong("unsolicited"), nil, 0),
		one("2.9", "unsolicited pong, then ping", frames(pong("unsolicited"), ping("ping")), echoed(ws.OpPong, "ping"), 0),
		one("2.10", "ten pings", ten, tenBack, 0),
		{"2.11", "ten pings, twice", []exchange{{ten, tenBack}, {ten, tenBack}}, 0},
		one("x", "pong of 126 bytes", pong(tooLong), nil, 1002),
	}
}

// reservedCases are section 3, reserved bits, and section 4, reserved opcodes.
func reservedCases() []rfcCase {
	hello, back := text("Hello"), echoed(ws.OpText, "Hello")
	all := []rfcCase{
		one("3.1", "RSV 1", raw(0x91, "Hello"), nil, 1002),
		one("3.2", "RSV 2 after a message", frames(hello, raw(0xa1, "Hello"), masked(ws.OpPing, true, "")), back, 1002),
		{"3.3", "RSV 3 after a message", []exchange{{hello, back}, {frames(raw(0xb1, "Hello"), masked(ws.OpPing, true, "")), nil}}, 1002},
		one("3.4", "RSV 4 after a message", frames(hello, raw(0xc1, "Hello"), masked(ws.OpPing, true, "")), back, 1002),
		one("3.5", "RSV 5 on binary", raw(0xd2, "\x00\xff"), nil, 1002),
		one("3.6", "RSV 6 on ping", raw(0xe9, "Hello"), nil, 1002),
		one("3.7", "RSV 7 on close", raw(0xf8, closeBody(1000, "")), nil, 1002),
	}
	for i, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		number := fmt.Sprintf("4.%d.%d", 1+i/5, 1+i%5)
		payload := []string{"", "payload"}[i%2]
		if i%5 < 2 {
			all = append(all, one(number, fmt.Sprintf("opcode %d", op), raw(0x80|op, payload), nil, 1002))
		} else {
			all = append(all, one(number, fmt.Sprintf("opcode %d after a message", op), frames(hello, raw(0x80|op, payload), masked(ws.OpPing, true, "")), back, 1002))
		}
	}
	return append(all, everyBitAndOpcode()...)
}

// everyBitAndOpcode are all first bytes with a reserved bit or a reserved opcode.
func everyBitAndOpcode() (all []rfcCase) {
	for first := range 256 {
		if op := ws.OpCode(first & 15); first&0x70 != 0 || op.IsReserved() {
			all = append(all, one("x", fmt.Sprintf("first byte %02x", first), raw(byte(first), ""), nil, 1002))
		}
	}
	return all
}

// fragmentCases are section 5.
func fragmentCases() []rfcCase {
	ping, pong := masked(ws.OpPing, true, "ping"), step{ws.OpPong, "ping"}
	first, last := masked(ws.OpText, false, "fragment1"), masked(ws.OpContinuation, true, "fragment2")
	whole := step{ws.OpText, "fragment1fragment2"}
	lone := func(fin bool) []byte { return masked(ws.OpContinuation, fin, "non-continuation payload") }
	hello := text("Hello, world!")
	all := []rfcCase{
		one("5.1", "ping in two fragments", frames(raw(0x09, "a"), last), nil, 1002),
		one("5.2", "pong in two fragments", frames(raw(0x0a, "a"), last), nil, 1002),
		one("5.3", "two fragments", frames(first, last), []step{whole}, 0),
		{"5.4", "two fragments, one after the other", []exchange{{first, nil}, {last, []step{whole}}}, 0},
		one("5.5", "five fragments", fragments(ws.OpText, "a", "b", "c", "d", "e"), echoed(ws.OpText, "abcde"), 0),
		one("5.6", "ping between fragments", frames(first, ping, last), []step{pong, whole}, 0),
		{"5.7", "ping between fragments, answered before the last", []exchange{{frames(first, ping), []step{pong}}, {last, []step{whole}}}, 0},
		one("5.8", "pings around and between fragments", frames(ping, first, ping, last, ping), []step{pong, pong, whole, pong}, 0),
		one("5.9", "last fragment of nothing, then text", frames(lone(true), hello), nil, 1002),
		{"5.10", "the same after a message", []exchange{{hello, echoed(ws.OpText, "Hello, world!")}, {frames(lone(true), hello), nil}}, 1002},
		one("5.11", "empty last fragment of nothing", frames(masked(ws.OpContinuation, true, ""), hello), nil, 1002),
		one("5.12", "fragment of nothing, then text", frames(lone(false), hello), nil, 1002),
		{"5.13", "the same after a message", []exchange{{hello, echoed(ws.OpText, "Hello, world!")}, {frames(lone(false), hello), nil}}, 1002},
		one("5.14", "empty fragment of nothing", frames(masked(ws.OpContinuation, false, ""), hello), nil, 1002),
		one("5.15", "a message in fragments, then a fragment of nothing", frames(first, last, lone(false), hello), []step{whole}, 1002),
		one("5.16", "a fragment of nothing, then a message in fragments, twice", slices.Repeat(frames(lone(false), first, last), 2), nil, 1002),
		one("5.17", "a last fragment of nothing, then a message in fragments, twice", slices.Repeat(frames(lone(true), first, last), 2), nil, 1002),
		one("5.18", "both fragments are text", frames(first, masked(ws.OpText, true, "fragment2")), nil, 1002),
	}
	a, b := fragments(ws.OpText, "fragment1", "fragment2", ""), fragments(ws.OpContinuation, "fragment3", "fragment4", "fragment5")
	a = a[:len(a)-6] // without the empty last one
	five := echoed(ws.OpText, "fragment1fragment2fragment3fragment4fragment5")
	beforeLast := len(b) - len(masked(ws.OpContinuation, true, "fragment5"))
	for _, number := range []string{"5.19", "5.20"} {
		first := exchange{frames(a, ping), []step{pong}}
		all = append(all, rfcCase{number, "pings within a slow message", []exchange{first, {frames(b[:beforeLast], ping), []step{pong}}, {b[beforeLast:], five}}, 0})
	}
	return append(all, moreFragmentCases()...)
}

func moreFragmentCases() []rfcCase {
	var chatty []byte
	var want []step
	for i := range 20 {
		chatty = append(chatty, masked([]ws.OpCode{ws.OpBinary, ws.OpContinuation}[min(i, 1)], i == 19, "x")...)
		if i < 19 {
			p := strings.Repeat("p", i*6)
			chatty = append(append(chatty, masked(ws.OpPing, true, p)...), masked(ws.OpPong, true, p)...)
			want = append(want, step{ws.OpPong, p})
		}
	}
	want = append(want, step{ws.OpBinary, strings.Repeat("x", 20)})
	return []rfcCase{
		one("x", "empty fragments", fragments(ws.OpBinary, "", "", ""), echoed(ws.OpBinary, ""), 0),
		one("x", "control frames between all fragments", chatty, want, 0),
		one("x", "binary within text", frames(masked(ws.OpText, false, "a"), binaryOf("b")), nil, 1002),
		one("x", "bad frame within a message", frames(masked(ws.OpText, false, "a"), raw(0x8b, "")), nil, 1002),
		one("x", "unmasked within a message", frames(masked(ws.OpText, false, "a"), []byte{0x80, 1, 'b'}), nil, 1002),
	}
}

// boundCases are about the largest message, section 9 in small: at the limit, one byte over it, and declared without being sent.
func boundCases(limit int) []rfcCase {
	x := strings.Repeat("x", limit)
	half := x[:limit/2]
	bytewise := fragments(ws.OpBinary, eachByte(x)...)
	declared := func(length ...byte) []byte { return append(append([]byte{0x82, 0xff}, length...), 1, 2, 3, 4) }
	return []rfcCase{
		one("x", "at the limit", binaryOf(x), echoed(ws.OpBinary, x), 0),
		one("x", "at the limit in two fragments", fragments(ws.OpText, half, half), echoed(ws.OpText, x), 0),
		one("x", "at the limit in fragments of a byte", bytewise, echoed(ws.OpBinary, x), 0),
		one("x", "at the limit and an empty last fragment", fragments(ws.OpText, half, half, ""), echoed(ws.OpText, x), 0),
		one("x", "at the limit, many times", slices.Repeat(binaryOf(x), 5), slices.Repeat(echoed(ws.OpBinary, x), 5), 0),
		one("x", "over the limit", binaryOf(x+"y"), nil, 1009),
		one("x", "over the limit, header only", binaryOf(x + "y")[:8], nil, 1009),
		one("x", "over the limit in fragments", fragments(ws.OpBinary, x, "y"), nil, 1009),
		one("x", "over the limit in fragments of a byte", append(fragments(ws.OpBinary, eachByte(x+"y")...), text("late")...), nil, 1009),
		one("x", "2^63-1 bytes declared", declared(0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), nil, 1009),
		one("x", "2^63 bytes declared", declared(0x80, 0, 0, 0, 0, 0, 0, 0), nil, 1002),
		one("x", "2^63-1 bytes declared of a ping", append([]byte{0x89, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 1, 2, 3, 4), nil, 1002),
		{"x", "2^32 more bytes declared", []exchange{{masked(ws.OpBinary, false, "a"), nil},
			{append([]byte{0x80, 0xff, 0, 0, 0, 1, 0, 0, 0, 0}, 1, 2, 3, 4), nil}}, 1009},
	}
}
