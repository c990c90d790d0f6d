package dispatch

import (
	"sync"
	"sync/atomic"
)

// mailbox carries rare events from any goroutine to one owner, in order, under a lock. It grows with what causes it, and that is
// bounded: results of a bounded pool, closes of bounded connections, decisions about bounded queues. A full mailbox that
// dropped a close or a decision would lose state, so it never refuses.
type mailbox[T any] struct {
	mu      sync.Mutex
	waiting []T // guarded by mu
	spare   []T // owner's: the slice that take swaps in
	wake    func()
}

// mailboxKeep is how many events of room an empty mailbox may hold; what a storm of reconnects needed beyond it is given back.
const mailboxKeep = 256

// put adds an event and wakes the owner.
func (m *mailbox[T]) put(events ...T) {
	m.mu.Lock()
	m.waiting = append(m.waiting, events...)
	m.mu.Unlock()
	m.wake()
}

// take returns all that waits; valid until the next take. Owner only.
func (m *mailbox[T]) take() []T {
	if cap(m.spare) > mailboxKeep {
		m.spare = nil
	}
	clear(m.spare)
	m.mu.Lock()
	taken := m.waiting
	m.waiting = m.spare[:0]
	m.mu.Unlock()
	m.spare = taken
	return taken
}

func (m *mailbox[T]) depth() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting)
}

// waker lets one goroutine sleep until another has something for it. No wake-up is lost, and one costs more than an atomic load only if
// the sleeper sleeps.
type waker struct {
	asleep atomic.Bool
	ch     chan struct{} // capacity 1: at most one wake-up is under way, by whoever turned asleep off
}

func newWaker() *waker { return &waker{ch: make(chan struct{}, 1)} }

// wake ends the sleep; any goroutine, after it published what it has.
func (w *waker) wake() {
	if w.asleep.Load() && w.asleep.CompareAndSwap(true, false) {
		w.ch <- struct{}{}
	}
}

// sleep returns when woken, or at once if idle says that there is something to do.
func (w *waker) sleep(idle func() bool) {
	w.asleep.Store(true)
	if !idle() && w.asleep.CompareAndSwap(true, false) {
		return
	}
	<-w.ch
}
