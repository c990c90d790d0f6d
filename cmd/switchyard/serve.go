package main

import (
	"context"
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

// Run serves until SIGTERM or SIGINT and returns nil after an orderly stop. A second signal ends the process at once.
func (c *serveCmd) Run(env *environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
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
	s, err := startServer(cfg, verifier, log)
	if err != nil {
		return err
	}
	if c.Dev {
		err = c.printDev(env, s, devKey)
	}
	if err == nil {
		<-ctx.Done()
	}
	stop()
	return errors.Join(err, s.stop())
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
func startServer(cfg *config.Config, verifier *auth.Verifier, log *slog.Logger) (*server, error) {
	s := newServer(cfg, log)
	begin := time.Now()
	for _, start := range []func() error{s.startAdmin, s.openStore, s.openNet, func() error { return s.startCenter(verifier) }} {
		if err := start(); err != nil {
			return nil, errors.Join(err, s.stop())
		}
	}
	s.serve()
	log.Info("ready", "address", s.net.Addr().String(), "admin", s.admin.Addr(), "loops", s.net.Loops(), "took", time.Since(begin))
	return s, nil
}
