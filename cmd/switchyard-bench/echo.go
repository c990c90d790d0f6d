package main

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/bench/echo"
	"github.com/switchyard-im/switchyard/bench/preflight"
)

type echoCommand struct {
	URL      string        `required:"" help:"The echo server, ws://HOST:PORT/PATH."`
	Conns    int           `default:"100" help:"Connections."`
	Active   int           `help:"Connections that send; 0 is all."`
	Inflight int           `default:"1" help:"Messages in flight on each active connection."`
	Burst    bool          `help:"Send the messages in flight in one write, when all before are answered, and not each as soon as there is room."`
	Size     int           `default:"128" help:"Bytes of a message."`
	Warmup   time.Duration `default:"1s" help:"Time before the measured window."`
	Duration time.Duration `default:"10s" help:"The measured window."`
	Threads  int           `default:"1" help:"Event loops of the generator."`
	outputFlags
	serverFlags
	shareFlags
}

func (c *echoCommand) kind() kind       { return kindOf[echo.Report]() }
func (c *echoCommand) keyFile() *string { return nil }

// Run is called by kong.
func (c *echoCommand) Run(ctx context.Context, t *terminal) error {
	return measure(ctx, t, &c.outputFlags, c.watched(), func(rec *recording) (*echo.Report, error) {
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Conns: rec.own(c.Conns), Server: c.source()}); err != nil {
			return nil, err
		}
		return echo.Run(ctx, echo.Config{
			URL: c.URL, Conns: c.Conns, Active: c.Active, Inflight: c.Inflight, Burst: c.Burst, Size: c.Size, Warmup: c.Warmup,
			Duration: c.Duration, Threads: c.Threads, Server: c.source(), Watch: rec.sample,
			Part: rec.part, Of: rec.of, Gate: rec.gate,
		})
	})
}
