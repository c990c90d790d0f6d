package netserver

import (
	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// flushTimeouts is how many write timeouts a connection that is leaving has in all to take what waits for it, while it makes progress. Without such an
// end a peer that takes a little now and then would keep a descriptor that Config.MaxConns does not count any more.
const flushTimeouts = 6

// dueOf is the tick at which a connection must be looked at next.
func (l *loop) dueOf(c *Conn) int32 {
	due := l.stateDue(c)
	if c.out != nil {
		due = min(due, c.out.progress+l.cfg.ticks(l.cfg.WriteTimeout))
		if c.half || c.paused {
			due = min(due, l.wheel.now+1) // the poller does not report room
		}
	}
	return due
}

func (l *loop) stateDue(c *Conn) int32 {
	switch {
	case c.paused:
		return l.resumeDue(c)
	case c.state == stateHandshake:
		return l.handshakeDue(c)
	case c.state == stateOpen:
		return l.openDue(c)
	case c.surplus:
		return c.since + l.cfg.ticks(surplusTime)
	case c.state == stateFlush:
		return c.since + flushTimeouts*l.cfg.ticks(l.cfg.WriteTimeout)
	default:
		return c.since + l.cfg.ticks(l.cfg.LingerTimeout)
	}
}

// messageDue is the tick at which the message that is under way must be whole. Bytes that trickle in keep a connection from being silent, and
// an incomplete message holds memory; so its time counts from its first byte.
func (l *loop) messageDue(c *Conn) int32 { return c.in.began + l.cfg.ticks(l.cfg.MessageTimeout) }

func (l *loop) handshakeDue(c *Conn) int32 {
	due := c.since + l.cfg.ticks(l.cfg.HandshakeTimeout)
	if d := l.departure; d != nil {
		due = min(due, d.tick+l.cfg.ticks(handshakeGrace))
	}
	return due
}

func (l *loop) openDue(c *Conn) int32 {
	due := c.heard + l.cfg.ticks(l.cfg.PingAfter)
	if c.pinged {
		due = c.heard + l.cfg.ticks(l.cfg.CloseAfter)
	}
	if c.in != nil {
		due = min(due, l.messageDue(c))
	}
	if last, ok := l.lastTick(c); ok {
		due = min(due, last)
	}
	return due
}

// visitBatch bounds how many connections are looked at in one turn. Those that came together, after a restart above all, are due together: a
// ping to each of 10,000 is a tenth of a second, in which nobody else would be served.
const visitBatch = 256

// visitDue looks at a batch of what is due, and comes back for the rest in another turn, or at the next tick if the mailbox is full.
func (l *loop) visitDue() {
	for range visitBatch {
		c := l.wheel.take()
		for ; c == nil; c = l.wheel.take() {
			if l.elapsed == 0 {
				l.visiting = false
				return
			}
			l.elapsed--
			l.wheel.tick()
		}
		l.visit(c)
	}
	l.visiting = l.box.postOwn(task{run: l.visitDue})
}

// visit looks at a connection when the wheel comes to it, acts on a deadline that has passed, and hangs it in again.
func (l *loop) visit(c *Conn) {
	l.wheel.add(c, l.wheel.now+1) // so that whatever happens finds it in the wheel
	if c.out != nil && (c.half || c.paused) {
		l.writeWaiting(c)
	}
	if c.state != stateClosed && l.dueOf(c) <= l.wheel.now {
		l.expire(c)
	}
	if c.state != stateClosed {
		due := l.dueOf(c)
		l.wheel.remove(c)
		l.wheel.add(c, due)
	}
}

// expire acts on the deadline that has passed.
func (l *loop) expire(c *Conn) {
	switch {
	case c.state == stateHandshake && l.departure != nil:
		busy := unavailable(1)
		l.refuse(c, &busy, ReasonShutdown)
	case c.state == stateHandshake:
		l.refuse(c, &answer408, ReasonHandshakeTimeout)
	case c.out != nil && c.out.progress+l.cfg.ticks(l.cfg.WriteTimeout) <= l.wheel.now:
		l.destroy(c, ReasonWriteTimeout)
	case c.state == stateOpen && l.mustLeave(c):
		l.closeConn(c, l.cfg.farewellCode(), farewell, ReasonDrain)
	case c.paused:
		l.resume(c)
	case c.state == stateOpen && c.in != nil && l.messageDue(c) <= l.wheel.now:
		l.closeConn(c, frame.CloseMessageTimeout, "a message did not arrive whole in time", ReasonMessageTimeout)
	case c.state == stateOpen && !c.pinged:
		c.pinged = true
		l.stage(c, ws.OpPing, nil)
	case c.state == stateOpen:
		l.closeConn(c, frame.CloseHeartbeatTimeout, "nothing heard for too long", ReasonSilent)
	default:
		l.destroy(c, c.reason)
	}
}
