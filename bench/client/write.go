package client

import (
	"fmt"
	"syscall"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// Begin starts a message and returns the buffer to append its payload to; pass the result to End. Only within Message or Flush of
// this connection.
func (c *Conn) Begin(op ws.OpCode) []byte {
	if c.loop.current != c {
		panic("BUG: client: Begin outside the connection's turn")
	}
	c.loop.frameAt, c.loop.frameOp = len(c.loop.out), op
	return append(c.loop.out, make([]byte, headerRoom)...)
}

// End finishes the message that Begin started.
func (c *Conn) End(buf []byte) {
	c.loop.out = finishFrame(buf, c.loop.frameAt, c.loop.frameOp, c.loop.maskKey())
}

// flush lets a woken handler write and sends everything. The connection is the loop's current one. One that is not open, or whose last writing the kernel has not
// taken, stays woken until a turn finds that it can write.
func (c *Conn) flush() {
	if c.woken && c.writable() {
		c.woken = false
		c.handler.Flush()
		if c.woken {
			c.enqueue() // woken again while it flushed
		}
	}
	c.sendOut()
}

func (c *Conn) writable() bool { return c.state == stateOpen && c.pending == nil }

// sendOut writes what this turn put into the loop's buffer.
func (c *Conn) sendOut() {
	out := c.loop.out
	c.loop.out = out[:0]
	if len(out) > 0 && c.state == stateOpen {
		c.write(out)
	}
}

// write hands p to the kernel and keeps what it does not take.
func (c *Conn) write(p []byte) {
	n := 0
	if c.pending == nil {
		var errno syscall.Errno
		n, errno = rawWrite(int(c.fd), p)
		if errno != 0 {
			n = 0
		}
		if errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR {
			return // the read side reports the end of the connection, with all that still came in before
		}
	}
	if n < len(p) {
		c.hold(p[n:])
	}
}

func (c *Conn) hold(rest []byte) {
	first := c.pending == nil
	c.pending = append(c.pending, rest...)
	if first {
		_ = c.loop.watch(c, unix.EPOLL_CTL_MOD, c.interest())
	}
	if len(c.pending) > maxPending {
		c.failLater(fmt.Errorf("client: the server does not read: %d bytes wait", len(c.pending)))
	}
}

// writePending tries again what the kernel did not take; false if the connection must not be used further this turn.
func (c *Conn) writePending() bool {
	if c.pending == nil {
		return true
	}
	n, errno := rawWrite(int(c.fd), c.pending)
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return true
	}
	if errno != 0 {
		c.fail(fmt.Errorf("client: write: %w", errno))
		return false
	}
	c.pending = c.pending[n:]
	if len(c.pending) == 0 {
		c.pending = nil
		_ = c.loop.watch(c, unix.EPOLL_CTL_MOD, c.interest())
	}
	return true
}
