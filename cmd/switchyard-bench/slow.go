package main

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/slow"
	"github.com/switchyard-im/switchyard/bench/token"
)

type slowCommand struct {
	serverAddress
	Pairs     int           `default:"5000" help:"Pairs that chat."`
	Rate      schedule.Rate `default:"1000" help:"Messages per second of all pairs."`
	Warmup    time.Duration `default:"3s" help:"Load before the first window."`
	Duration  time.Duration `default:"12s" help:"Length of each of the two windows."`
	Stalled   int           `default:"100" help:"Clients that stop reading when the second window begins."`
	Control   bool          `help:"They go on reading: tells by how much the two windows differ when nobody stalls."`
	FloodSize int           `default:"8192" help:"Bytes of the body of a message to those."`
	FloodRate float64       `default:"40" help:"Messages per second to each of those."`
	Flood     time.Duration `default:"5s" help:"How long those get messages, from the beginning of each window: about what the server takes to end them, so that both windows have the same load."`
	Stall     time.Duration `default:"8s" help:"How long those do not read; then they read what is there, and learn how they ended."`
	Threads   int           `default:"1" help:"Event loops of the generator for the pairs; those who stall have one more."`
	outputFlags
	serverFlags
}

// Run is called by kong.
func (c *slowCommand) Run(ctx context.Context, t *terminal) error {
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, c.watched(), func(rec *recording) (*slow.Report, error) {
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: 2*c.Pairs + c.Stalled + 1, Server: c.source()}); err != nil {
			return nil, err
		}
		return slow.Run(ctx, slow.Config{
			Chat: chat.Config{URL: c.URL, Key: key, Pairs: c.Pairs, Rate: c.Rate, Warmup: c.Warmup, Duration: c.Duration, Threads: c.Threads, Server: c.source(),
				Watch: rec.sample},
			Stalled: c.Stalled, Control: c.Control, FloodSize: c.FloodSize, FloodRate: c.FloodRate, Flood: c.Flood, Stall: c.Stall, Admin: c.Admin,
		})
	})
}
