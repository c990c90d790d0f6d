package main

import (
	"context"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/admin"
	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/cmd/switchyard/quiet"
	"github.com/switchyard-im/switchyard/netserver"
)

// echoStop is how long the connections of an echo server have to close.
const echoStop = 5 * time.Second

type echoCmd struct {
	Listen     config.Address `default:"127.0.0.1:8080" help:"IP:PORT; the paths / and /ws upgrade."`
	ReusePort  bool           `help:"Share the address with other echo servers that set this too."`
	Admin      config.Address `help:"IP:PORT for metrics and profiles; none by default."`
	Loops      int            `help:"Event loops; 0 is half of the processors."`
	MaxMessage config.Size    `default:"16MiB" help:"Bytes of one message; a larger one closes the connection with 1009."`
	PingAfter  time.Duration  `default:"30s" help:"Silence after which a client is pinged, at least 1s; after twice of it the connection is closed."`
}

// Run echoes until SIGTERM or SIGINT.
func (c *echoCmd) Run(env *environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := newLogger(env.stderr, "info", "auto", "echo")
	if _, err := raiseFileLimit(); err != nil {
		log.Warn("cannot raise the limit of open files", "error", err)
	}
	metrics := newRegistries("echo")
	if c.Admin != "" {
		side, err := c.startAdmin(metrics, log)
		if err != nil {
			return err
		}
		defer side.Close(ctx) // done by then: what is asked is cut off
		log = log.With("admin", side.Addr())
	}
	server, err := netserver.New(c.config(), netserver.Echo{}, log, metrics.parts)
	if err != nil {
		return err
	}
	go func() { // ends with Shutdown, which waits for it
		_ = server.Serve()
	}()
	go quiet.Run(ctx, quiet.Every) // ends with the signal
	log.Info("echo server ready", "address", server.Addr().String(), "loops", server.Loops())
	<-ctx.Done()
	stop() // a second signal ends the process at once
	ctx, cancel := context.WithTimeout(context.Background(), echoStop)
	defer cancel()
	return ignoreTimeout(server.Shutdown(ctx))
}

// startAdmin shows metrics and profiles; there is nothing to wait for until the server is ready.
func (c *echoCmd) startAdmin(m *registries, log *slog.Logger) (*admin.Server, error) {
	return admin.Start(admin.Config{
		Listen: c.Admin.AddrPort(), ServerID: "echo", Version: version, Gatherer: m.gatherer(), Log: log,
		Ready: func() admin.Readiness { return admin.Readiness{Ready: true} },
	})
}

// config takes any page's origin and large messages, since conformance suites send them.
func (c *echoCmd) config() netserver.Config {
	size := int(c.MaxMessage)
	return netserver.Config{
		Listen: c.Listen.AddrPort(), ReusePort: c.ReusePort, Loops: c.Loops, Raw: true, AllowedOrigins: []string{"*"},
		MaxMessage: size, MaxMerge: size, OutSoft: 4 * size, OutHard: 4 * size,
		PingAfter: c.PingAfter, CloseAfter: 2 * c.PingAfter,
		Limits: netserver.Limits{Held: max(1<<30, 2*64*size)}, // as the default, but with room for such a message in each of the most loops
	}
}
