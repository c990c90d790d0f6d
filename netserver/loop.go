package netserver

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/frame"
)

// loop is one poller and its goroutine. But for the mailbox and published, everything in it is touched on that goroutine only (and
// before it starts and after it ended).
type loop struct {
	// Fixed after construction.
	cfg     *Config
	handler Handler
	log     *slog.Logger
	index   int
	poll    netpoll.Poll
	timer   int32 // timerfd of one tick
	shared  *shared

	// For other goroutines.
	box       mailbox
	published atomic.Pointer[counters] // as of the last tick
	drained   chan struct{}            // closed when the last connection is gone after a departure began

	// Owned by the loop.
	now      int64 // this turn's start, ns since the Unix epoch
	slots    slots
	ops      []*netpoll.FDOperator // of the newest chunk of slots, not used yet
	wheel    wheel
	elapsed  uint64 // ticks that have passed and that the wheel has not begun
	visiting bool   // a task goes on with what is due
	meter    meter
	gatherer gatherer
	maxHeld  int // this loop's part of Limits.Held
	pool     buffers
	n        counters
	in       []byte // what one read returns; overwritten by the next
	writer   writer
	upgrade  upgrade
	leaving  []*Conn // Handler.Closed is due at the end of this turn
	reap     *Conn   // closed connections, by next
	live     int     // connections that are neither free nor closed
	surplus  int     // of them, those beyond Limits.PerAddress that read their 429
	tasks    []task  // the queue of last time
	listener *listener
	trimmed  int32 // tick of the last trim
	finished bool
	told     [troubleCount]told

	departure *departure // nil until the connections are sent away
}

// shared is what the loops of a server share. Any loop changes it, so it is atomic or has locks.
type shared struct {
	open    atomic.Int64 // open connections of all loops
	clients clientTable
	began   time.Time // fixed
}

func newShared() *shared {
	return &shared{clients: clientTable{seed: maphash.MakeSeed()}, began: time.Now()}
}

func newLoop(cfg *Config, index int, h Handler, log *slog.Logger, sh *shared) (l *loop, err error) {
	l = &loop{cfg: cfg, handler: h, log: log, index: index, shared: sh, timer: -1, drained: make(chan struct{})}
	l.in = make([]byte, cfg.ReadBudget)
	l.box.event = -1
	l.writer.init(cfg)
	l.meter = newMeter(cfg)
	l.maxHeld = cfg.Limits.Held / cfg.Loops
	l.upgrade.init(l)
	l.publish()
	l.gatherer = gatherer{every: cfg.Gather, epoch: sh.began}
	if l.poll, err = newPoll(); err != nil {
		return nil, err
	}
	if cfg.Gather > 0 {
		if err = afterTurns(l.poll, l.gather); err != nil {
			return l, err
		}
	}
	if err = l.watchMailbox(); err == nil {
		err = l.watchTimer()
	}
	return l, err
}

func (l *loop) watchMailbox() error {
	if err := l.box.open(l.cfg.Mailbox); err != nil {
		return fmt.Errorf("netserver: eventfd: %w", err)
	}
	return l.watch(l.box.event, l.onMailbox)
}

func (l *loop) watchTimer() error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("netserver: timerfd: %w", err)
	}
	l.timer = int32(fd)
	every := unix.NsecToTimespec(int64(l.cfg.tick))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		return fmt.Errorf("netserver: timerfd_settime: %w", err)
	}
	return l.watch(l.timer, l.onTimer)
}

// watch registers a descriptor of the loop itself, for its whole life.
func (l *loop) watch(fd int32, onRead func(netpoll.Poll) error) error {
	op := l.poll.Alloc()
	op.FD, op.OnRead = int(fd), onRead
	return op.Control(netpoll.PollReadable)
}

// run is the loop's goroutine; it ends after poll.Close.
func (l *loop) run() {
	if err := l.poll.Wait(); err != nil {
		l.log.Error("a loop's poller failed; its connections are lost until a restart", "loop", l.index, "error", err)
	}
}

// release closes the loop's own descriptors after run ended.
func (l *loop) release(yield func()) {
	l.box.close(yield)
	if l.timer >= 0 {
		sysClose(l.timer)
	}
	if l.listener != nil {
		sysClose(l.listener.fd)
	}
	l.publish()
}

// begin starts a turn.
func (l *loop) begin() { l.now = time.Now().UnixNano() }

// end finishes a turn: tells the handler who left, writes what was staged.
func (l *loop) end() {
	for len(l.leaving) > 0 || len(l.writer.staged) > 0 {
		l.tellLeaving()
		l.flush()
	}
	if l.departure != nil && l.live == 0 && !l.finished {
		l.finished = true
		close(l.drained)
	}
}

func (l *loop) tellLeaving() {
	for i := 0; i < len(l.leaving); i++ {
		c := l.leaving[i]
		c.opened = false
		l.handler.Closed(c, c.reason)
	}
	clear(l.leaving)
	l.leaving = l.leaving[:0]
}

func (l *loop) onMailbox(netpoll.Poll) error {
	l.begin()
	l.reapClosed()
	l.box.rest()
	l.deliverAll()
	l.runTasks()
	l.end()
	return nil
}

func (l *loop) runTasks() {
	tasks := l.box.takeTasks(l.tasks)
	if tasks == nil {
		return
	}
	for i := range tasks {
		l.runTask(&tasks[i])
	}
	clear(tasks)
	l.tasks = tasks
	l.box.released(0)
}

func (l *loop) runTask(t *task) {
	if t.run != nil {
		t.run()
	} else {
		l.adopt(t.peer)
	}
}

func (l *loop) onTimer(netpoll.Poll) error {
	var buf [8]byte
	if n, _ := sysRead(l.timer, buf[:]); n != 8 {
		return nil
	}
	l.begin()
	l.reapClosed()
	l.elapsed = min(l.elapsed+ticksOf(buf), maxBehind)
	if !l.visiting {
		l.visitDue()
	}
	if l.listener != nil {
		l.resumeAccepting()
	}
	if d := l.departure; d != nil && d.stuck {
		l.sendSome()
	}
	l.end()
	l.trim()
	l.publish()
	return nil
}

// maxBehind bounds the ticks that a loop makes up for. Time in which it stood still (a virtual machine that is moved, a process that is stopped, a
// processor that others have) is no silence of its peers: what they sent in it waits, and has to be read before they are judged.
const maxBehind = 4

// ticksOf reads a timerfd's count.
func ticksOf(b [8]byte) uint64 { return binary.NativeEndian.Uint64(b[:]) }

// growOperators allocates the operators for a new chunk of slots; the poller keeps them for ever. Made together they lie densely, and one by one among
// what is allocated for a moment when a connection is accepted.
func (l *loop) growOperators() {
	l.ops = make([]*netpoll.FDOperator, slotChunk)
	for i := range l.ops {
		l.ops[i] = l.poll.Alloc()
	}
}

// operator returns one that is not in use.
func (l *loop) operator() *netpoll.FDOperator {
	n := len(l.ops)
	if n == 0 {
		return l.poll.Alloc() // one that was used before
	}
	op := l.ops[n-1]
	if l.ops = l.ops[:n-1]; n == 1 {
		l.ops = nil
	}
	return op
}

// register gives a connection its operator. The hang-up callback runs on a goroutine of the poller's, after the operator was
// detached, and may be late: so it carries the id, not the connection.
func (l *loop) register(c *Conn) error {
	id := c.id
	op := l.operator()
	op.FD, op.OnRead = int(c.fd), c.onRead
	op.OnHup = func(netpoll.Poll) error {
		l.box.post(task{run: func() { l.onHup(id) }})
		return nil
	}
	c.op = op
	return op.Control(netpoll.PollReadable)
}

// onRead is the poller's callback for input. An event of the same batch may still come after the connection was closed.
func (c *Conn) onRead(netpoll.Poll) error {
	l := c.loop
	if c.state == stateClosed {
		return nil
	}
	l.begin()
	l.read(c)
	l.end()
	return nil
}

// onWrite is the poller's callback for room in the socket's buffer.
func (c *Conn) onWrite(netpoll.Poll) error {
	l := c.loop
	if c.state == stateClosed {
		return nil
	}
	l.begin()
	l.writeWaiting(c)
	l.end()
	return nil
}

// onHup reads what is left after the poller let go of a connection. If there is nothing and no end either, it was a false alarm: under
// the race detector netpoll finds operators by descriptor, and an old event hit the next user of the number.
func (l *loop) onHup(id frame.ConnID) {
	c := l.slots.at(id.Slot())
	if c.id != id || c.state == stateFree || c.state == stateClosed || c.half || c.paused {
		return
	}
	before := l.n.bytesIn
	if more := l.read(c); !more {
		return
	}
	if before == l.n.bytesIn {
		l.watchAgain(c)
	} else if !l.box.postOwn(task{run: func() { l.onHup(id) }}) {
		l.destroy(c, ReasonEOF)
	}
}

// watchAgain gives a connection that the poller let go of a new operator. In the mailbox's turn.
func (l *loop) watchAgain(c *Conn) {
	c.op.Free()
	if err := l.register(c); err != nil {
		l.destroy(c, ReasonReset)
		return
	}
	if c.out != nil {
		l.startPolling(c)
	}
}

// reapClosed gives the operators of closed connections back, and their slots. Never in a connection's own callback: the poller still
// uses the operator there and Free would spin.
func (l *loop) reapClosed() {
	for c := l.reap; c != nil; {
		next := c.next
		c.op.Free()
		l.slots.give(c)
		c = next
	}
	l.reap = nil
}

// closeConn stages a close frame and ends an open connection. What was staged and what waits is written before.
func (l *loop) closeConn(c *Conn, code uint16, text string, reason Reason) {
	if c.state != stateOpen {
		return
	}
	var body [ws.MaxControlFramePayloadSize]byte
	body[0], body[1] = byte(code>>8), byte(code)
	n := 2 + copy(body[2:], validPrefix(text, len(body)-2))
	l.stage(c, ws.OpClose, l.copied(body[:n]))
	l.leave(c, reason)
	l.enter(c, stateFlush)
}

// enter changes to a closing state and puts its deadline on the wheel.
func (l *loop) enter(c *Conn, s state) {
	c.state, c.since = s, l.wheel.now
	l.dropInput(c)
	l.wheel.hasten(c, l.dueOf(c))
}

// leave records why a connection ends: the first reason counts. The one place that counts reasons.
func (l *loop) leave(c *Conn, reason Reason) {
	if c.state == stateFlush || c.state == stateLinger {
		return
	}
	c.reason = reason
	l.n.closed[reason]++
	if c.state == stateOpen {
		l.shared.open.Add(-1)
		l.n.open--
	}
	if c.opened {
		l.leaving = append(l.leaving, c)
	}
}

// destroy closes the descriptor now. The slot is free once it is reaped.
func (l *loop) destroy(c *Conn, reason Reason) {
	if c.state == stateClosed {
		return
	}
	l.leave(c, reason)
	l.unpause(c)
	l.wheel.remove(c)
	l.dropInput(c)
	l.dropOutput(c)
	c.op.OnHup = nil // nobody needs to be told
	if err := c.op.Control(netpoll.PollDetach); err != nil && err != syscall.ENOENT {
		l.log.Warn("detaching a closed connection", "error", err)
	}
	sysClose(c.fd)
	l.forgetAddress(c)
	c.state = stateClosed
	c.next, l.reap = l.reap, c
	l.live--
}

func (l *loop) dropInput(c *Conn) {
	if c.in != nil {
		l.pool.putInput(c.in)
		c.in = nil
	}
}
