package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// Sizes of a loop.
const (
	eventsPerRound = 512
	readBuffer     = 2 * maxMessage // an incomplete message and one more read
	spareBuffers   = 256            // kept for incomplete frames; more are left to the collector
	dialsAtOnce    = 128            // unless AllowDials says otherwise; below any accept queue: a dropped SYN costs a second
	longestWait    = 1_000_000_000  // ns, when no timer is armed
	flushTogether  = 64             // connections that are read before they are written: see flushDirty
)

// Loop is one event loop with its connections and timers. Run is called by one goroutine, which then owns all of it; only Post and Stop may be
// called from others. (Before Run, the constructing goroutine owns it.)
type Loop struct {
	// Fixed after construction.
	epfd   int
	wakefd int

	// Owned by the goroutine in Run.
	conns     []*Conn
	events    []unix.EpollEvent
	in        []byte // what the current connection read
	out       []byte // what the current connection is going to write
	current   *Conn  // whose turn it is, or nil
	frameAt   int    // where its Begin started in out
	frameOp   ws.OpCode
	dirty     []*Conn
	flushing  []*Conn // the dirty list being worked on
	spare     [][]byte
	timers    timerHeap
	now       int64
	waited    int64 // nanoseconds
	mask      *rand.PCG
	dialQueue []*Conn
	dialing   int
	dialsMax  int  // under way at once
	dialsFree bool // a dial ended: start others
	pings     int64
	stopped   bool

	// Guarded by mu. Bounded by its callers: a scenario posts a few functions in its life.
	mu     sync.Mutex
	posted []func()
	closed bool // the descriptors are gone
}

// NewLoop opens an epoll descriptor and an eventfd. Close gives them back if Run is never called.
func NewLoop() (*Loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &Loop{
		epfd: epfd, wakefd: wakefd,
		events: make([]unix.EpollEvent, eventsPerRound),
		in:     make([]byte, readBuffer), dialsMax: dialsAtOnce,
		mask: rand.NewPCG(rand.Uint64(), rand.Uint64()),
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd, &ev); err != nil {
		l.close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	if _, errno := wait(epfd, l.events, 0); errno == syscall.ENOSYS {
		l.close()
		return nil, errors.New("client: this kernel has no epoll_pwait2: use Linux 5.11 or newer")
	}
	return l, nil
}

// NewConn adds a connection to the target, not yet dialled. Source is the local IPv4 address to bind, as from Target.SourceFor; anything else leaves the
// choice to the kernel.
func (l *Loop) NewConn(target *Target, source netip.Addr, handler Handler) *Conn {
	c := &Conn{loop: l, slot: int32(len(l.conns)), target: target, handler: handler, fd: -1}
	if source.Is4() {
		c.source = source.As4()
	}
	l.conns = append(l.conns, c)
	return c
}

// Post runs fn on the loop soon, or not at all if the loop has ended. Safe from any goroutine.
func (l *Loop) Post(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.posted = append(l.posted, fn)
	_, _ = unix.Write(l.wakefd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// Stop makes Run close all connections and return. Safe from any goroutine.
func (l *Loop) Stop() { l.Post(func() { l.stopped = true }) }

// Time is Now as of the start of the current round; cheaper, and good enough for everything but a latency.
func (l *Loop) Time() int64 { return l.now }

// AllowDials sets how many dials may be under way at once. The accept queues of all that listen at the address must hold them.
func (l *Loop) AllowDials(n int) { l.dialsMax = n }

// Waited is for how many nanoseconds the loop has had nothing to do.
func (l *Loop) Waited() int64 { return l.waited }

// Pings is how many pings of servers were answered.
func (l *Loop) Pings() int64 { return l.pings }

// Arm makes the timer fire at a time of Now; one in the past fires in the next round.
func (l *Loop) Arm(t *Timer, at int64) { l.timers.arm(t, at) }

// Disarm keeps the timer from firing.
func (l *Loop) Disarm(t *Timer) { l.timers.disarm(t) }

// Run works until Stop. The error is a broken epoll descriptor.
func (l *Loop) Run() error {
	defer l.close()
	for !l.stopped {
		if err := l.round(); err != nil {
			return err
		}
	}
	for _, c := range l.conns {
		c.Close(ws.StatusNormalClosure)
	}
	return nil
}

// round waits for events and does everything that is due.
func (l *Loop) round() error {
	n, err := l.await()
	if err != nil {
		return err
	}
	l.now = Now()
	for i := range n {
		l.dispatch(&l.events[i])
		if len(l.dirty) >= flushTogether {
			l.flushDirty()
		}
	}
	l.fireTimers()
	l.flushDirty()
	if l.dialsFree {
		l.dialsFree = false
		l.dialNext()
	}
	return nil
}

// await looks without blocking first: under load there is nearly always something, and a blocking call makes the scheduler hand
// the processor over and back.
func (l *Loop) await() (int, error) {
	n, errno := poll(l.epfd, l.events)
	if n == 0 && errno == 0 && len(l.dirty) == 0 {
		from := Now()
		if timeout := l.timeout(from); timeout > 0 {
			n, errno = wait(l.epfd, l.events, timeout)
			l.waited += Now() - from
		}
	}
	if errno == syscall.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, fmt.Errorf("client: epoll: %w", errno)
	}
	return n, nil
}

func (l *Loop) timeout(now int64) int64 {
	at, ok := l.timers.next()
	if !ok {
		return longestWait
	}
	return min(at-now, longestWait)
}

func (l *Loop) dispatch(ev *unix.EpollEvent) {
	if ev.Fd < 0 {
		l.runPosted()
		return
	}
	if c := l.conns[ev.Fd]; c.generation == ev.Pad {
		c.ready(ev.Events)
	}
}

func (l *Loop) runPosted() {
	var count [8]byte
	_, _ = unix.Read(l.wakefd, count[:]) // never blocks: the event says that it is not zero
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, fn := range posted {
		fn()
	}
}

// fireTimers fires what is due now, and not what the fired ones arm: those wait for the next round.
func (l *Loop) fireTimers() {
	for range len(l.timers) {
		at, ok := l.timers.next()
		if !ok || at > l.now {
			return
		}
		t := l.timers[0]
		l.timers.disarm(t)
		t.Fire()
	}
}

// flushDirty flushes the woken connections. Those woken meanwhile wait for the next time. Reading some and then writing those costs 8 % less CPU
// than reading and writing each in turn, because the kernel's code for either does not fit into the processor's cache beside the other's.
func (l *Loop) flushDirty() {
	l.flushing, l.dirty = l.dirty, l.flushing[:0]
	for _, c := range l.flushing {
		c.queued = false
		l.current = c
		c.flush()
	}
	l.current = nil
}

// dialNext starts waiting dials while there is room.
func (l *Loop) dialNext() {
	for l.dialing < l.dialsMax && len(l.dialQueue) > 0 {
		c := l.dialQueue[0]
		l.dialQueue = l.dialQueue[1:]
		if c.state == stateWaiting {
			c.connect()
		}
	}
}

// watch sets the events of a connection's socket.
func (l *Loop) watch(c *Conn, op int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: c.slot, Pad: c.generation}
	return unix.EpollCtl(l.epfd, op, int(c.fd), &ev)
}

// maskKey returns the next masking key. RFC 6455 wants unpredictable keys to protect proxies on the way; a fast generator with a random
// seed is enough for a measuring client.
func (l *Loop) maskKey() uint32 { return uint32(l.mask.Uint64()) }

func (l *Loop) getBuffer() []byte {
	n := len(l.spare)
	if n == 0 {
		return make([]byte, 0, 4<<10)
	}
	b := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return b
}

func (l *Loop) putBuffer(b []byte) {
	if b != nil && len(l.spare) < spareBuffers && cap(b) <= 64<<10 {
		l.spare = append(l.spare, b[:0])
	}
}

func (l *Loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	_ = unix.Close(l.wakefd)
	_ = unix.Close(l.epfd)
}
