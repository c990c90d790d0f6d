package fanout

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// wireBytes is the size of a delivery: a message frame as the server writes it, in a WebSocket frame of its own.
func (r *run) wireBytes() (size int) {
	r.onLoop(func() {
		tag := oracle.Tag{Run: r.scene.Run}
		m := frame.Message{Conv: frame.ID{1}, Seq: 1000, Prev: 999, TimeMS: uint64(time.Now().UnixMilli()), Sender: []byte(r.scene.Agent(0)), ID: tag.ID(),
			Body: oracle.AppendBody(nil, &tag, r.cfg.Size)}
		n := len(m.Append(nil))
		size = n + ws.HeaderSize(ws.Header{Length: int64(n)})
	})
	return size
}

// bare is a server that does nothing but write: its sockets are served by the goroutine that calls run.
type bare struct {
	owner *run
	fds   []int
	bytes []byte // one WebSocket frame
	heard int    // owned by the loop: readers that have the present message
}

// openBare connects as many readers to a listener of this process, one after the other.
func (r *run) openBare(ctx context.Context, wireBytes int) (*bare, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	b := &bare{owner: r, bytes: bareFrame(wireBytes)}
	accepted := make(chan error, 1)
	go func() { // ends when all are accepted, or when the listener is closed
		accepted <- b.accept(listener.(*net.TCPListener), r.cfg.Listeners)
	}()
	target, err := client.ParseTarget("ws://"+listener.Addr().String()+"/", "")
	if err != nil {
		return nil, err
	}
	r.onLoop(func() {
		for i := range r.cfg.Listeners {
			reader := &reader{bare: b}
			reader.conn = r.scene.Fleet.Loops[0].NewConn(target, target.SourceFor(i, 4000), reader)
			reader.conn.Dial()
		}
	})
	var done bool
	if done, err = r.scene.Until(ctx, "opening the sockets of the bare writes", r.cfg.OpenWithin, func() bool { return len(accepted) > 0 }); err == nil && !done {
		err = fmt.Errorf("the %d sockets of the bare writes were not open within %s", r.cfg.Listeners, r.cfg.OpenWithin)
	}
	_ = listener.Close()
	if err2 := <-accepted; err == nil {
		err = err2
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// bareFrame is a binary WebSocket frame of so many bytes, its header included.
func bareFrame(size int) []byte {
	for n := size; ; n-- {
		if h := ws.HeaderSize(ws.Header{Length: int64(n)}); h+n <= size {
			var b bytes.Buffer
			ws.MustWriteFrame(&b, ws.NewBinaryFrame(make([]byte, n)))
			return b.Bytes()
		}
	}
}

// accept takes n connections, upgrades them and keeps a descriptor of each that the runtime's poller does not know.
func (b *bare) accept(l *net.TCPListener, n int) error {
	for range n {
		c, err := l.AcceptTCP()
		if err != nil {
			return err
		}
		if _, err = ws.Upgrade(c); err != nil {
			c.Close()
			return fmt.Errorf("upgrade of a bare socket: %w", err)
		}
		fd, err := detach(c)
		if err != nil {
			return err
		}
		b.fds = append(b.fds, fd)
	}
	return nil
}

// detach returns a descriptor of the connection and closes the connection itself.
func detach(c *net.TCPConn) (fd int, err error) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	if err2 := raw.Control(func(p uintptr) { fd, err = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); err2 != nil {
		return -1, err2
	}
	return fd, err
}

func (b *bare) close() {
	for _, fd := range b.fds {
		_ = unix.Close(fd)
	}
}

// run writes to everybody, waits until everybody has read, and so on for d. It returns the CPU of the writes, in seconds, and their number.
func (b *bare) run(ctx context.Context, d time.Duration) (cpu float64, writes int64, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for end := time.Now().Add(d); time.Now().Before(end); {
		before := threadCPU()
		for _, fd := range b.fds {
			if err := writeAll(fd, b.bytes); err != nil {
				return 0, 0, fmt.Errorf("a bare write: %w", err)
			}
		}
		cpu += float64(threadCPU()-before) / 1e9
		writes += int64(len(b.fds))
		select {
		case <-b.owner.arrived:
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(10 * time.Second):
			return 0, 0, fmt.Errorf("%d bare writes did not arrive within 10 s", len(b.fds))
		}
	}
	return cpu, writes, nil
}

// writeAll writes with one system call that never blocks: the reader has taken all that came before.
func writeAll(fd int, p []byte) error {
	n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return errno
	}
	if int(n) != len(p) {
		return fmt.Errorf("the kernel took %d of %d bytes", n, len(p))
	}
	return nil
}

// threadCPU is what the calling thread has used, in nanoseconds.
func threadCPU() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic("BUG: fanout: no clock of the thread: " + err.Error())
	}
	return t.Nano()
}

// reader is one client of the bare server.
type reader struct {
	bare *bare
	conn *client.Conn
}

// Opened implements client.Handler.
func (*reader) Opened() {}

// Flush implements client.Handler.
func (*reader) Flush() {}

// Message implements client.Handler.
func (r *reader) Message(ws.OpCode, []byte) {
	if r.bare.heard++; r.bare.heard == r.bare.owner.cfg.Listeners {
		r.bare.heard = 0
		r.bare.owner.arrived <- struct{}{}
	}
}

// Closed implements client.Handler. The sockets are closed only at the end of the run.
func (r *reader) Closed(err error) {
	r.bare.owner.scene.Fail(fmt.Errorf("a bare socket: %w", err))
}
