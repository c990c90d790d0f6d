package netserver

import "math/bits"

const (
	smallestBuffer = 512
	bufferClasses  = 12      // 512 bytes to 1 MiB; larger ones are not pooled
	keptPerClass   = 1 << 20 // bytes of free buffers kept in each class; the rest goes to the collector
	keptInputs     = 1024    // free input records kept
)

// buffers is a loop's pool of byte slices in classes of powers of two. Bounded by keptPerClass. Owned by the loop.
type buffers struct {
	free   [bufferClasses][][]byte
	inputs []*input
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
		b.free[k] = b.free[k][:last]
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
	in := b.inputs[len(b.inputs)-1]
	b.inputs = b.inputs[:len(b.inputs)-1]
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
