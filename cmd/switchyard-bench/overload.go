package main

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/overload"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/token"
)

type overloadCommand struct {
	serverAddress
	Pairs    int           `default:"500" help:"Conversations, each with a visitor and an agent."`
	Times    float64       `default:"2" help:"The load, in multiples of the peak that is found first."`
	Inflight []int         `default:"16,64,256" help:"Unacknowledged messages of a pair in the closed loops that find the peak."`
	Size     int           `default:"128" help:"Bytes of a message's body."`
	Warmup   time.Duration `default:"2s" help:"Load before each measured window."`
	Duration time.Duration `default:"8s" help:"Each measured window."`
	Wait     time.Duration `default:"30s" help:"How long to wait at the end of each for what is under way."`
	MinShare float64       `default:"0.8" help:"The part of the peak that has to be accepted, or the run fails."`
	MaxP99   time.Duration `name:"max-p99" default:"1s" help:"The time to the ack of the sending that was accepted, 99th percentile; above it the run fails."`
	Threads  int           `default:"1" help:"Event loops of the generator."`
	outputFlags
	serverFlags
}

// Run is called by kong.
func (c *overloadCommand) Run(ctx context.Context, t *terminal) error {
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, c.watched(), func(rec *recording) (*overload.Report, error) {
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: 2 * c.Pairs, Server: c.source()}); err != nil {
			return nil, err
		}
		return overload.Run(ctx, overload.Config{
			Chat: chat.Config{
				URL: c.URL, Key: key, Pairs: c.Pairs, Size: c.Size, Warmup: c.Warmup, Duration: c.Duration, Drain: c.Wait,
				Threads: c.Threads, Server: c.source(), Watch: rec.sample,
			},
			Times: c.Times, Inflight: c.Inflight, MinShare: c.MinShare, MaxP99: float64(c.MaxP99) / float64(time.Millisecond),
		})
	})
}
