package netserver

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// crowded is a loop that may hold 1 MiB, with many connections that each hold a short rest of a message.
func crowded(t *testing.T) (*loop, []*pairedConn) {
	l := stoppedLoop(t, Config{Raw: true, Limits: Limits{Held: 1 << 20}, OutHard: 8 << 20, MaxMessage: 512 << 10}, Echo{})
	var all []*pairedConn
	for range 100 {
		c := pair(t, l).upgrade()
		c.turn(binaryOf(strings.Repeat("s", 200))[:100])
		all = append(all, c)
	}
	return l, all
}

// stillFine wants every connection to be open, and its message to be taken when the rest comes.
func stillFine(t *testing.T, l *loop, all []*pairedConn) {
	t.Helper()
	for i, c := range all {
		c.turn(make([]byte, 6+2+200-100))
		if got := c.receive(make([]byte, 1000)); c.state != stateOpen || len(got) != 4+200 {
			t.Fatalf("connection %d: state %d, got %d bytes", i, c.state, len(got))
		}
	}
	if l.pool.held > l.maxHeld {
		t.Errorf("%d bytes are held of %d", l.pool.held, l.maxHeld)
	}
}

// TestHeldInput has a few peers begin long messages, until the loop holds too much. They are closed; those with short ones are not.
func TestHeldInput(t *testing.T) {
	l, all := crowded(t)
	long := binaryOf(strings.Repeat("l", 510<<10))
	closed := 0
	for range 10 {
		c := pair(t, l).upgrade()
		for b := long[:500<<10]; len(b) > 0 && c.state == stateOpen; b = b[min(len(b), 32<<10):] {
			c.turn(b[:min(len(b), 32<<10)])
			if l.pool.held > l.maxHeld {
				t.Fatalf("%d bytes are held of %d", l.pool.held, l.maxHeld)
			}
		}
		if c.state == stateOpen {
			continue
		}
		closed++
		if got := c.receive(make([]byte, 1000)); c.reason != ReasonHeld || !bytes.Equal(got[:4], []byte{0x88, got[1], frame.CloseOverloaded >> 8, frame.CloseOverloaded & 0xff}) {
			t.Errorf("closed for %v with % x", c.reason, got)
		}
	}
	if closed == 0 || l.n.limited[limitHeld] != uint64(closed) {
		t.Errorf("%d were closed, %d counted", closed, l.n.limited[limitHeld])
	}
	stillFine(t, l, all)
}

// TestHeldOutput has a few peers that do not read what they are sent.
func TestHeldOutput(t *testing.T) {
	l, all := crowded(t)
	cut := 0
	for range 10 {
		c := pair(t, l).upgrade()
		for n := 0; n < 20 && c.state == stateOpen; n++ {
			c.WriteMessage(false, make([]byte, 50<<10))
			l.end()
		}
		if l.pool.held > l.maxHeld {
			t.Fatalf("%d bytes are held of %d", l.pool.held, l.maxHeld)
		}
		if c.state != stateOpen {
			cut++
			if c.reason != ReasonHeld {
				t.Errorf("reason %v", c.reason)
			}
		}
	}
	if cut == 0 {
		t.Error("nobody was cut off")
	}
	stillFine(t, l, all)
}

// TestHeldHandshakes has peers that send long requests without an end, more than may be held.
func TestHeldHandshakes(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true, MaxHeader: 64 << 10, Limits: Limits{Held: 1 << 20}}, Echo{})
	refused := 0
	for range 40 {
		c := pair(t, l)
		c.turn([]byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 40<<10)))
		if l.pool.held > l.maxHeld {
			t.Fatalf("%d bytes are held of %d", l.pool.held, l.maxHeld)
		}
		if c.state == stateHandshake {
			continue
		}
		refused++
		if got := c.receive(make([]byte, 1000)); !bytes.HasPrefix(got, []byte("HTTP/1.1 503")) || !bytes.Contains(got, []byte("Retry-After")) {
			t.Errorf("answered %q", got)
		}
	}
	if refused == 0 {
		t.Error("nobody was refused")
	}
	c := pair(t, l).upgrade()
	c.turn(masked(ws.OpText, true, "served"))
	if got := c.receive(make([]byte, 100)); string(got[2:]) != "served" {
		t.Errorf("received %q", got)
	}
}
