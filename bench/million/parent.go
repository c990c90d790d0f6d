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
	orderOpen  = 'o' // open, or go on after a pause
	orderPause = 'p' // dial no more for now
	orderStop  = 's' // dial no more
	orderCount = 'c' // say how many pings were answered
)

// What a worker says, a line each: how many connections are open; how many pings it answered; that it has stopped, with no dial under way; that the
// kernel had no memory for a connection, after which it pauses; or why it cannot go on.
const (
	sayPings   = "pings "
	sayStopped = "stopped"
	sayLack    = "lack "
	sayError   = "error "
)

// worker is one process of the generator, as the parent sees it.
type worker struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	told  bool  // to open; owned by the goroutine of Run
	asked int64 // how often for the pings; owned by the goroutine of Run
	want  int
	read  chan struct{} // closed when the output has ended

	open    atomic.Int64 // what follows is written by the goroutine that reads the worker's output
	pings   atomic.Int64
	answers atomic.Int64 // to the question for the pings
	running atomic.Bool
	stopped atomic.Bool
	lack    atomic.Pointer[string] // taken by the goroutine of Run
	failed  atomic.Pointer[string]
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
		} else if text == sayStopped {
			w.stopped.Store(true)
		} else if pings, ok := strings.CutPrefix(text, sayPings); ok {
			n, _ := strconv.ParseInt(pings, 10, 64)
			w.pings.Store(n)
			w.answers.Add(1)
		} else if why, ok := strings.CutPrefix(text, sayLack); ok {
			w.lack.Store(&why)
		} else if why, ok := strings.CutPrefix(text, sayError); ok {
			w.failed.CompareAndSwap(nil, &why)
		}
	}
	why := "it ended by itself"
	w.failed.CompareAndSwap(nil, &why)
}

// order tells the worker something. An error shows as the end of its output.
func (w *worker) order(b byte) {
	w.told = w.told || b == orderOpen
	_, _ = w.stdin.Write([]byte{b})
}

func (w *worker) done() bool { return w.stopped.Load() || int(w.open.Load()) >= w.want }

func (w *worker) failure() error {
	if why := w.failed.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// await waits until the worker runs.
func (w *worker) await(ctx context.Context, within time.Duration) error {
	return w.until(ctx, within, "start", w.running.Load)
}

// askPings asks how many pings the worker answered so far; awaitPings waits for the answer.
func (w *worker) askPings() {
	w.asked++
	w.order(orderCount)
}

func (w *worker) awaitPings(ctx context.Context) error {
	return w.until(ctx, answerWithin, "answer", func() bool { return w.answers.Load() >= w.asked })
}

// answerWithin is how long a worker may take to answer: it shares few processors with a hundred others.
const answerWithin = 30 * time.Second

func (w *worker) until(ctx context.Context, within time.Duration, what string, done func() bool) error {
	for end := time.Now().Add(within); !done(); {
		if err := w.failure(); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("a process of the generator did not %s within %s", what, within)
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
		errs = errors.Join(errs, p.Kill())
	}
	return errs
}
