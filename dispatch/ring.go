package dispatch

import (
	"sync/atomic"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// inbound is one frame on its way from a loop to a runner.
type inbound struct {
	from    core.Origin
	arrived int64 // Unix nanoseconds
	off     uint32
	len     uint32
	end     uint64 // position in the byte stream after this frame
	typ     frame.Type
}

// ring carries frames from one loop (the producer) to one runner (the consumer), in order, without a lock. Its size is fixed; a full
// ring refuses (the loop answers overloaded). The bytes of a frame are copied in: about 10 ns for 200 bytes, where a shared,
// counted read buffer would pin 64 KB for the slowest of its frames.
//
// A slot and the bytes it names belong to the producer until tail passes it, then to the consumer until head passes it.
//
// An empty ring begins again at its front, once it has gone a little way: so one that is never far behind touches little of the memory
// that it would need in an overload.
type ring struct {
	entries []inbound
	bytes   []byte

	_        [64]byte // the two sides write different cache lines
	tail     atomic.Uint64
	byteTail uint64 // producer's own: position in the endless byte stream; the index is its remainder
	headSeen uint64 // producer's own: the consumer's progress as last read, spares a shared read per frame
	byteSeen uint64
	first    uint64 // position of the entry at the front; the producer changes it only while the ring is empty
	deep     bool   // producer's own: since the last trim more than the front was used

	_        [64]byte
	head     atomic.Uint64
	byteHead atomic.Uint64

	_     [64]byte
	done  atomic.Uint64 // frames whose batch is over; written by whoever ends it
	limit atomic.Uint64 // frames under way from which on messages are refused; written by the governor
}

func newRing(frames, bytes int) *ring {
	r := &ring{entries: make([]inbound, frames), bytes: make([]byte, bytes)}
	r.limit.Store(noLimit)
	return r
}

// push copies a frame in; false: there is no room.
func (r *ring) push(from core.Origin, typ frame.Type, f []byte, arrived int64) bool {
	tail, size := r.tail.Load(), uint64(len(r.bytes))
	r.restart(tail)
	start := r.byteTail
	if rest := size - start%size; rest < uint64(len(f)) {
		start += rest // a frame is contiguous: skip to the beginning
	}
	end := start + uint64(len(f))
	if tail-r.headSeen == uint64(len(r.entries)) || end-r.byteSeen > size {
		r.headSeen, r.byteSeen = r.head.Load(), max(r.byteSeen, r.byteHead.Load())
		if tail-r.headSeen == uint64(len(r.entries)) || end-r.byteSeen > size {
			return false
		}
	}
	off := start % size
	copy(r.bytes[off:], f)
	*r.entry(tail) = inbound{from: from, arrived: arrived, off: uint32(off), len: uint32(len(f)), end: end, typ: typ}
	r.byteTail = end
	r.tail.Store(tail + 1)
	return true
}

// farFront is the part of the ring, as a divisor, after which it begins again at the front.
const farFront = 32

// restart goes back to the front if nothing waits. Nothing before byteTail is needed then, which byteSeen remembers: byteHead may be behind it.
func (r *ring) restart(tail uint64) {
	size := uint64(len(r.bytes))
	far := tail-r.first >= uint64(len(r.entries)/farFront) || r.byteTail%size >= size/farFront
	switch {
	case !far:
	case r.head.Load() == tail:
		r.byteTail += size - 1 - (r.byteTail+size-1)%size
		r.first, r.headSeen, r.byteSeen = tail, tail, r.byteTail
	default:
		r.deep = true
	}
}

// entry is the slot of a position.
func (r *ring) entry(at uint64) *inbound { return &r.entries[(at-r.first)%uint64(len(r.entries))] }

// empty tells whether nothing waits; consumer only.
func (r *ring) empty() bool { return r.head.Load() == r.tail.Load() }

// drain calls fn for each frame that waits now. The frame's bytes expire when fn returns.
func (r *ring) drain(fn func(in *inbound, f []byte)) int {
	head, tail := r.head.Load(), r.tail.Load()
	n := int(tail - head)
	for ; head != tail; head++ {
		in := r.entry(head)
		fn(in, r.bytes[in.off:in.off+in.len])
	}
	if n > 0 {
		r.byteHead.Store(r.entry(head - 1).end)
		r.head.Store(head)
	}
	return n
}

// depth is how many frames wait; any goroutine.
func (r *ring) depth() int { return int(r.tail.Load() - r.head.Load()) }

// finished notes that frames which were drained have been answered, and the answers written.
func (r *ring) finished(n int) { r.done.Add(uint64(n)) }

// crowded tells the producer that a message would wait too long. Without pressure it costs one load of what nobody writes.
func (r *ring) crowded() bool {
	limit := r.limit.Load()
	return limit != noLimit && r.tail.Load()-r.done.Load() >= limit
}
