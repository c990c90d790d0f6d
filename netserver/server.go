package netserver

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/frame"
)

// Server is the loops, the listening socket and what leads to them. All methods may be called from any goroutine but a loop's.
type Server struct {
	// Fixed after construction.
	cfg       Config
	log       *slog.Logger
	loops     []*loop
	shared    *shared
	addr      netip.AddrPort
	reg       prometheus.Registerer
	collector *collector

	start sync.Once
	stop  sync.Once
	done  chan struct{} // closed when everything is released
	wg    sync.WaitGroup
}

// New binds the listening socket and opens the loops, so that Addr is known; connections wait in the backlog until Serve. Reg may
// be nil. The caller must call Shutdown in the end, whether or not it called Serve.
func New(cfg Config, h Handler, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: log, shared: newShared(), reg: reg, done: make(chan struct{})}
	if err := s.open(h); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *Server) open(h Handler) error {
	for i := range s.cfg.Loops {
		l, err := newLoop(&s.cfg, i, h, s.log, s.shared)
		if l != nil && l.poll != nil {
			s.loops = append(s.loops, l)
		}
		if err != nil {
			return err
		}
	}
	if err := s.listen(); err != nil {
		return err
	}
	s.collector = newCollector(s.loops)
	if s.reg == nil {
		return nil
	}
	if err := s.reg.Register(s.collector); err != nil {
		s.collector = nil
		return fmt.Errorf("netserver: registering metrics: %w", err)
	}
	return nil
}

func (s *Server) listen() error {
	fd, addr, err := s.openListener()
	if err != nil {
		return err
	}
	s.addr = addr
	if err := boundUnsent(fd, s.cfg.Unsent); err != nil {
		s.log.Warn("the kernel takes no TCP_NOTSENT_LOWAT; it may hold much for slow consumers, lower net.ipv4.tcp_wmem", "error", err)
	}
	if err := boundUnacknowledged(fd, s.cfg.UserTimeout); err != nil {
		s.log.Warn("the kernel takes no TCP_USER_TIMEOUT; peers that vanish are found by pings only", "error", err)
	}
	first := s.loops[0]
	first.listener = &listener{loop: first, loops: s.loops, fd: fd, rate: newAcceptRate(&s.cfg.Limits)}
	if err := first.listener.start(); err != nil {
		return fmt.Errorf("netserver: watching the listening socket: %w", err)
	}
	return nil
}

func (s *Server) openListener() (fd int32, addr netip.AddrPort, err error) {
	if s.cfg.Listener != 0 {
		return takeListener(s.cfg.Listener)
	}
	return listen(s.cfg.Listen, s.cfg.ReusePort)
}

// Addr is the address that the server listens on.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Loops is the number of event loops; their indexes count from 0.
func (s *Server) Loops() int { return len(s.loops) }

// Serve runs the loops and returns when Shutdown has finished.
func (s *Server) Serve() error {
	s.run()
	<-s.done
	return nil
}

// run starts each loop's goroutine. Poll.Close in release stops it, release waits for it.
func (s *Server) run() {
	s.start.Do(func() {
		for _, l := range s.loops {
			s.wg.Go(l.run)
		}
	})
}

// Deliver hands a parcel to a loop. It returns at once, or, when more than Config.Mailbox bytes wait for that loop, as soon as the
// loop has caught up; the loop waits for nobody, so that is certain to come. Parcels of one goroutine keep their order. The
// parcel's owner takes it back on the loop, or here if the server has stopped.
func (s *Server) Deliver(loop int, p *frame.Parcel) { s.loops[loop].box.put(p) }

// Post runs f on the connection's loop, if the connection is still open when its turn comes; f may use it until it returns. For rare
// work, such as the result of an authentication: it allocates. It waits as Deliver does, and the two keep their order if they come from
// one goroutine.
func (s *Server) Post(id frame.ConnID, f func(c *Conn)) {
	if n := id.Loop(); n < len(s.loops) {
		s.loops[n].box.put(newPosted(id, f))
	}
}

// Shutdown stops accepting, sends a drain frame and a close frame to every connection, and waits until all have closed or
// ctx is done, when it cuts the rest off. It returns ctx's error in that case, when everything is released. Deliver and Post do
// nothing afterwards.
func (s *Server) Shutdown(ctx context.Context) error {
	var err error
	s.stop.Do(func() {
		s.run()
		s.depart(departure{haste: true, window: s.cfg.DrainWindow})
		err = s.waitDrained(ctx)
		s.release()
	})
	<-s.done
	return err
}

func (s *Server) waitDrained(ctx context.Context) (err error) {
	for _, l := range s.loops {
		select {
		case <-l.drained:
			continue
		case <-ctx.Done():
			err = fmt.Errorf("netserver: not every connection was closed in time: %w", ctx.Err())
		}
		l.box.post(task{run: l.cutOff})
		<-l.drained
	}
	return err
}

// release ends the loops and gives everything back. The loops have no connections any more, or never ran.
func (s *Server) release() {
	s.run()
	for _, l := range s.loops {
		_ = l.poll.Close() // a write to the poller's eventfd
	}
	s.wg.Wait()
	for _, l := range s.loops {
		l.release(runtime.Gosched)
	}
	if s.collector != nil && s.reg != nil {
		s.reg.Unregister(s.collector)
	}
	close(s.done)
}

// cutOff closes what is left of the loop's connections.
func (l *loop) cutOff() {
	l.slots.each(func(c *Conn) {
		l.destroy(c, ReasonShutdown)
	})
}
