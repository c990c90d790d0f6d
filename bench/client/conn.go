package client

import (
	"errors"
	"fmt"
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

// Conn is one connection that may be dialled again after it ended. Everything on it belongs to its loop's goroutine. It is 120 bytes, because a process
// has twenty thousand; what only some need, or only for a while, is elsewhere.
type Conn struct {
	// Fixed after construction.
	loop    *Loop
	target  *Target
	handler Handler
	slot    int32
	source  [4]byte // IPv4 address to bind; zero: the kernel chooses

	// Owned by the loop.
	fd         int32 // -1: none
	generation int32 // grows with each dial, so that an old event does not reach a new socket
	state      connState
	woken      bool       // wants Flush
	queued     bool       // is on the loop's dirty list
	paused     bool       // does not read
	in         []byte     // an incomplete frame, or nil; from the loop's spare buffers
	pending    []byte     // what the kernel did not take, or nil
	fragments  *fragments // of an incomplete message, or nil
	ending     *ending    // while it is dialled, or to be ended; else nil
}

// ending is a time at which a connection ends, and why.
type ending struct {
	at      Timer
	failure error
}

// fragments is a message that comes in several frames.
type fragments struct {
	op   ws.OpCode
	data []byte
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
	c.endAt(Now()+int64(dialDeadline), ErrDialTimeout)
	if err := c.openSocket(); err != nil {
		c.failLater(err)
	}
}

// failLater ends the connection from the timers' turn, for places where a handler must not be called.
func (c *Conn) failLater(err error) { c.endAt(0, err) }

// endAt ends the connection at a time, unless release or noEnding comes first.
func (c *Conn) endAt(at int64, why error) {
	if c.ending == nil {
		c.ending = &ending{}
		c.ending.at.Fire = c.expired
	}
	c.ending.failure = why
	c.loop.Arm(&c.ending.at, at)
}

func (c *Conn) noEnding() {
	if c.ending != nil {
		c.loop.Disarm(&c.ending.at)
		c.ending = nil
	}
}

func (c *Conn) openSocket() error {
	fd, err := unix.Socket(c.target.family(), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	c.fd = int32(fd)
	if c.source != [4]byte{} {
		// The port is chosen at connect, by the whole 4-tuple: each source address then has all ports for each server.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: c.source}); err != nil {
			return fmt.Errorf("client: bind %s: %w", netip.AddrFrom4(c.source), err)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if c.target.tune != nil {
		if err := c.target.tune(fd); err != nil {
			return fmt.Errorf("client: preparing a socket: %w", err)
		}
	}
	if err := c.loop.watch(c, unix.EPOLL_CTL_ADD, unix.EPOLLOUT); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if err := unix.Connect(fd, sockaddr(c.target.addr)); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("client: connect %s: %w", c.target.addr, err)
	}
	return nil
}

func (c *Conn) expired() { c.fail(c.ending.failure) }

// Close ends the connection at once, with a close frame if there is room for it. Its handler is not told.
func (c *Conn) Close(code ws.StatusCode) {
	if c.state == stateOpen && c.pending == nil {
		frame := append(make([]byte, headerRoom, 2*headerRoom), byte(code>>8), byte(code))
		_, _ = rawWrite(int(c.fd), finishFrame(frame, 0, ws.OpClose, c.loop.maskKey()))
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
		_ = unix.Close(int(c.fd)) // also leaves the epoll set
	}
	c.noEnding()
	c.loop.putBuffer(c.in)
	c.fd, c.state, c.woken, c.paused = -1, stateIdle, false, false
	c.in, c.pending, c.fragments = nil, nil, nil
}

// Wake asks for a Flush in this round of the loop; from within Flush, in the next; and when it is open, if it is not.
func (c *Conn) Wake() {
	c.woken = true
	c.enqueue()
}

func (c *Conn) enqueue() {
	if !c.queued {
		c.queued = true
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// Pause stops reading, as a client does that hangs: what arrives stays with the kernel, and pings are not answered.
func (c *Conn) Pause() { c.pause(true) }

// Continue reads again after Pause.
func (c *Conn) Continue() { c.pause(false) }

func (c *Conn) pause(on bool) {
	if c.state == stateOpen && c.paused != on {
		c.paused = on
		_ = c.loop.watch(c, unix.EPOLL_CTL_MOD, c.interest()) // fails only if the descriptor is gone, which the next read tells
	}
}

// interest is what the poller is asked for on an upgrading or open connection. It tells of what arrives once (EPOLLET), and so need not look at each
// socket again in the next round; watching it anew makes it tell again.
func (c *Conn) interest() (events uint32) {
	events = unix.EPOLLET
	if !c.paused {
		events |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if c.pending != nil {
		events |= unix.EPOLLOUT
	}
	return events
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
		c.turn(events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	} else if c.woken {
		c.Wake()
	}
}

// connected is called when the connect is over, well or not.
func (c *Conn) connected() {
	errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	if err != nil {
		c.fail(fmt.Errorf("client: connect %s: %w", c.target.addr, err))
		return
	}
	c.state = stateUpgrading
	if err := c.loop.watch(c, unix.EPOLL_CTL_MOD, c.interest()); err != nil {
		c.fail(os.NewSyscallError("epoll_ctl", err))
		return
	}
	c.write(c.target.request)
}
