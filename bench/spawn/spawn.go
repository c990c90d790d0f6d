// Package spawn runs the servers that a scenario starts by itself, because it kills them or needs many of them.
package spawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is one server process. Its methods are called by one goroutine.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process was waited for
}

// Start runs a command line by the shell, which becomes the command itself, so that signals reach it. Its output goes to out, its input stays
// open and empty until it ends; it is killed with this process. It has a process group of its own: a Ctrl-C at the terminal is for the run, whose clients need the
// server until what is under way has come.
func Start(command string, out io.Writer) (*Process, error) {
	cmd := exec.Command("/bin/sh", "-c", "exec "+command)
	cmd.Stdout, cmd.Stderr = out, out
	if _, err := cmd.StdinPipe(); err != nil { // Wait closes it
		return nil, fmt.Errorf("spawn: %w", err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("spawn: cannot run %q: %w", command, err)
	}
	p := &Process{cmd, make(chan struct{})}
	go func() { // ends with the process
		defer close(p.ended)
		_ = cmd.Wait() // how it ended its output tells
	}()
	return p, nil
}

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.ended }

// State is how the process ended and what it used; for after its end.
func (p *Process) State() *os.ProcessState {
	<-p.ended
	return p.cmd.ProcessState
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process with SIGKILL, which it cannot refuse, and waits for its end. It may have ended by itself.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	return nil
}

// End sends a signal and waits so long for the end of the process, which runs on if that does not come.
func (p *Process) End(ctx context.Context, sig os.Signal, within time.Duration) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("spawn: process %d has not ended within %s of the signal %q; its output tells more, and SIGKILL would end it: %w", p.PID(), within, sig, ctx.Err())
	}
}

// Signal sends a signal. It may have ended by itself.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("spawn: %w", err)
	}
	return nil
}

// Listening waits until somebody accepts connections at the address, as long as the process runs.
func (p *Process) Listening(ctx context.Context, address string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("spawn: the server ended before it listened on %s (%v); its output tells why", address, p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("spawn: nobody listens on %s within %s: %w", address, within, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
