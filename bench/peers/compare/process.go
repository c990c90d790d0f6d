package compare

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// How long a server may take to listen and to end; past the second it is killed.
const (
	startWithin = 10 * time.Second
	stopWithin  = 10 * time.Second
)

// process is a server that runs. Used by one goroutine.
type process struct {
	cmd    *exec.Cmd
	out    tail
	cancel context.CancelFunc
	ended  chan struct{} // closed when the process was waited for
}

// start runs a command and waits until it listens.
func start(ctx context.Context, command []string, address string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{cmd: exec.CommandContext(ctx, command[0], command[1:]...), cancel: cancel, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopWithin
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	go func() { // ends with the process
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ends is no measurement
	}()
	if err := p.listens(address); err != nil {
		p.stop()
		return nil, fmt.Errorf("%v: %w\nthe server said: %s", command, err, p.said())
	}
	return p, nil
}

// listens waits until the address takes a connection.
func (p *process) listens(address string) error {
	late := time.After(startWithin)
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("the server ended (is another process using the port?): %v", p.cmd.ProcessState)
		case <-late:
			return fmt.Errorf("the server does not listen: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) said() string { return p.out.String() }

// stop ends the process and waits for it.
func (p *process) stop() {
	p.cancel()
	<-p.ended
}

// tailSize is how much of a server's output is kept to explain a failure; what came before is dropped.
const tailSize = 4 << 10

// tail keeps the end of what is written to it. Safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  []byte // guarded by mu
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if extra := len(t.b) - tailSize; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(p), nil
}

// String is what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
