package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/admin"
	"github.com/switchyard-im/switchyard/cmd/switchyard/api"
	"github.com/switchyard-im/switchyard/cmd/switchyard/apikeys"
	"github.com/switchyard-im/switchyard/cmd/switchyard/canned"
	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/cmd/switchyard/memory"
	"github.com/switchyard-im/switchyard/cmd/switchyard/quiet"
	"github.com/switchyard-im/switchyard/cmd/switchyard/routing"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/netserver"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
)

// phase is where the server is between start and end; /readyz shows it.
type phase int32

const (
	starting phase = iota // recovering, connections are not taken
	serving
	draining // not ready, and after a while no new connections; the clients leave one by one
	stopping // everything is closed
)

var phaseNames = [...]string{starting: "starting", serving: "ok", draining: "draining", stopping: "stopping"}

// server is the parts of a running server. It is built and stopped by one goroutine; ready and vars are called by admin's.
type server struct {
	cfg     *config.Config // fixed after construction
	log     *slog.Logger
	metrics *registries
	given   sockets // to listen on

	phase    atomic.Int32                  // of type phase
	store    atomic.Pointer[sink.Store]    // nil until it is open; atomic, because admin looks at it during the start
	history  atomic.Pointer[shipping]      // nil without ClickHouse, and until it is opened; atomic for the same reason
	notify   atomic.Pointer[notifying]     // nil until the store is open
	upgrades atomic.Pointer[failedUpgrade] // the last that did not take place, or nil; atomic, because admin shows it

	admin   *admin.Server     // the rest is nil until its start
	net     *netserver.Server //
	handler *handler
	center  *dispatch.Center
	api     *api.Server // nil too if it is off

	erasing erasing // what erasures are under way

	cancel  context.CancelFunc // ends the goroutines below
	running sync.WaitGroup     // percentiles, loops
}

func newServer(cfg *config.Config, given sockets, log *slog.Logger) *server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{cfg: cfg, log: log, given: given, metrics: newRegistries(cfg.Server.ID), cancel: cancel}
	s.running.Go(func() { s.metrics.latency.Run(ctx) })
	s.running.Go(func() { quiet.Run(ctx, quiet.Every) })
	return s
}

func (s *server) startAdmin() (err error) {
	s.admin, err = admin.Start(admin.Config{
		Listen: s.cfg.Admin.Listen.AddrPort(), Listener: s.given.admin, ServerID: s.cfg.Server.ID, Version: version,
		Gatherer: s.metrics.gatherer(), Ready: s.ready, Vars: s.vars, Replay: s.replay, Log: s.log,
		Actions: map[string]admin.Action{erasePath: s.erase},
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

// startHistory does not wait for ClickHouse, which may be away.
func (s *server) startHistory() error {
	if len(s.cfg.History.Clickhouse) == 0 {
		return nil
	}
	h, err := startShipping(s.cfg, s.store.Load(), s.log, s.metrics.parts)
	if err == nil {
		s.history.Store(h)
	}
	return err
}

// startNotifying follows the store and comes before the center, whose messages it tells of.
func (s *server) startNotifying() error {
	n, err := startNotifying(s.cfg, s.store.Load(), s.log, s.metrics.parts)
	if err == nil {
		s.notify.Store(n)
	}
	return err
}

// reads is the store, with the history behind it, or nothing: then what the store has let go of is gone, and a reader who needs it is told. Of so many
// goroutines that read, at most half wait for the history.
func (s *server) reads(goroutines int) store {
	st := store{Store: s.store.Load(), events: s.notify.Load().events}
	var cold history.Cold = history.Nowhere{}
	if h := s.history.Load(); h != nil {
		cold = h.client
	}
	st.tiers = history.NewReader(st.Store, cold, max(1, goroutines/2), time.Duration(s.cfg.History.QueryTimeout))
	return st
}

func (s *server) openNet() (err error) {
	s.handler = &handler{log: s.log, retry: time.Duration(s.cfg.Conversations.RetryAfter)}
	c := netserverConfig(s.cfg)
	c.Listener = s.given.clients
	s.net, err = netserver.New(c, s.handler, s.log, s.metrics.parts)
	return err
}

func (s *server) startCenter(verifier *auth.Verifier) (err error) {
	limit, err := memory.Set(int64(s.cfg.Overload.MemoryLimit))
	if err != nil {
		return err
	}
	s.log.Info("memory limit", "bytes", limit.Bytes, "from", limit.From)
	c := dispatchConfig(s.cfg, s.net.Loops())
	groups, err := routing.Load(s.cfg.Routing.File)
	if err != nil {
		return err
	}
	groups.Put(&c)
	c.Memory = memory.NewGauge(limit).Used
	c.Escalation = s.notify.Load().escalation
	st := s.reads(s.cfg.Pools.Reads.Workers)
	s.center, err = dispatch.New(c, st, conns{s.net}, verifier, s.log, s.metrics.parts)
	if err != nil {
		return err
	}
	s.notify.Load().missing.serve(s.center, st)
	s.handler.gate, s.handler.trace = s.center.Gate(), s.center.SessionID
	return s.center.Start()
}

// startAPI follows the center, which has checked the store's records.
func (s *server) startAPI(verifier *auth.Verifier) (err error) {
	c, on := apiConfig(s.cfg)
	if c.Canned, err = canned.Load(s.cfg.API.Canned); err != nil || !on {
		return err
	}
	c.Listener, c.Verifier, c.Store, c.Log = s.given.api, verifier, s.reads(s.cfg.API.Requests), s.log
	if c.Keys, err = apikeys.Load(s.cfg.API.Keys); err != nil {
		return err
	}
	c.Queries, c.Center, c.Registerer = s.queries(), s.center, s.metrics.parts
	s.api, err = api.Start(c)
	return err
}

// queries is ClickHouse, or without it the store.
func (s *server) queries() history.Queries {
	if h := s.history.Load(); h != nil {
		return h.client
	}
	st := store{Store: s.store.Load()}
	group := func(conv frame.ID) (string, error) {
		state, tail, _, err := st.LoadConversation(conv, 1)
		if err != nil {
			return "", err
		}
		access, err := core.DecodeAccess(conv, state, tail)
		if err != nil {
			return "", err
		}
		return access.Group(), nil
	}
	return history.NewEmbedded(st, group, time.Duration(s.cfg.API.Timeout)*3/4)
}

// apiAddr is where applications connect, or "off".
func (s *server) apiAddr() string {
	if s.api == nil {
		return string(s.cfg.API.Listen)
	}
	return s.api.Addr()
}

// serve takes connections from now on.
func (s *server) serve() {
	s.phase.Store(int32(serving))
	s.running.Go(func() { _ = s.net.Serve() }) // until Shutdown
}

// warnAddresses tells if a socket that was handed over is not the one of the configuration.
func (s *server) warnAddresses() {
	warn := func(option string, given int, listens string, configured config.Address) {
		if given != 0 && listens != configured.AddrPort() && !strings.HasSuffix(string(configured), ":0") {
			s.log.Warn("the listening socket was handed over, so the configured address has no effect",
				"option", option, "configured", string(configured), "address", listens, "remedy", "after a change of the address stop and start, or change the systemd socket")
		}
	}
	warn("server.listen", s.given.clients, s.net.Addr().String(), s.cfg.Server.Listen)
	warn("admin.listen", s.given.admin, s.admin.Addr(), s.cfg.Admin.Listen)
	if s.api != nil {
		warn("api.listen", s.given.api, s.api.Addr(), config.Address(s.cfg.API.Listen))
	}
}

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
	if h := s.history.Load(); h != nil {
		checks["history"] = h.check() // and ready all the same: messages do not wait for it
	}
	if n := s.notify.Load(); n != nil {
		checks["notify"] = n.check() // and ready all the same
	}
	return admin.Readiness{Ready: p == serving && available, Checks: checks}
}

// vars adds what the start found to /varz.
func (s *server) vars() map[string]any {
	v := map[string]any{"phase": phaseNames[s.phase.Load()]}
	if u := s.upgrades.Load(); u != nil {
		v["upgrade_failed"] = map[string]any{"at": u.at.UTC().Format(time.RFC3339Nano), "error": u.err.Error()}
	}
	if h := s.history.Load(); h != nil {
		v["history"] = h.vars()
	}
	if n := s.notify.Load(); n != nil {
		v["notify"] = n.vars()
	}
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
// committed, store closed. A connection that does not leave within patience is cut off, which is no error: it loses nothing.
func (s *server) stop(patience config.Duration) error {
	s.phase.Store(int32(stopping))
	s.log.Info("stopping", "patience", patience.String())
	begin := time.Now()
	s.erasing.stop()
	if n := s.notify.Load(); n != nil {
		n.cancel() // what is being sent has the time that the clients have
	}
	err := s.stopNet(time.Duration(patience))
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.api != nil {
		s.api.Close(ctx)
	}
	if s.center != nil {
		err = errors.Join(err, s.center.Close(ctx))
	}
	if h := s.history.Load(); h != nil {
		err = errors.Join(err, h.stop())
	}
	if n := s.notify.Load(); n != nil {
		<-n.done
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

// replay sends the dead letters of notifications again.
func (s *server) replay(ctx context.Context) (map[string]any, error) {
	n := s.notify.Load()
	if n == nil {
		return nil, errors.New("the server is starting; try again")
	}
	return n.replay(ctx)
}

func (s *server) stopNet(patience time.Duration) error {
	if s.net == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
