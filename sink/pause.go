package sink

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pause is a sleep of less than a millisecond that another goroutine can cut short. Go's own timers are late by up to a millisecond
// when nothing else runs, because the runtime then waits in epoll_wait, which counts milliseconds; a timerfd wakes it to
// the microsecond. One goroutine waits; any may wake it.
type pause struct {
	file *os.File // a timerfd, non-blocking, so that a read parks the goroutine and not a thread
	raw  syscall.RawConn
}

func newPause() (*pause, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("sink: cannot make a timer: %w: raise the limit of open files", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &pause{file: file, raw: raw}, nil
}

// wait sleeps for d, or until wake, and not at all if stop, which is asked once the pause can be woken, says so.
func (p *pause) wait(d time.Duration, stop func() bool) {
	p.arm(d)
	if stop() {
		return
	}
	var expirations [8]byte
	_, _ = p.file.Read(expirations[:]) // fails only after close, and then there is nothing to wait for
}

// wake ends a wait that has asked stop; one that has not is ended by stop.
func (p *pause) wake() { p.arm(1) }

func (p *pause) arm(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))}
	_ = p.raw.Control(func(fd uintptr) { // fails only after close
		_ = unix.TimerfdSettime(int(fd), 0, &spec, nil) // the arguments are valid
	})
}

func (p *pause) close() error { return p.file.Close() }
