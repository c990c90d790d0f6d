package netserver

// output is what the kernel did not take yet of what leaves for one connection, in the order in which it leaves. Bounded by Config.OutHard plus what one
// turn staged. Owned by the loop.
//
// It grows by pieces and is never moved: a fan-out to many slow peers adds to each of them in one turn, and copying what already waits
// for them would hold up everybody else on the loop.
type output struct {
	pieces   [][]byte // of the loop's pool; none is empty
	off      int      // bytes of the first that are written
	written  int      // bytes that have left
	ends     []int    // where a WebSocket frame ends, as bytes from the start of all that leaves; ascending, none is before written
	size     int      // bytes that wait
	held     int      // capacity of the pieces
	progress int32    // tick of the last successful write, or of the start
	after    []func() // of Conn.AfterWriting
}

// largestPiece is how large a piece is at most, in bytes. The first ones are as large as what comes, so that little is held for little.
const largestPiece = 256 << 10

// endsApart is how far apart the noted ends of frames are at least, in bytes, so that there are few.
const endsApart = 4 << 10

func (o *output) waiting() int { return o.size }

// append copies p behind what waits.
func (o *output) append(pool *buffers, p []byte) {
	for o.size += len(p); len(p) > 0; {
		last := len(o.pieces) - 1
		if last < 0 || len(o.pieces[last]) == cap(o.pieces[last]) {
			piece := pool.get(min(max(len(p), o.held), largestPiece))
			o.pieces = append(o.pieces, piece)
			o.held += cap(piece)
			continue
		}
		room := cap(o.pieces[last]) - len(o.pieces[last])
		n := min(room, len(p))
		o.pieces[last] = append(o.pieces[last], p[:n]...)
		p = p[n:]
	}
}

// first appends the pieces that leave next to dst, at most cap(dst) of them. They stay good until advance.
func (o *output) first(dst [][]byte) [][]byte {
	for i, p := range o.pieces[:min(len(o.pieces), cap(dst))] {
		if i == 0 {
			p = p[o.off:]
		}
		dst = append(dst, p)
	}
	return dst
}

// advance lets go of n bytes that are written.
func (o *output) advance(pool *buffers, n int) {
	o.size -= n
	o.off += n
	o.written += n
	past := 0
	for past < len(o.ends) && o.ends[past] < o.written {
		past++
	}
	o.ends = o.ends[past:]
	done := 0
	for done < len(o.pieces) && o.off >= len(o.pieces[done]) {
		o.off -= len(o.pieces[done])
		o.drop(pool, done)
		done++
	}
	o.pieces = o.pieces[done:]
}

// mark notes that what was appended last ends with a frame.
func (o *output) mark() {
	at := o.written + o.size
	if n := len(o.ends); n == 0 || at-o.ends[n-1] >= endsApart {
		o.ends = append(o.ends, at)
	}
}

// cut drops what waits behind the next noted end, so that another frame can follow.
func (o *output) cut(pool *buffers) {
	if len(o.ends) == 0 {
		return
	}
	o.size = o.ends[0] - o.written
	rest, kept := o.off+o.size, 0 // of the pieces from here on
	for ; rest > 0; kept++ {
		o.pieces[kept] = o.pieces[kept][:min(rest, len(o.pieces[kept]))]
		rest -= len(o.pieces[kept])
	}
	for i := range o.pieces[kept:] {
		o.drop(pool, kept+i)
	}
	o.pieces, o.ends = o.pieces[:kept], o.ends[:1]
}

// free gives all pieces back.
func (o *output) free(pool *buffers) {
	for i := range o.pieces {
		o.drop(pool, i)
	}
	o.pieces, o.ends, o.off, o.size = nil, nil, 0, 0
}

func (o *output) drop(pool *buffers, i int) {
	o.held -= cap(o.pieces[i])
	pool.put(o.pieces[i])
	o.pieces[i] = nil
}
