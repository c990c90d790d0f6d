package netserver

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"
)

const (
	listenBacklog = 65_535 // the kernel cuts it to net.core.somaxconn, which is what the operator sets
	acceptBatch   = 64     // connections accepted in one turn

	// deferAccept is how long the kernel keeps a connection back for its first bytes, in seconds (TCP_DEFER_ACCEPT, tcp(7)). The client speaks
	// first, as a rule at once: so its request is there when the connection is accepted, and is answered in the same turn, without a round of
	// the poller in between. A silent one is handed over a second later, and until then costs no descriptor. Measured: an accept with its
	// handshake costs 24 us of CPU, without this 31.
	deferAccept = 1
)

// accepted is a connection on its way from the listener to its loop.
type accepted struct {
	fd   int32
	port uint16
	addr [16]byte
}

// listener accepts on the first loop and deals connections to all loops in turn. One socket for each loop (SO_REUSEPORT) would save the
// hand-over, but the kernel spreads by hash: with few connections the loops are loaded unevenly for as long as these live, while
// the hand-over costs less than the upgrade that follows. Owned by the first loop.
type listener struct {
	loop   *loop
	loops  []*loop
	fd     int32
	op     *netpoll.FDOperator
	next   int
	rate   acceptRate
	paused bool // out of descriptors, or of what rate allows: tried again at the next tick
	told   bool // the log was told since the last success
}

// listen opens the listening socket.
func listen(address string, reusePort bool) (fd int32, local netip.AddrPort, err error) {
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return -1, local, fmt.Errorf("netserver: listen address %q: %w; give IP:PORT, for example 127.0.0.1:8080", address, err)
	}
	if ip4 := tcp.IP.To4(); ip4 != nil {
		fd, err = bind(unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(ip4)}, reusePort)
	} else {
		to := &unix.SockaddrInet6{Port: tcp.Port}
		copy(to.Addr[:], tcp.IP.To16())
		fd, err = bind(unix.AF_INET6, to, reusePort)
	}
	if err != nil {
		return -1, local, fmt.Errorf("netserver: listening on %s: %w; is another process using the port? Several may share it if each sets reuse_port", address, err)
	}
	return fd, localAddr(fd), nil
}

func bind(family int, to unix.Sockaddr, reusePort bool) (int32, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	setOptions(fd)
	if reusePort {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err = unix.Bind(fd, to); err == nil {
		err = unix.Listen(fd, listenBacklog)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return int32(fd), nil
}

// setOptions sets what makes a listening socket faster, and is no error if the kernel refuses it.
func setOptions(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // inherited by what is accepted: a turn's output is merged already
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferAccept)
}

func localAddr(fd int32) netip.AddrPort {
	sa, err := unix.Getsockname(int(fd))
	if err != nil {
		return netip.AddrPort{}
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// start begins to accept. On the first loop, or before it runs.
func (a *listener) start() error {
	a.op = a.loop.poll.Alloc()
	a.op.FD, a.op.OnRead = int(a.fd), a.onRead
	return a.op.Control(netpoll.PollReadable)
}

// onRead accepts a batch; the poller reports again while more wait.
func (a *listener) onRead(netpoll.Poll) error {
	l := a.loop
	if a.paused {
		return nil
	}
	l.begin()
	l.reapClosed()
	a.acceptSome()
	l.end()
	return nil
}

// acceptSome accepts a batch at this turn's time.
func (a *listener) acceptSome() {
	l := a.loop
	for range acceptBatch {
		if a.rate.spent(l.now) {
			l.limited(limitBacklog)
			a.pause()
			break
		}
		var raw unix.RawSockaddrAny
		fd, errno := sysAccept(a.fd, &raw)
		if errno != 0 {
			a.failed(errno)
			break
		}
		a.told = false
		if a.rate.admit(l.now) {
			a.deal(peerOf(fd, &raw))
		} else {
			a.turnAway(fd)
		}
	}
}

// deal gives a connection to the next loop. A loop that has a full queue is behind by 65,536 connections: refuse.
func (a *listener) deal(p accepted) {
	to := a.loops[a.next]
	a.next = (a.next + 1) % len(a.loops)
	if to == a.loop {
		to.adopt(p)
	} else if !to.box.postOwn(task{peer: p}) {
		sysClose(p.fd)
		a.loop.n.acceptRefused++
	}
}

// failed handles an error of accept. Out of descriptors or memory, the poller would report the same connection for ever: so accepting
// pauses until the next tick, by when others may have closed. Everything else concerns one connection that is gone already.
func (a *listener) failed(errno syscall.Errno) {
	switch errno {
	case syscall.EAGAIN, syscall.ECONNABORTED, syscall.EINTR:
		return
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		a.pause()
	}
	a.loop.n.acceptFailed++
	if !a.told {
		a.told = true
		a.loop.log.Error("accepting connections fails; raise the limit of open files (ulimit -n, LimitNOFILE) if it is exhausted", "error", errno)
	}
}

// pause leaves further connections in the kernel's backlog until the next tick. In the listener's own turn.
func (a *listener) pause() {
	a.paused = true
	_ = a.op.Control(netpoll.PollDetach)
}

// resumeAccepting watches the listening socket again after a pause. In the timer's turn.
func (l *loop) resumeAccepting() {
	a := l.listener
	if !a.paused {
		return
	}
	a.op.Free()
	a.paused = false
	if err := a.start(); err != nil {
		l.log.Error("accepting connections cannot go on; restart the server", "error", err)
	}
}

// stop closes the listening socket. On the loop, in a task.
func (a *listener) stop() {
	if !a.paused {
		_ = a.op.Control(netpoll.PollDetach)
	}
	a.op.Free()
	sysClose(a.fd)
	a.loop.listener = nil
}

func peerOf(fd int32, raw *unix.RawSockaddrAny) accepted {
	p := accepted{fd: fd}
	b := rawBytes(raw)
	switch raw.Addr.Family {
	case unix.AF_INET:
		p.port = uint16(b[2])<<8 | uint16(b[3])
		p.addr = netip.AddrFrom4([4]byte(b[4:8])).As16()
	case unix.AF_INET6:
		p.port = uint16(b[2])<<8 | uint16(b[3])
		p.addr = [16]byte(b[8:24])
	}
	return p
}

// adopt makes an accepted descriptor a connection of this loop.
func (l *loop) adopt(p accepted) {
	c := l.slots.take(l)
	if c == nil {
		sysClose(p.fd)
		l.n.acceptRefused++
		return
	}
	c.loop, c.fd, c.addr, c.port = l, p.fd, p.addr, p.port
	c.state, c.since = stateHandshake, l.wheel.now
	if err := l.register(c); err != nil {
		l.log.Error("watching a new connection; raise fs.epoll.max_user_watches if it is exhausted", "error", err)
		sysClose(p.fd)
		c.op.Free()
		l.slots.give(c)
		l.n.acceptRefused++
		return
	}
	l.live++
	l.n.accepted++
	l.wheel.add(c, l.dueOf(c))
	l.meetProxy(c)
	if c.state == stateHandshake && !c.headerDue {
		l.admitAddress(c)
	}
	if c.state == stateHandshake {
		l.read(c) // see deferAccept
	}
}
