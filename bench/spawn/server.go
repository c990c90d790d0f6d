package spawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/bench/observe"
)

// Server is a server at one address that a scenario starts, ends, and starts again. It is the observe.Source of all its processes together. Its methods
// are called by one goroutine, but for Read, which any may call.
type Server struct {
	Command string    // starts it, by the shell
	Address string    // HOST:PORT where it listens
	Log     io.Writer // gets its output; nil: nobody

	process *Process // the present one, or the last

	mu   sync.Mutex
	pid  int     // of the process that runs; 0: none does. Guarded by mu
	used float64 // CPU seconds of those that have ended. Guarded by mu
}

// listenWithin is how long a server may take to start.
const listenWithin = 30 * time.Second

// Start runs the server and returns when it listens. The address must be free: the clients of another server would not notice the end of this one.
func (s *Server) Start(ctx context.Context) error {
	if c, err := net.Dial("tcp", s.Address); err == nil {
		c.Close()
		return fmt.Errorf("a server listens on %s already: end it, or leave --serve out", s.Address)
	}
	p, err := Start(s.Command, s.Log)
	if err != nil {
		return err
	}
	s.began(p)
	if err := p.Listening(ctx, s.Address, listenWithin); err != nil {
		return errors.Join(err, s.Kill())
	}
	return nil
}

// Process is the present process, or the last; nil before the first Start.
func (s *Server) Process() *Process { return s.process }

// Kill ends the server with SIGKILL and returns when it is gone. It may have ended by itself.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	err := s.process.Kill()
	s.Ended()
	return err
}

// End ends the server with a signal, for which it has so long.
func (s *Server) End(ctx context.Context, sig os.Signal, within time.Duration) error {
	err := s.process.End(ctx, sig, within)
	s.Ended()
	return err
}

func (s *Server) began(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.pid = p, p.PID()
}

// Ended notes what the process used, if it has ended. For one that ended by itself.
func (s *Server) Ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid == 0 || !s.process.Ended() {
		return
	}
	state := s.process.State()
	s.used += (state.UserTime() + state.SystemTime()).Seconds()
	s.pid = 0
}

// Read implements observe.Source: the CPU of all processes so far, and the memory of the present one.
func (s *Server) Read(ctx context.Context) (observe.Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := observe.Usage{CPUSeconds: s.used}
	if s.pid == 0 {
		return total, nil
	}
	now, err := observe.New(s.pid, "").Read(ctx)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) { // it has ended just now: between two readings nothing may get less
		err = nil
		state := s.process.State()
		now = observe.Usage{CPUSeconds: (state.UserTime() + state.SystemTime()).Seconds()}
	}
	total.CPUSeconds += now.CPUSeconds
	total.RSSBytes = now.RSSBytes
	return total, err
}
