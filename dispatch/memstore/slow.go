package memstore

import "time"

// Slow makes each message take this long to be stored, one after the other, as a disk of a certain speed would. 0: no time.
func (s *Store) Slow(perMessage time.Duration) { s.set(func() { s.perMessage = perMessage }) }

// work takes the time that a transaction needs; on the completion goroutine, without the lock.
func (s *Store) work(t *tx) {
	s.mu.Lock()
	d := time.Duration(t.messages) * s.perMessage
	s.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}
