package client

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// Limits of one connection.
const (
	maxMessage   = 1 << 20 // bytes of a server's message; a longer one closes the connection
	maxPending   = 4 << 20 // bytes that the kernel did not take; more closes the connection
	dialDeadline = 15 * time.Second
)

// ErrDialTimeout is what a connection closes with when the server does not answer the dial or the upgrade.
var ErrDialTimeout = errors.New("client: no complete upgrade within 15s")

// Handler is a scenario's end of one connection. All calls come from the connection's loop.
type Handler interface {
	// Opened says that the upgrade is done. Wake the connection to send.
	Opened()
	// Message hands over one message. The payload is borrowed until Message returns.
	Message(op ws.OpCode, payload []byte)
	// Flush asks a woken connection for what it has to send: Begin, append, End, as often as needed. It is called at most once
	// per turn, not while the kernel is full, and everything goes out in one write.
	Flush()
	// Closed says why the connection ended. It may be dialled again from here. Not called for Close.
	Closed(err error)
}

type connState uint8

// A connection is idle -> waiting (for its turn to dial) -> connecting -> upgrading -> open -> idle.
const (
	stateIdle connState = iota
	stateWaiting
	stateConnecting
	stateUpgrading
	stateOpen
)

// Conn is one connection that may be dialled again after it ended. Everything on it belongs to its loop's goroutine.
type Conn struct {
	// Fixed after construction.
	loop    *Loop
	slot    int32
	target  *Target
	source  netip.Addr // zero: the kernel chooses
	handler Handler

	// Owned by the loop.
	fd         int
	generation int32 // grows with each dial, so that an old event does not reach a new socket
	state      connState
	woken      bool // wants Flush
	queued     bool // is on the loop's dirty list
	fragmentOp ws.OpCode
	in         []byte // an incomplete frame, or nil; from the loop's spare buffers
	pending    []byte // what the kernel did not take, or nil
	fragments  []byte // of an incomplete message, or nil
	frameAt    int    // where Begin started in loop.out
	frameOp    ws.OpCode
	deadline   Timer // of the dial
	failure    error // found while dialling, reported by the deadline timer
}

// Loop is the loop that owns the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// Open tells whether messages can be sent.
func (c *Conn) Open() bool { return c.state == stateOpen }

// Idle tells whether the connection can be dialled.
func (c *Conn) Idle() bool { return c.state == stateIdle }

// Dial connects and upgrades; the handler is told Opened or Closed later. At most a fixed number of dials of a loop are under way at
// once, so that the server's accept queue holds them; the rest wait in line.
func (c *Conn) Dial() {
	if c.state != stateIdle {
		panic("BUG: client: Dial of a connection that is not idle")
	}
	c.generation++
	c.state = stateWaiting
	c.loop.dialQueue = append(c.loop.dialQueue, c)
	c.loop.dialNext()
}

// connect starts the dial. A failure is reported through the deadline timer, never from inside Dial.
func (c *Conn) connect() {
	c.state = stateConnecting
	c.loop.dialing++
	c.failure = ErrDialTimeout
	c.loop.Arm(&c.deadline, Now()+int64(dialDeadline))
	if err := c.openSocket(); err != nil {
		c.failLater(err)
	}
}

// failLater ends the connection from the timers' turn, for places where a handler must not be called.
func (c *Conn) failLater(err error) {
	c.failure = err
	c.loop.Arm(&c.deadline, 0)
}

func (c *Conn) openSocket() error {
	fd, err := unix.Socket(c.target.family(), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	c.fd = fd
	if c.source.IsValid() {
		// The port is chosen at connect, by the whole 4-tuple: each source address then has all ports for each server.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(c.source, 0))); err != nil {
			return fmt.Errorf("client: bind %s: %w", c.source, err)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := c.loop.watch(c, unix.EPOLL_CTL_ADD, unix.EPOLLOUT); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if err := unix.Connect(fd, sockaddr(c.target.addr)); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("client: connect %s: %w", c.target.addr, err)
	}
	return nil
}

func (c *Conn) dialExpired() { c.fail(c.failure) }

// Close ends the connection at once, with a close frame if there is room for it. Its handler is not told.
func (c *Conn) Close(code ws.StatusCode) {
	if c.state == stateOpen && c.pending == nil {
		frame := append(make([]byte, headerRoom, 2*headerRoom), byte(code>>8), byte(code))
		_, _ = rawWrite(c.fd, finishFrame(frame, 0, ws.OpClose, c.loop.maskKey()))
	}
	c.release()
}

// fail ends the connection and tells the handler.
func (c *Conn) fail(err error) {
	if c.state == stateIdle {
		return
	}
	c.release()
	c.handler.Closed(err)
}

// release gives back all that the connection holds. Safe in any state.
func (c *Conn) release() {
	switch c.state {
	case stateConnecting, stateUpgrading:
		c.loop.dialing--
		c.loop.dialsFree = true
	}
	if c.fd >= 0 {
		_ = unix.Close(c.fd) // also leaves the epoll set
	}
	c.loop.Disarm(&c.deadline)
	c.loop.putBuffer(c.in)
	c.fd, c.state, c.woken = -1, stateIdle, false
	c.in, c.pending, c.fragments = nil, nil, nil
}

// Wake asks for a Flush: at the end of the connection's own turn if it has one now, else at the end of the loop's.
func (c *Conn) Wake() {
	c.woken = true
	if c.loop.current != c {
		c.enqueue()
	}
}

func (c *Conn) enqueue() {
	if !c.queued {
		c.queued = true
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// Begin starts a message and returns the buffer to append its payload to; pass the result to End. Only within Message or Flush of
// this connection.
func (c *Conn) Begin(op ws.OpCode) []byte {
	if c.loop.current != c {
		panic("BUG: client: Begin outside the connection's turn")
	}
	c.frameAt, c.frameOp = len(c.loop.out), op
	return append(c.loop.out, make([]byte, headerRoom)...)
}

// End finishes the message that Begin started.
func (c *Conn) End(buf []byte) {
	c.loop.out = finishFrame(buf, c.frameAt, c.frameOp, c.loop.maskKey())
}

// ready handles events of the connection's socket.
func (c *Conn) ready(events uint32) {
	if c.state < stateConnecting {
		return // closed earlier in this round of events
	}
	if c.state == stateConnecting {
		c.connected()
		return
	}
	if events&unix.EPOLLOUT != 0 && !c.writePending() {
		return
	}
	if events&^unix.EPOLLOUT != 0 {
		c.turn()
	} else if c.woken {
		c.Wake()
	}
}

// connected is called when the connect is over, well or not.
func (c *Conn) connected() {
	errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	if err != nil {
		c.fail(fmt.Errorf("client: connect %s: %w", c.target.addr, err))
		return
	}
	c.state = stateUpgrading
	if err := c.loop.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLRDHUP); err != nil {
		c.fail(os.NewSyscallError("epoll_ctl", err))
		return
	}
	c.write(c.target.request)
}

// turn reads once, handles every complete frame and flushes. One read a turn keeps a hot connection from starving the rest.
func (c *Conn) turn() {
	l := c.loop
	held := copy(l.in, c.in)
	n, errno := rawRead(c.fd, l.in[held:])
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
		return
	case errno != 0:
		c.fail(fmt.Errorf("client: read: %w", errno))
		return
	case n == 0:
		c.fail(io.EOF)
		return
	}
	l.current = c
	generation := c.generation
	rest, err := c.consume(l.in[:held+n])
	switch {
	case c.state == stateIdle || c.generation != generation: // the handler closed it
		l.out = l.out[:0]
	case err != nil:
		c.sendOut()
		c.fail(err)
	default:
		c.keep(rest)
		c.flush()
	}
	l.current = nil
}

// keep stores an incomplete rest until more arrives.
func (c *Conn) keep(rest []byte) {
	if len(rest) == 0 {
		c.loop.putBuffer(c.in)
		c.in = nil
		return
	}
	if c.in == nil {
		c.in = c.loop.getBuffer()
	}
	c.in = append(c.in[:0], rest...)
}

// consume handles what is complete at the start of data and returns the rest.
func (c *Conn) consume(data []byte) ([]byte, error) {
	if c.state == stateUpgrading {
		rest, ok, err := c.target.checkUpgrade(data)
		if !ok || err != nil {
			return data, err
		}
		data = rest
		c.upgraded()
	}
	for c.state == stateOpen {
		h, ok, err := parseHeader(data, maxMessage)
		if err != nil {
			return nil, err
		}
		if !ok || len(data) < h.size+h.length {
			break
		}
		if err := c.frame(h, data[h.size:h.size+h.length]); err != nil {
			return nil, err
		}
		data = data[h.size+h.length:]
	}
	return data, nil
}

func (c *Conn) upgraded() {
	c.state = stateOpen
	c.loop.dialing--
	c.loop.dialsFree = true
	c.loop.Disarm(&c.deadline)
	c.handler.Opened()
}

// frame handles one complete frame.
func (c *Conn) frame(h header, payload []byte) error {
	switch {
	case h.op == ws.OpPing:
		c.End(append(c.Begin(ws.OpPong), payload...))
	case h.op == ws.OpClose:
		c.End(append(c.Begin(ws.OpClose), payload[:min(2, len(payload))]...))
		return parseClose(payload)
	case h.op == ws.OpPong:
	case h.op != ws.OpContinuation && c.fragments == nil && h.fin:
		c.handler.Message(h.op, payload)
	default:
		return c.fragment(h, payload)
	}
	return nil
}

// fragment gathers a message that comes in several frames.
func (c *Conn) fragment(h header, payload []byte) error {
	if first := h.op != ws.OpContinuation; first != (c.fragments == nil) {
		return fmt.Errorf("%w: unexpected continuation or message inside a fragmented one", ErrProtocol)
	} else if first {
		c.fragmentOp, c.fragments = h.op, make([]byte, 0, 2*len(payload)+1)
	}
	if len(c.fragments)+len(payload) > maxMessage {
		return fmt.Errorf("client: the server sent a message over %d bytes", maxMessage)
	}
	c.fragments = append(c.fragments, payload...)
	if h.fin {
		whole := c.fragments
		c.fragments = nil
		c.handler.Message(c.fragmentOp, whole)
	}
	return nil
}

// flush lets a woken handler write and sends everything. The connection is the loop's current one.
func (c *Conn) flush() {
	if c.woken && c.state == stateOpen && c.pending == nil {
		c.woken = false
		c.handler.Flush()
	}
	if c.woken && c.pending == nil {
		c.enqueue() // woken again while it flushed
	}
	c.sendOut()
}

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
		n, errno = rawWrite(c.fd, p)
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
	if c.pending == nil {
		_ = c.loop.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLOUT)
	}
	c.pending = append(c.pending, rest...)
	if len(c.pending) > maxPending {
		c.failLater(fmt.Errorf("client: the server does not read: %d bytes wait", len(c.pending)))
	}
}

// writePending tries again what the kernel did not take; false if the connection must not be used further this turn.
func (c *Conn) writePending() bool {
	if c.pending == nil {
		return true
	}
	n, errno := rawWrite(c.fd, c.pending)
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
		_ = c.loop.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLRDHUP)
	}
	return true
}
