package netserver

import "github.com/switchyard-im/switchyard/frame"

// What one connection holds is bounded, by Config.MaxMessage and OutHard, and in time; but many at their bounds, each just in time, are more
// than a machine has. So what all connections of a loop hold is bounded too: above Limits.Held, one that wants to hold more and has more
// than its share (what is allowed, divided by the connections) is ended. Those with a short rest of a message or a short wait for the kernel
// are not touched, whatever the others do.

// holds is what a connection holds of the loop's pool.
func (c *Conn) holds() (n int) {
	if c.in != nil {
		n += cap(c.in.data)
	}
	if c.out != nil {
		n += c.out.held
	}
	return n
}

// holdsTooMuch tells whether a connection must let go of what it holds. At the end of a read or a write that may have made it more.
func (l *loop) holdsTooMuch(c *Conn) bool {
	return l.pool.held > l.maxHeld && c.holds() > max(smallestBuffer, l.maxHeld/max(1, l.live))
}

// relieve ends a connection after a read that left too much. What waits for it is dropped with it, because that is what it holds, or is about
// to be; a client resumes without loss.
func (l *loop) relieve(c *Conn) {
	if c.state == stateClosed || !l.holdsTooMuch(c) {
		return
	}
	l.limited(limitHeld)
	switch {
	case c.out != nil:
		l.destroy(c, ReasonHeld)
	case c.state == stateHandshake:
		l.refuse(c, &busyAnswers[len(busyAnswers)-1], ReasonHeld)
	default:
		l.closeConn(c, frame.CloseOverloaded, "the server holds too much for slow connections", ReasonHeld)
	}
}
