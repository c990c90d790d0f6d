package netserver

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/frame"
)

// vanish makes the client's kernel drop every packet that comes for it, before it could acknowledge one: the machine behind the connection
// is gone, as far as the server can tell. A socket filter needs no privilege.
func (c *client) vanish() {
	c.t.Helper()
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	}); e != nil || err != nil {
		c.t.Fatal(e, err)
	}
}

func userTimeout(t *testing.T, s *Server, id frame.ConnID) (ms int) {
	onLoop(t, s.loops[0], func() {
		var err error
		if ms, err = unix.GetsockoptInt(int(s.loops[0].slots.find(id).fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil {
			t.Error(err)
		}
	})
	return ms
}

func TestAcceptedSocketsInheritTheUserTimeout(t *testing.T) {
	for _, tc := range []struct {
		configured time.Duration
		ms         int
	}{{0, 30_000}, {4 * time.Second, 4000}, {-1, 0}} {
		s, o, _ := watched(t, Config{UserTimeout: tc.configured})
		open(t, s)
		if ms := userTimeout(t, s, o.next(t)); ms != tc.ms {
			t.Errorf("configured %v: an accepted socket has %d ms", tc.configured, ms)
		}
	}
}

// TestVanishedPeer delivers to a peer whose machine is gone. The kernel finds out long before silence would, and says so.
func TestVanishedPeer(t *testing.T) {
	s, o, reasons := watched(t, Config{UserTimeout: 500 * time.Millisecond, PingAfter: time.Hour, CloseAfter: 2 * time.Hour})
	c := open(t, s)
	id := o.next(t)
	c.vanish()
	s.Deliver(0, parcelFor(new(parcelOwner), []byte("for nobody"), id))
	wantReason(t, reasons, ReasonVanished)
}

// TestVanishedPeerIsFoundByPing is the same where nothing is delivered and the kernel's own patience applies.
func TestVanishedPeerIsFoundByPing(t *testing.T) {
	s, o, reasons := watched(t, quick(Config{UserTimeout: -1, PingAfter: 50 * time.Millisecond, CloseAfter: 200 * time.Millisecond,
		WriteTimeout: 100 * time.Millisecond, LingerTimeout: 50 * time.Millisecond}))
	c := open(t, s)
	o.next(t)
	c.vanish()
	wantReason(t, reasons, ReasonSilent)
	eventually(t, "the server let go", func() (gone bool) {
		onLoop(t, s.loops[0], func() { gone = s.loops[0].live == 0 })
		return gone
	})
}

// TestMessageTimeout begins messages in every way and lets them trickle: bytes, fragments, control frames in between.
func TestMessageTimeout(t *testing.T) {
	long := binaryOf(strings.Repeat("x", 1000))
	for name, pieces := range map[string][][]byte{
		"header":                         {long[:1]},
		"frame, a byte at a time":        split(long, 1),
		"fragments, a frame at a time":   append([][]byte{masked(2, false, "a")}, repeated(masked(0, false, "b"), 990)...),
		"fragments, with pings between":  append([][]byte{masked(2, false, "a")}, repeated(masked(9, true, "p"), 990)...),
		"control frame, a byte at first": {masked(9, true, "ping")[:3]},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, reasons := watched(t, quick(Config{MessageTimeout: 150 * time.Millisecond}))
			c := open(t, s)
			go trickle(c, pieces)
			c.expectClose(frame.CloseMessageTimeout)
			wantReason(t, reasons, ReasonMessageTimeout)
			eventually(t, "nothing is held", func() (ok bool) {
				onLoop(t, s.loops[0], func() { ok = s.loops[0].pool.held == 0 })
				return ok
			})
		})
	}
}

// TestMessageTimeoutCountsFromTheFirstByte sends one message after another, each slowly and in time, for longer than one may take.
func TestMessageTimeoutCountsFromTheFirstByte(t *testing.T) {
	const timeout = 10 // ticks
	var got []string
	l := stoppedLoop(t, Config{MessageTimeout: timeout * time.Second}, &testHandler{message: func(_ *Conn, p []byte) error { got = append(got, string(p)); return nil }})
	c := pair(t, l).upgrade(wanted)
	slow, next := binaryOf("slow"), binaryOf("next")
	for n := range timeout {
		c.turn(slow[:3])
		ticks(l, timeout-1)
		c.turn(append(bytes.Clone(slow[3:]), next[:1]...)) // ends in the middle of the next one, as a busy stream does
		ticks(l, timeout-1)
		c.turn(next[1:])
		if len(got) != 2 || got[0] != "slow" || got[1] != "next" {
			t.Fatalf("round %d: %q, state %d", n, got, c.state)
		}
		got = nil
	}
	c.turn(slow[:1])
	ticks(l, timeout)
	if c.reason != ReasonMessageTimeout {
		t.Errorf("state %d, reason %v", c.state, c.reason)
	}
}

func split(b []byte, n int) (pieces [][]byte) {
	for ; len(b) > n; b = b[n:] {
		pieces = append(pieces, b[:n])
	}
	return append(pieces, b)
}

// trickle writes a piece every 10 ms, until the server has enough.
func trickle(c *client, pieces [][]byte) {
	for _, p := range pieces {
		if _, err := c.Write(p); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
