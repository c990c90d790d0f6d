package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch/auth"
)

// closeTimeout bounds what comes after the drain: the last commits, the marks, the store. The systemd unit allows for both.
const closeTimeout = 10 * time.Second

type serveCmd struct {
	configFlags `embed:""`
}

// Run serves until a signal ends it (see lifecycle) and returns nil after an orderly stop. A second signal to stop ends the process at once.
func (c *serveCmd) Run(env *environment) error {
	signals := notify()
	defer signal.Stop(signals)
	given, rest, err := takeSockets(env.env)
	if err != nil {
		return err
	}
	env.env = rest
	loaded, err := c.load(env)
	if err != nil {
		return err
	}
	cfg := &loaded.Config
	if cfg.Server.ID, err = serverID(cfg.Server.ID); err != nil {
		return err
	}
	log := newLogger(env.stderr, cfg.Log.Level, cfg.Log.Format, cfg.Server.ID)
	preflight(cfg, c.Dev, log)
	verifier, devKey, err := newVerifier(cfg, c.Dev, log)
	if err != nil {
		return err
	}
	s, err := startServer(cfg, given, verifier, log)
	if err != nil {
		return err
	}
	if c.Dev {
		err = c.printDev(env, s, devKey)
	}
	if err != nil {
		return errors.Join(err, s.stop(cfg.Server.DrainTimeout))
	}
	next := &replacement{args: env.args, env: env.env}
	life := &lifecycle{server: s, signals: signals, check: next.check}
	if upgrade := life.run(); upgrade {
		return s.upgrade(next, signals)
	}
	signal.Reset(signalStop, syscall.SIGINT)
	return s.stop(cfg.Server.DrainTimeout)
}

// upgrade stops quickly and becomes the new binary. Who connects in the meantime waits in the backlog. A signal to stop that comes meanwhile turns
// it into a stop.
func (s *server) upgrade(next *replacement, signals <-chan os.Signal) error {
	kept, err := s.keepSockets()
	if err != nil {
		return errors.Join(err, s.stop(s.cfg.Server.DrainTimeout))
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop(s.cfg.Server.UpgradeTimeout) }() // awaited in the next line
	if err, asked := awaitStop(stopped, signals, s.log); asked {
		return err
	} else if err != nil {
		s.log.Error("upgrading although not everything was closed; the store recovers", "error", err)
	}
	return next.execute(kept)
}

func (c *serveCmd) printDev(env *environment, s *server, key auth.Key) error {
	return printDev(env.stdout, key, s.net.Addr().String(), s.admin.Addr(), s.cfg.Store.Dir, time.Now())
}

// serverID is the configured name or the host's.
func serverID(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("the host has no name: %w; set server.id", err)
	}
	return host, nil
}

// startServer brings up the parts in their order: admin first, so that a long recovery can be watched; the store; the sockets;
// the message center; then connections are taken. If one fails, those before it are stopped.
func startServer(cfg *config.Config, given sockets, verifier *auth.Verifier, log *slog.Logger) (*server, error) {
	s := newServer(cfg, given, log)
	begin := time.Now()
	for _, start := range []func() error{s.startAdmin, s.openStore, s.startHistory, s.startNotifying, s.openNet, func() error { return s.startCenter(verifier) }, func() error { return s.startAPI(verifier) }} {
		if err := start(); err != nil {
			return nil, errors.Join(err, s.stop(cfg.Server.DrainTimeout))
		}
	}
	s.serve()
	s.warnAddresses()
	log.Info("ready", "address", s.net.Addr().String(), "admin", s.admin.Addr(), "api", s.apiAddr(), "loops", s.net.Loops(), "took", time.Since(begin))
	return s, nil
}
