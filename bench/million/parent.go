package million

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// What a worker is told, a byte each on its standard input; at the input's end it exits.
const (
	orderOpen = 'o'
	orderStop = 's' // open no more
)

// What a worker says, a line each: how many connections are open, that it opens no more, or why it cannot go on.
const (
	sayDone  = "done"
	sayError = "error "
)

// worker is one process of the generator, as the parent sees it.
type worker struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	told  bool // to open; owned by the goroutine of Run
	want  int
	read  chan struct{} // closed when the output has ended

	open     atomic.Int64 // what follows is written by the goroutine that reads the worker's output
	running  atomic.Bool
	finished atomic.Bool
	failed   atomic.Pointer[string]
}

func startWorker(command string, want int) (*worker, error) {
	w := &worker{cmd: exec.Command("/bin/sh", "-c", "exec "+command), want: want, read: make(chan struct{})}
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot run %q: %w", command, err)
	}
	go w.follow(out) // ends with the process, which end waits for
	return w, nil
}

// follow reads what the worker says.
func (w *worker) follow(out io.Reader) {
	defer close(w.read)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		text := lines.Text()
		if n, err := strconv.Atoi(text); err == nil {
			w.open.Store(int64(n))
			w.running.Store(true)
		} else if text == sayDone {
			w.finished.Store(true)
		} else if why, ok := strings.CutPrefix(text, sayError); ok {
			w.failed.CompareAndSwap(nil, &why)
		}
	}
	why := "it ended by itself"
	w.failed.CompareAndSwap(nil, &why)
}

// order tells the worker something. An error shows as the end of its output.
func (w *worker) order(b byte) {
	w.told = true
	_, _ = w.stdin.Write([]byte{b})
}

func (w *worker) done() bool { return w.finished.Load() || int(w.open.Load()) >= w.want }

func (w *worker) failure() error {
	if why := w.failed.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// await waits until the worker runs.
func (w *worker) await(ctx context.Context, within time.Duration) error {
	for end := time.Now().Add(within); !w.running.Load(); {
		if err := w.failure(); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("a process of the generator did not start within %s", within)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// end ends all processes and waits for them.
func (r *run) end() error {
	var errs error
	for _, w := range r.workers {
		_ = w.cmd.Process.Kill()
	}
	for _, w := range r.workers {
		<-w.read
		_ = w.cmd.Wait() // tells only that it was killed
	}
	for _, p := range r.servers {
		errs = errors.Join(errs, p.Kill(syscall.SIGKILL))
	}
	return errs
}
