package sink

import (
	"slices"
	"sync"
)

const (
	maxBuffers     = 8       // free buffers kept
	maxKeptBuffer  = 2 << 20 // bytes of each; larger ones go to the collector
	firstBufferLen = 4 << 10
)

// buffers lends transactions their memory from Begin until the committer has copied it. What came back last goes out first: so a few buffers serve
// all transactions and stay as large as the load needs. If each transaction had its own, hundreds would have to grow. Safe for concurrent use.
type buffers struct {
	mu   sync.Mutex
	free [][]byte // guarded by mu; at most maxBuffers
}

// get returns an empty buffer.
func (b *buffers) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.free) - 1
	if last < 0 {
		return make([]byte, 0, firstBufferLen)
	}
	p := b.free[last]
	b.free[last] = nil
	b.free = b.free[:last]
	return p
}

// trim lets go of the buffers that grew.
func (b *buffers) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = slices.DeleteFunc(b.free, func(p []byte) bool { return cap(p) > idleBuffer })
}

// put takes a buffer back; nil is fine.
func (b *buffers) put(p []byte) {
	if cap(p) == 0 || cap(p) > maxKeptBuffer {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < maxBuffers {
		b.free = append(b.free, p[:0])
	}
}
