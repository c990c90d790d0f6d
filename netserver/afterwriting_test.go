package netserver

import "testing"

// TestAfterWriting asks at once, while output waits, and of a connection that ends before it has left.
func TestAfterWriting(t *testing.T) {
	s, o, _ := watched(t, Config{OutSoft: 32 << 20, OutHard: 32 << 20})
	calls := 0 // on the loop
	ask := func(c *Conn) { c.AfterWriting(func() { calls++ }) }
	c := open(t, s)
	id := o.next(t)
	asked := func(want int, when string) {
		t.Helper()
		onLoop(t, s.loops[0], func() {
			ask(s.loops[0].slots.find(id))
			if calls != want {
				t.Errorf("%d calls %s, want %d", calls, when, want)
			}
		})
	}
	asked(1, "when nothing waits")
	fill(t, s, id, heartbeats(10_000), 1)
	asked(1, "while output waits")
	for left := false; !left; onLoop(t, s.loops[0], func() { left = calls == 2 }) {
		c.next()
	}
	fill(t, s, id, heartbeats(10_000), 1)
	asked(2, "while output waits again")
	onLoop(t, s.loops[0], func() { s.loops[0].destroy(s.loops[0].slots.find(id), ReasonShutdown) })
	onLoop(t, s.loops[0], func() {
		if calls != 2 {
			t.Errorf("%d calls after the connection ended, want 2", calls)
		}
	})
}
