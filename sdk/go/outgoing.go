package switchyard

// outgoing gathers encoded frames for one connection and cuts them into batches that the server accepts. Guarded by the
// client's mutex. It needs no bound of its own: it holds each pending message and request once, and marks and signals
// stay out while it is jammed.
type outgoing struct {
	maxBytes  int // of one batch
	maxFrames int

	buf    []byte
	ends   []int // where the batches before the last one end
	frames int   // in the last batch
}

// jamBytes is how much may wait for a slow connection before marks are held back and signals dropped.
const jamBytes = 64 << 10

func (o *outgoing) empty() bool  { return len(o.buf) == 0 }
func (o *outgoing) jammed() bool { return len(o.buf) > jamBytes }

// encoder is any frame of package frame.
type encoder interface{ Append(dst []byte) []byte }

func (o *outgoing) add(f encoder) {
	start, first := len(o.buf), 0
	if len(o.ends) > 0 {
		first = o.ends[len(o.ends)-1]
	}
	o.buf = f.Append(o.buf)
	if o.frames > 0 && (len(o.buf)-first > o.maxBytes || o.frames == o.maxFrames) {
		o.ends = append(o.ends, start)
		o.frames = 0
	}
	o.frames++
}

// take moves the batches to the caller, in exchange for buffers to use next.
func (o *outgoing) take(spare batches) batches {
	taken := batches{buf: o.buf, ends: append(o.ends, len(o.buf))}
	o.buf, o.ends, o.frames = spare.buf[:0], spare.ends[:0], 0
	return taken
}

// batches are frames in a row; batch i ends at ends[i].
type batches struct {
	buf  []byte
	ends []int
}

func (b *batches) each(fn func(batch []byte)) {
	start := 0
	for _, end := range b.ends {
		fn(b.buf[start:end])
		start = end
	}
}
