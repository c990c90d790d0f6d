package dispatch

import (
	"sync"

	"github.com/switchyard-im/switchyard/frame"
)

// deadlines remembers which connections to look at in which second: for a hello that did not come, and for tokens that expire. An entry
// is a hint, never taken back: whoever is woken looks at what is true then. At most a few entries a connection: the hello, and one
// for each token.
type deadlines struct {
	mu    sync.Mutex
	at    map[int64][]frame.ConnID // guarded by mu; by Unix second
	swept int64                    // guarded by mu; every second up to this one was taken
}

func newDeadlines(nowSecond int64) *deadlines {
	return &deadlines{at: make(map[int64][]frame.ConnID), swept: nowSecond}
}

// add asks for a look at the connection in a second; one that is past is looked at in the next sweep.
func (d *deadlines) add(second int64, conn frame.ConnID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	second = max(second, d.swept+1)
	d.at[second] = append(d.at[second], conn)
}

// sweep returns the connections that are due up to nowSecond.
func (d *deadlines) sweep(nowSecond int64) []frame.ConnID {
	d.mu.Lock()
	defer d.mu.Unlock()
	var due []frame.ConnID
	for ; d.swept < nowSecond; d.swept++ {
		due = append(due, d.at[d.swept+1]...)
		delete(d.at, d.swept+1)
	}
	return due
}
