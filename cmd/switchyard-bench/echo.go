package main

import (
	"context"
	"errors"
	"time"

	"github.com/switchyard-im/switchyard/bench/echo"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/schedule"
)

type echoCommand struct {
	URL      string        `required:"" help:"The echo server, ws://HOST:PORT/PATH."`
	Conns    int           `default:"100" help:"Connections."`
	Active   int           `help:"Connections that send; 0 is all."`
	Rate     schedule.Rate `default:"0" help:"Messages per second over all connections, open loop: latency counts from when a message was due. A ramp is AT:RATE,..., as in 0s:100,30s:1000, from the beginning of the warm-up. 0: closed loop." placeholder:"RATE"`
	Inflight int           `default:"0" help:"Messages in flight on each active connection; in the open loop at most. 0: 1 in the closed loop, 256 in the open."`
	Burst    bool          `help:"Send the messages in flight in one write, when all before are answered, and not each as soon as there is room."`
	Size     int           `default:"128" help:"Bytes of a message."`
	Warmup   time.Duration `default:"1s" help:"Time before the measured window."`
	Duration time.Duration `default:"10s" help:"The measured window."`
	Wait     time.Duration `default:"10s" help:"How long to wait at the end for what is under way."`
	Threads  int           `default:"1" help:"Event loops of the generator."`
	outputFlags
	serverFlags
	shareFlags
}

func (c *echoCommand) kind() kind            { return kindOf[echo.Report]() }
func (c *echoCommand) troubles() *chaosFlags { return &chaosFlags{} }
func (c *echoCommand) keyFile() *string      { return nil }
func (c *echoCommand) address() string       { return c.URL }

// config is what the flags say.
func (c *echoCommand) config() echo.Config {
	return echo.Config{
		URL: c.URL, Conns: c.Conns, Active: c.Active, Rate: c.Rate, Inflight: c.Inflight, Burst: c.Burst, Size: c.Size, Warmup: c.Warmup,
		Duration: c.Duration, Drain: c.Wait, Threads: c.Threads,
	}
}

// Validate is called by kong, also for a load that begins much later.
func (c *echoCommand) Validate() error {
	return errors.Join(notZero("conns", c.Conns, "size", c.Size, "threads", c.Threads),
		notZero("duration", c.Duration, "wait", c.Wait), c.config().Check())
}

// Run is called by kong.
func (c *echoCommand) Run(ctx context.Context, t *terminal) error {
	return measure(ctx, t, &c.outputFlags, c.watched(), func(rec *recording) (*echo.Report, error) {
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Conns: rec.own(c.Conns), Server: c.source()}); err != nil {
			return nil, err
		}
		cfg := c.config()
		cfg.Server, cfg.Watch = c.source(), rec.sample
		cfg.Part, cfg.Of, cfg.Gate = rec.part, rec.of, rec.gate
		return echo.Run(ctx, cfg)
	})
}
