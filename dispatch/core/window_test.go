package core

import (
	"fmt"
	"testing"
)

// TestRetriesShareALookup: a client that sends many messages again after an outage costs one read of the store, not one each; each
// message keeps the sequence that it had, and what was never stored is accepted between them.
func TestRetriesShareALookup(t *testing.T) {
	h, conv := begun(t)
	const stored = 3 * recentMax
	send := func(i, base int) string { return fmt.Sprintf("send 1 v ref=%d C id=m%d base=%d body=x", i+1, i, base) }
	for i := range stored {
		h.step([]string{send(i, 2+i)})
	}
	if h.lookups = 0; len(h.m.convs[conv].recent()) > recentMax {
		t.Fatalf("the window has %d messages before any lookup", len(h.m.convs[conv].recent()))
	}
	for i := range stored + 10 {
		got := h.step([]string{send(i, 2)})
		want := fmt.Sprintf("to 1: ack %d,%d,1000", i+1, i+3)
		if i >= stored {
			want = fmt.Sprintf("write messages C %d..%d\n", i+3, i+3) + want
		}
		if got != want {
			t.Fatalf("message %d: %q, want %q", i, got, want)
		}
	}
	if h.lookups != 1 {
		t.Errorf("%d lookups", h.lookups)
	}
}

// TestWideWindowIsBounded: a window that a lookup made wide goes back to its size with the first message after a while.
func TestWideWindowIsBounded(t *testing.T) {
	h, conv := begun(t)
	for i := range 2 * recentMax {
		h.step([]string{fmt.Sprintf("send 1 v ref=1 C id=m%d base=%d body=x", i, 2+i)})
	}
	h.step([]string{"send 1 v ref=1 C id=m0 base=2 body=x"})
	if n := len(h.m.convs[conv].recent()); n != 2*recentMax {
		t.Fatalf("a wide window has %d messages, want all %d after the base", n, 2*recentMax)
	}
	h.now += wideMS
	h.step([]string{fmt.Sprintf("send 1 v ref=1 C id=new base=%d body=x", 2+2*recentMax)})
	if c := h.m.convs[conv]; len(c.recent()) > recentMax || cap(c.recent()) > 2*recentMax {
		t.Errorf("later it has %d messages and room for %d", len(c.recent()), cap(c.recent()))
	}
}
