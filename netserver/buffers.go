package netserver

import "math/bits"

const (
	smallestBuffer = 512
	bufferClasses  = 12      // 512 bytes to 1 MiB; larger ones are not pooled
	keptPerClass   = 1 << 20 // bytes of free buffers kept in each class; the rest goes to the collector
	keptInputs     = 1024    // free input records kept
)

// buffers is a loop's pool of byte slices in classes of powers of two. Bounded by keptPerClass; what a burst left and nobody used since is
// given to the collector by trim. Owned by the loop.
type buffers struct {
	free   [bufferClasses][][]byte
	unused [bufferClasses]int // the fewest that were free since the last trim
	inputs []*input
	rested int // the fewest inputs that were free since the last trim
	held   int // bytes handed out and not yet returned; what idle connections must not have
}

// class is the index of the smallest class that holds n bytes.
func class(n int) int { return bits.Len(uint(max(n, 1)-1) / smallestBuffer) }

// get returns an empty buffer with room for n bytes at least.
func (b *buffers) get(n int) []byte {
	k := class(n)
	size := smallestBuffer << k
	b.held += size
	if k < bufferClasses && len(b.free[k]) > 0 {
		last := len(b.free[k]) - 1
		p := b.free[k][last]
		b.free[k][last] = nil
		b.free[k] = b.free[k][:last]
		b.unused[k] = min(b.unused[k], last)
		return p
	}
	return make([]byte, 0, size)
}

// put takes a buffer of get back; nil is fine.
func (b *buffers) put(p []byte) {
	if cap(p) == 0 {
		return
	}
	b.held -= cap(p)
	if k := class(cap(p)); k < bufferClasses && (len(b.free[k])+1)*cap(p) <= keptPerClass {
		b.free[k] = append(b.free[k], p[:0])
	}
}

// append is the builtin append for buffers of this pool: it grows by classes, with what arrived.
func (b *buffers) append(dst, p []byte) []byte {
	if cap(dst)-len(dst) >= len(p) && cap(dst) > 0 {
		return append(dst, p...)
	}
	grown := append(b.get(len(dst)+len(p)), dst...)
	b.put(dst)
	return append(grown, p...)
}

func (b *buffers) getInput() *input {
	if len(b.inputs) == 0 {
		return new(input)
	}
	last := len(b.inputs) - 1
	in := b.inputs[last]
	b.inputs[last] = nil
	b.inputs = b.inputs[:last]
	b.rested = min(b.rested, last)
	return in
}

// putInput takes an input record and its buffer back.
func (b *buffers) putInput(in *input) {
	b.put(in.data)
	*in = input{}
	if len(b.inputs) < keptInputs {
		b.inputs = append(b.inputs, in)
	}
}

// trim gives to the collector what was free all the time since the last trim.
func (b *buffers) trim() {
	for k := range b.free {
		b.free[k] = without(b.free[k], b.unused[k])
		b.unused[k] = len(b.free[k])
	}
	b.inputs = without(b.inputs, b.rested)
	b.rested = len(b.inputs)
}

// without returns a free list without n of its elements, and no list at all if that leaves none.
func without[T any](free []T, n int) []T {
	if n == len(free) {
		return nil
	}
	clear(free[len(free)-n:])
	return free[:len(free)-n]
}
