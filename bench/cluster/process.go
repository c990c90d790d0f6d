package cluster

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a member that runs on this machine, as a child, with the protocol on its standard input and output. It implements io.ReadWriteCloser.
type Process struct {
	io.Reader
	io.Writer
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout io.Closer
	errors *tail
	once   sync.Once
}

// endWithin is how long a process may take to end when its input has.
const endWithin = 5 * time.Second

// Start runs a command line that serves the protocol (Serve) on its standard input and output. The process is killed with this one.
func Start(command ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(command[0], command[1:]...), errors: &tail{}}
	p.cmd.Stderr = p.errors
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cluster: cannot run %q: %w", command, err)
	}
	p.Writer, p.stdin, p.Reader, p.stdout = stdin, stdin, stdout, stdout
	return p, nil
}

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Close ends the process and waits for it: by the end of its input, or by force if it takes too long.
func (p *Process) Close() error {
	p.once.Do(func() {
		_ = p.stdin.Close()
		force := time.AfterFunc(endWithin, func() { _ = p.cmd.Process.Kill() })
		defer force.Stop()
		_ = p.stdout.Close()
		_ = p.cmd.Wait() // how it ended does not matter any more
	})
	return nil
}

// tail keeps the last of what is written to it. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu; at most maxTail
}

// maxTail is how much of what a process says on its standard error is kept, in bytes.
const maxTail = 4096

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = append([]byte(nil), t.text[max(0, len(t.text)-maxTail):]...)
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
