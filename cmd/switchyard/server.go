package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/admin"
	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/cmd/switchyard/quiet"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/netserver"
	"github.com/switchyard-im/switchyard/sink"
)

// phase is where the server is between start and end; /readyz shows it.
type phase int32

const (
	starting phase = iota // recovering, connections are not taken
	serving
	draining // SIGTERM came
)

var phaseNames = [...]string{starting: "starting", serving: "ok", draining: "draining"}

// server is the parts of a running server. It is built and stopped by one goroutine; ready and vars are called by admin's.
type server struct {
	cfg     *config.Config // fixed after construction
	log     *slog.Logger
	metrics *registries

	phase atomic.Int32               // of type phase
	store atomic.Pointer[sink.Store] // nil until it is open; atomic, because admin looks at it during the start

	admin   *admin.Server     // the rest is nil until its start
	net     *netserver.Server //
	handler *handler
	center  *dispatch.Center

	cancel  context.CancelFunc // ends the goroutines below
	running sync.WaitGroup     // percentiles, loops
}

func newServer(cfg *config.Config, log *slog.Logger) *server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{cfg: cfg, log: log, metrics: newRegistries(cfg.Server.ID), cancel: cancel}
	s.running.Go(func() { s.metrics.latency.Run(ctx) })
	s.running.Go(func() { quiet.Run(ctx, quiet.Every) })
	return s
}

func (s *server) startAdmin() (err error) {
	s.admin, err = admin.Start(admin.Config{
		Listen: s.cfg.Admin.Listen.AddrPort(), ServerID: s.cfg.Server.ID, Version: version,
		Gatherer: s.metrics.gatherer(), Ready: s.ready, Vars: s.vars, Log: s.log,
	})
	return err
}

func (s *server) openStore() error {
	st, err := sink.Open(sinkConfig(s.cfg, s.log, s.metrics.parts))
	if err == nil {
		s.store.Store(st)
	}
	return err
}

func (s *server) openNet() (err error) {
	s.handler = &handler{log: s.log, admit: s.admits, retry: time.Duration(s.cfg.Conversations.RetryAfter)}
	s.net, err = netserver.New(netserverConfig(s.cfg), s.handler, s.log, s.metrics.parts)
	return err
}

func (s *server) startCenter(verifier *auth.Verifier) (err error) {
	c := dispatchConfig(s.cfg, s.net.Loops())
	s.center, err = dispatch.New(c, store{s.store.Load()}, conns{s.net}, verifier, s.log, s.metrics.parts)
	if err != nil {
		return err
	}
	s.handler.gate, s.handler.trace = s.center.Gate(), s.center.SessionID
	return s.center.Start()
}

// serve takes connections from now on.
func (s *server) serve() {
	s.running.Go(func() { _ = s.net.Serve() }) // until Shutdown
	s.phase.Store(int32(serving))
}

// admits tells whether a new connection could be served. It is called on the loops. Who connected in the last moment before a drain is let
// in, and told to go elsewhere as all are.
func (s *server) admits() bool { return phase(s.phase.Load()) != starting }

// ready tells a load balancer whether to send clients here.
func (s *server) ready() admin.Readiness {
	p := phase(s.phase.Load())
	st := s.store.Load()
	available := st != nil && st.Available()
	checks := map[string]string{"server": phaseNames[p], "store": "ok"}
	if st == nil {
		checks["store"] = "recovering"
	} else if !available {
		checks["store"] = "unavailable: the disk is full or failed, see the log; sends are refused until it recovers"
	}
	return admin.Readiness{Ready: p == serving && available, Checks: checks}
}

// vars adds what the start found to /varz.
func (s *server) vars() map[string]any {
	v := map[string]any{"phase": phaseNames[s.phase.Load()]}
	if st := s.store.Load(); st != nil {
		r := st.Recovery()
		v["recovery"] = map[string]any{
			"seconds": r.Duration.Seconds(), "messages": r.Messages, "conversations": r.Conversations,
			"journal_bytes": r.LogBytes, "torn_bytes": r.TornBytes,
		}
	}
	return v
}

// stop ends the parts that were started, in the reverse of their order: not ready, connections drained, what they sent
// committed, store closed. A connection that does not leave in time is cut off, which is no error: it loses nothing.
func (s *server) stop() error {
	s.phase.Store(int32(draining))
	s.log.Info("stopping", "drain_timeout", s.cfg.Server.DrainTimeout.String())
	begin := time.Now()
	err := s.stopNet()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.center != nil {
		err = errors.Join(err, s.center.Close(ctx))
	}
	if st := s.store.Load(); st != nil {
		err = errors.Join(err, st.Close(ctx))
	}
	s.cancel()
	s.running.Wait()
	s.log.Info("stopped", "took", time.Since(begin))
	if s.admin != nil {
		s.admin.Close(ctx)
	}
	return err
}

func (s *server) stopNet() error {
	if s.net == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.cfg.Server.DrainTimeout))
	defer cancel()
	return ignoreTimeout(s.net.Shutdown(ctx))
}

// ignoreTimeout passes on every error but that of a drain that took too long.
func ignoreTimeout(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
