package netserver

import (
	"syscall"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

const (
	opFrames = ws.OpCode(0)    // msgpack frames, to be merged with those before and after
	opBytes  = ws.OpCode(0xff) // bytes of no WebSocket frame: HTTP answers

	writeBuffer  = 64 << 10 // small pieces are copied into it
	largePiece   = 8 << 10  // pieces from this size on are not copied but written from where they are
	maxPieces    = 64       // of one system call
	keptScratch  = 1 << 20  // scratch buffers above this are given back after use
	keptSegments = 1 << 17  // lists of segments above this too
)

// segment is something staged for a connection. Its data stays put until the end of the turn.
type segment struct {
	data []byte
	next int32 // index of the connection's next one, -1: none
	op   ws.OpCode
}

// outgoing is what a turn has staged for one connection: a list in writer.segments.
type outgoing struct {
	c           *Conn
	first, last int32
	bytes       int
}

// writer stages what a turn writes, for all connections of a loop, and gathers it for the kernel. Nothing of it belongs to a connection,
// so connections stay small. Owned by the loop; empty between turns.
type writer struct {
	maxMerge int
	staged   []outgoing
	segments []segment
	arena    []byte // copies of what Conn.Write was given

	buf    []byte   // small pieces in a row; of fixed capacity, because pieces refer to it
	pieces [][]byte // what the next system call writes
	tail   bool     // the last piece ends where buf ends, so it can grow
	total  int      // bytes of pieces
	vecs   []syscall.Iovec

	gathered []byte // frames of a batch in a row, for translation
	toJSON   []byte
	fromJSON []byte
}

func (w *writer) init(cfg *Config) {
	w.maxMerge = cfg.MaxMerge
	w.arena = make([]byte, 0, writeBuffer)
	w.buf = make([]byte, 0, writeBuffer)
	w.pieces = make([][]byte, 0, maxPieces)
	w.vecs = make([]syscall.Iovec, maxPieces)
}

// copied copies p to where it stays until the end of the turn.
func (l *loop) copied(p []byte) []byte {
	w := &l.writer
	if cap(w.arena)-len(w.arena) < len(p) {
		w.arena = make([]byte, 0, max(2*cap(w.arena), len(p))) // what was staged keeps the old one alive
	}
	start := len(w.arena)
	w.arena = append(w.arena, p...)
	return w.arena[start:len(w.arena):len(w.arena)]
}

// stage adds data to what leaves for a connection at the end of this turn; it must stay put until then.
func (l *loop) stage(c *Conn, op ws.OpCode, data []byte) {
	w := &l.writer
	i := int32(len(w.segments))
	w.segments = append(w.segments, segment{data: data, next: -1, op: op})
	if c.staged == 0 {
		w.staged = append(w.staged, outgoing{c: c, first: i, last: i, bytes: len(data)})
		c.staged = int32(len(w.staged))
		return
	}
	o := &w.staged[c.staged-1]
	w.segments[o.last].next = i
	o.last = i
	o.bytes += len(data)
}

// flush writes all that is staged, one system call a connection as a rule.
func (l *loop) flush() {
	w := &l.writer
	for i := range w.staged {
		l.flushConn(&w.staged[i])
	}
	clear(w.staged)
	clear(w.segments)
	w.staged, w.segments = w.staged[:0], w.segments[:0]
	w.arena = w.arena[:0]
	w.shrink()
}

// shrink gives scratch buffers back that one large turn blew up.
func (w *writer) shrink() {
	if cap(w.arena) > keptScratch {
		w.arena = make([]byte, 0, writeBuffer)
	}
	if cap(w.segments) > keptSegments {
		w.segments, w.staged = nil, nil
	}
	for _, b := range []*[]byte{&w.gathered, &w.toJSON, &w.fromJSON} {
		if cap(*b) > keptScratch {
			*b = nil
		}
	}
}

func (l *loop) flushConn(o *outgoing) {
	c := o.c
	c.staged = 0
	if c.state == stateClosed || c.state == stateLinger {
		return
	}
	if c.out != nil && c.out.waiting()+o.bytes > l.cfg.OutSoft {
		l.shed(o)
	}
	if c.state == stateOpen && c.out != nil && c.out.waiting()+o.bytes > l.cfg.OutHard {
		l.closeSlow(c)
		return
	}
	l.encode(c, o.first)
	l.send(c)
	if c.out != nil {
		c.out.mark()
	}
	switch {
	case c.state == stateOpen && c.out != nil && c.out.waiting() > l.cfg.OutHard:
		l.closeSlow(c)
	case c.state != stateClosed && c.out != nil && l.holdsTooMuch(c):
		l.limited(limitHeld)
		l.destroy(c, ReasonHeld)
	case c.state == stateFlush && c.out == nil:
		l.linger(c)
	}
}

// encode turns the staged list into pieces: runs of frames become one message, everything else a frame of its own.
func (l *loop) encode(c *Conn, i int32) {
	w := &l.writer
	for i >= 0 {
		s := &w.segments[i]
		if s.op == opFrames {
			i = l.encodeRun(c, i)
			continue
		}
		if s.op != opBytes {
			l.putHeader(c, s.op, len(s.data))
		}
		l.put(c, s.data)
		i = s.next
	}
}

// encodeRun merges frames from segment i on into one message of at most MaxMerge bytes (a single longer segment is one message), and
// returns the index of what follows.
func (l *loop) encodeRun(c *Conn, i int32) int32 {
	w := &l.writer
	first, n := i, 0
	for ; i >= 0 && w.segments[i].op == opFrames; i = w.segments[i].next {
		more := len(w.segments[i].data)
		if n > 0 && n+more > w.maxMerge {
			break
		}
		n += more
		l.n.segmentsOut++
	}
	if n == 0 {
		return i
	}
	if c.json {
		l.encodeJSON(c, first, i)
		return i
	}
	l.putHeader(c, ws.OpBinary, n)
	for j := first; j != i; j = w.segments[j].next {
		l.put(c, w.segments[j].data)
	}
	return i
}

// encodeJSON translates the segments from first to end (not included) into one text message.
func (l *loop) encodeJSON(c *Conn, first, end int32) {
	w := &l.writer
	w.gathered = w.gathered[:0]
	for j := first; j != end; j = w.segments[j].next {
		w.gathered = append(w.gathered, w.segments[j].data...)
	}
	text, err := frame.AppendJSON(w.toJSON[:0], w.gathered)
	if err != nil {
		l.log.Error("BUG: frames to a client are malformed; they were not sent", "conn", uint64(c.id), "error", err)
		return
	}
	w.toJSON = text
	l.putHeader(c, ws.OpText, len(text))
	l.put(c, text)
	l.send(c) // the scratch buffer is used again for the next message
}

// putHeader builds the header in the buffer itself: a header of its own would escape to the heap.
func (l *loop) putHeader(c *Conn, op ws.OpCode, n int) {
	w := &l.writer
	l.makeRoom(c, 10)
	start := len(w.buf)
	w.buf = appendHeader(w.buf, op, n)
	w.extend(start)
	l.n.messagesOut++
}

// put adds bytes to what the next system call writes: small ones by copy, large ones by reference.
func (l *loop) put(c *Conn, p []byte) {
	w := &l.writer
	switch {
	case len(p) == 0:
	case len(p) < largePiece:
		l.makeRoom(c, len(p))
		start := len(w.buf)
		w.buf = append(w.buf, p...)
		w.extend(start)
	default:
		l.makeRoom(c, 0)
		w.pieces, w.tail = append(w.pieces, p), false
		w.total += len(p)
	}
}

// makeRoom sends what is gathered if n more bytes or one more piece would not fit.
func (l *loop) makeRoom(c *Conn, n int) {
	if w := &l.writer; len(w.pieces) == maxPieces || len(w.buf)+n > cap(w.buf) {
		l.send(c)
	}
}

// extend makes the buffer from start on part of the last piece, or a new one.
func (w *writer) extend(start int) {
	w.total += len(w.buf) - start
	if !w.tail {
		w.pieces, w.tail = append(w.pieces, w.buf[start:]), true
		return
	}
	last := &w.pieces[len(w.pieces)-1]
	*last = w.buf[start-len(*last):]
}

// send writes the gathered pieces, and keeps what the kernel does not take.
func (l *loop) send(c *Conn) {
	w := &l.writer
	if w.total > 0 && c.state != stateClosed {
		n := 0
		if c.out == nil {
			n = l.writePieces(c)
		}
		if n < w.total && c.state != stateClosed {
			l.keep(c, n)
		}
	}
	clear(w.pieces)
	w.pieces, w.buf, w.tail, w.total = w.pieces[:0], w.buf[:0], false, 0
}

// writePieces makes the system call and returns how much was taken. An error other than a full buffer destroys the connection.
func (l *loop) writePieces(c *Conn) int {
	w := &l.writer
	var n int
	var errno syscall.Errno
	if len(w.pieces) == 1 {
		n, errno = sysWrite(c.fd, w.pieces[0])
	} else {
		n, errno = sysWritev(c.fd, w.pieces, w.vecs)
	}
	return l.wrote(c, n, errno)
}

// wrote accounts for a system call that wrote.
func (l *loop) wrote(c *Conn, n int, errno syscall.Errno) int {
	l.n.writes++
	l.n.bytesOut += uint64(n)
	if errno != 0 && errno != syscall.EAGAIN {
		l.destroy(c, lost(errno, ReasonWriteFailed))
	}
	return n
}

// keep copies all pieces but their first skip bytes to the connection's output, to be written when the poller says so.
func (l *loop) keep(c *Conn, skip int) {
	l.startOutput(c)
	for _, p := range l.writer.pieces {
		n := min(skip, len(p))
		skip -= n
		c.out.append(&l.pool, p[n:])
	}
}

// startOutput prepares to keep output, and asks the poller for writability.
func (l *loop) startOutput(c *Conn) {
	if c.out != nil {
		return
	}
	c.out = &output{progress: l.wheel.now}
	if !c.half && !c.paused {
		l.startPolling(c)
	}
	l.wheel.hasten(c, l.dueOf(c))
}

// writeWaiting writes what waits, once.
func (l *loop) writeWaiting(c *Conn) {
	o := c.out
	if o == nil {
		l.stopPolling(c)
		return
	}
	w := &l.writer
	pieces := o.first(w.pieces[:0])
	n, errno := sysWritev(c.fd, pieces, w.vecs)
	clear(pieces)
	if n = l.wrote(c, n, errno); c.state == stateClosed {
		return
	}
	if n > 0 {
		o.advance(&l.pool, n)
		o.progress = l.wheel.now
	}
	if o.waiting() > 0 {
		return
	}
	l.dropOutput(c)
	l.stopPolling(c)
	if c.state == stateFlush {
		l.linger(c)
		return
	}
	for _, f := range o.after {
		f()
	}
}

// startPolling asks for room in the socket's buffer. The callback is made here, because most connections never need it.
func (l *loop) startPolling(c *Conn) {
	if c.op.OnWrite == nil {
		c.op.OnWrite = c.onWrite
	}
	c.polling = c.op.Control(pollReadWrite) == nil
}

func (l *loop) stopPolling(c *Conn) {
	if c.polling {
		c.polling = false
		_ = c.op.Control(pollRead) // fails only if the poller let go of the descriptor, which then has nothing to stop
	}
}

func (l *loop) dropOutput(c *Conn) {
	if c.out != nil {
		c.out.free(&l.pool)
		c.out = nil
	}
}

// linger follows the last byte: the write side is shut down, and the descriptor is closed when the peer has closed too.
func (l *loop) linger(c *Conn) {
	if c.half {
		l.destroy(c, c.reason)
		return
	}
	sysShutdownWrite(c.fd)
	l.enter(c, stateLinger)
}

// closeSlow ends a connection whose output passed the hard bound. The frame of which the peer has a part is completed, a close frame follows it, and what
// waited in between goes at once: the peer resumes, and a hundred of these would hold megabytes each, and take them all when they read again, which the
// others on the loop would notice. The write timeout begins anew, so that a peer that comes to itself is told.
func (l *loop) closeSlow(c *Conn) {
	const text = "slow consumer"
	body := [2 + len(text)]byte{frame.CloseSlowConsumer >> 8, frame.CloseSlowConsumer & 0xff}
	copy(body[2:], text)
	var head [10]byte
	l.startOutput(c)
	c.out.cut(&l.pool)
	c.out.append(&l.pool, appendHeader(head[:0], ws.OpClose, len(body)))
	c.out.append(&l.pool, body[:])
	c.out.progress = l.wheel.now
	l.leave(c, ReasonSlowConsumer)
	l.enter(c, stateFlush)
}

// shed takes the droppable frames out of what is staged for a connection that reads too slowly.
func (l *loop) shed(o *outgoing) {
	segments := l.writer.segments
	o.bytes = 0
	for i := o.first; i >= 0; i = segments[i].next {
		if segments[i].op == opFrames {
			segments[i].data = l.kept(segments[i].data)
		}
		o.bytes += len(segments[i].data)
	}
}

// kept returns the frames of a batch that must not be dropped.
func (l *loop) kept(batch []byte) []byte {
	all, dropped := batch, false
	var kept []byte
	for len(batch) > 0 {
		_, f, rest, err := frame.Next(batch)
		if err != nil {
			return all
		}
		if frame.Droppable(f) {
			dropped = true
			l.n.dropped++
		} else {
			kept = append(kept, f...)
		}
		batch = rest
	}
	if !dropped {
		return all
	}
	return kept
}
