package netserver

import (
	"net/netip"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// state is where a connection stands; the package comment has the transitions.
type state uint8

const (
	stateFree state = iota
	stateHandshake
	stateOpen
	stateFlush
	stateLinger
	stateClosed
)

// Conn is one connection. It belongs to its loop: every method must be called on that loop, that is from a Handler method or from a
// function given to Server.Post. It is used again for another connection after Closed, so keep its ID, not the pointer.
//
// Invariants, verified by check:
//  1. A connection that is not free or closed hangs in exactly one slot of the timing wheel.
//  2. in and out are nil unless something incomplete is held; both are nil in closed.
//  3. out is never empty: an emptied buffer goes back to the pool at once.
//  4. Closed was called if and only if Open was and the state is beyond open, from the end of that turn on.
type Conn struct {
	loop *loop
	op   *netpoll.FDOperator // from accept until it is reaped
	data any                 // the handler's
	in   *input              // what is incomplete; nil when idle
	out  *output             // what the kernel did not take; nil when idle
	prev *Conn               // the timing wheel
	next *Conn               // the timing wheel; once closed, the reap list
	id   frame.ConnID

	fd    int32
	due   int32 // tick at which the wheel looks at this connection
	heard int32 // tick of the last input while open
	// since is the tick at which the present state began. Of an open connection: the tick by which it must have left, if it was told to; else
	// the tick at which it began to be throttled, if it is.
	since  int32
	spent  levels // of its limits, as of heard
	staged int32  // 1 + index of its entry in loop.staged; 0: nothing staged

	port      uint16 // the client's, as the PROXY header says, else the peer's; so is addr
	addr      [16]byte
	state     state
	reason    Reason // why it is leaving; valid beyond open
	opcode    ws.OpCode
	json      bool
	pinged    bool
	opened    bool // Open was called, Closed not yet
	counted   bool // in shared.clients
	surplus   bool // beyond Limits.PerAddress, and in loop.surplus
	headerDue bool // the PROXY header has not come; in handshake only
	half      bool // the peer sent its end of stream, so the poller has let go of the descriptor
	polling   bool // the poller reports when the descriptor can be written
	paused    bool // not read until resumeDue, so the poller has let go of the descriptor
	throttled bool // it was paused, and its levels have not been zero since
}

// ID addresses this connection, and no other one ever, within the life of the server.
func (c *Conn) ID() frame.ConnID { return c.id }

// Loop is the index of the connection's loop, which is also in its ID.
func (c *Conn) Loop() int { return c.loop.index }

// Data returns what SetData kept; nil at first.
func (c *Conn) Data() any { return c.data }

// SetData keeps a value of the handler's with the connection, until after Closed.
func (c *Conn) SetData(v any) { c.data = v }

// Now is the time at which this turn began, in nanoseconds since the Unix epoch. The clock is read once in a turn.
func (c *Conn) Now() int64 { return c.loop.now }

// JSON tells that the client speaks switchyard.v1.json; the handler sees msgpack all the same.
func (c *Conn) JSON() bool { return c.json }

// Text tells whether the message that is being handled is text. Useful in raw mode only.
func (c *Conn) Text() bool { return c.opcode == ws.OpText }

// RemoteAddr is the client's address, IPv4 as such: the one that the PROXY header names, else the peer's.
func (c *Conn) RemoteAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(c.addr).Unmap(), c.port)
}

// Write stages msgpack frames; they are copied. At the end of the turn all that was staged leaves as one WebSocket message (two or more
// if it exceeds Config.MaxMerge) and one system call. Does nothing unless the connection is open.
func (c *Conn) Write(frames []byte) {
	if c.state == stateOpen && len(frames) > 0 {
		c.loop.stage(c, opFrames, c.loop.copied(frames))
	}
}

// WriteMessage stages one WebSocket message of its own, text or binary, in raw mode. The payload is copied.
func (c *Conn) WriteMessage(text bool, payload []byte) {
	if c.state != stateOpen {
		return
	}
	op := ws.OpBinary
	if text {
		op = ws.OpText
	}
	c.loop.stage(c, op, c.loop.copied(payload))
}

// AfterWriting calls f when the kernel has taken all that earlier turns wrote: now, if nothing waits, else in the turn in which the last of it
// goes. It is not called if the connection ends before. So a handler with much to say can say it at the pace of the peer.
func (c *Conn) AfterWriting(f func()) {
	switch {
	case c.state != stateOpen:
	case c.out == nil:
		f()
	default:
		c.out.after = append(c.out.after, f)
	}
}

// Close stages a close frame after all that was written and ends the connection; Handler.Closed follows at the end of the turn. The
// reason is UTF-8, cut to 123 bytes. Does nothing unless the connection is open.
func (c *Conn) Close(code uint16, reason string) {
	c.loop.closeConn(c, code, reason, ReasonHandler)
}

// retryAfter formats for the Retry-After header: whole seconds, at least one.
func retryAfter(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }
