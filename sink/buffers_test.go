package sink

import "testing"

func TestBuffers(t *testing.T) {
	var b buffers
	first, second := append(b.get(), 1), append(b.get(), 2)
	b.put(first)
	b.put(second)
	if p := b.get(); len(p) != 0 || &p[:1][0] != &second[0] {
		t.Error("the buffer that came back last does not go out first")
	}
	b.put(nil)
	b.put(make([]byte, 1, maxKeptBuffer+1))
	for range 2 * maxBuffers {
		b.put(make([]byte, 1))
	}
	if len(b.free) != maxBuffers {
		t.Errorf("%d buffers are kept, want %d", len(b.free), maxBuffers)
	}
	for _, p := range b.free {
		if cap(p) == 0 || cap(p) > maxKeptBuffer {
			t.Errorf("a buffer of %d bytes is kept", cap(p))
		}
	}
}

// TestTransactionsShareBuffers: as many buffers exist as transactions were under way at the same time.
func TestTransactionsShareBuffers(t *testing.T) {
	s := openTest(t, func(c *Config) { c.SyncInterval = -1 })
	var c ignore
	for seq := range uint64(3 * s.cfg.MaxInFlight) {
		c.wg.Add(1)
		tx := s.Begin(s.Generation())
		tx.Messages([16]byte{1}, seq+1, seq+1, make([]byte, 100<<10))
		tx.Commit(&c)
		c.wg.Wait()
	}
	if n := len(s.buffers.free); n != 1 {
		t.Errorf("%d buffers for one transaction at a time", n)
	}
}
