package netserver

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// TestEchoAllocatesNothing counts the allocations of this process while messages of every shape go through a loop that runs, over a real socket:
// whole and in fragments, in one piece and in several, with control frames between.
func TestEchoAllocatesNothing(t *testing.T) {
	s := serve(t, Config{Raw: true, MaxMessage: 64 << 10}, Echo{})
	long := strings.Repeat("aé€😀", 4000)
	for _, tc := range []struct {
		name  string
		send  []byte
		piece int
		back  int // bytes
	}{
		{"small", binaryOf("hello"), 1 << 20, 7},
		{"sixteen at once", bytes.Repeat(text("hello"), 16), 1 << 20, 16 * 7},
		{"in pieces", text("hello, hello"), 5, 14},
		{"long", text(long), 30000, 4 + len(long)},
		{"fragments", fragments(ws.OpText, long[:10], "b", long[10:]), 7000, 4 + len(long) + 1},
		{"ping", masked(ws.OpPing, true, "p"), 1 << 20, 3},
		{"ping in fragments", frames(masked(ws.OpText, false, "a"), masked(ws.OpPing, true, "p"), masked(ws.OpContinuation, true, "b")), 9, 3 + 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := open(t, s)
			answer := make([]byte, tc.back)
			message := func() {
				for b := tc.send; len(b) > 0; {
					n := min(tc.piece, len(b))
					c.send(b[:n])
					b = b[n:]
				}
				if _, err := io.ReadFull(c.r, answer); err != nil {
					t.Fatal(err)
				}
			}
			if n := mallocsOf(1000, message); n > 50 {
				t.Errorf("%d allocations in 1,000 messages", n)
			}
		})
	}
}

// mallocsOf counts the allocations of the whole process while f runs n times, after it ran some times to fill the pools. It is the best of a
// few attempts, since the runtime and other goroutines of the test allocate now and then.
func mallocsOf(n int, f func()) uint64 {
	best := ^uint64(0)
	for range 4 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n / 4 {
			f()
		}
		runtime.ReadMemStats(&after)
		best = min(best, 4*(after.Mallocs-before.Mallocs))
	}
	return best
}
