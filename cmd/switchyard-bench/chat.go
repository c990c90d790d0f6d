package main

import (
	"context"
	"errors"
	"time"

	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
)

type chatCommand struct {
	URL         string        `required:"" help:"The server, ws://HOST:PORT/v1/ws."`
	Key         string        `required:"" type:"path" help:"The key file that the server checks tokens with (serve --dev: DIR/token.key)." placeholder:"FILE"`
	Pairs       int           `default:"100" help:"Conversations, each with a visitor and an agent."`
	Rate        schedule.Rate `default:"0" help:"Messages per second over all pairs, open loop: latency counts from when a message was due. A ramp is AT:RATE,..., as in 0s:100,30s:1000, from the beginning of the warm-up. 0: closed loop." placeholder:"RATE"`
	Inflight    int           `default:"0" help:"Unacknowledged messages of a pair at most. 0: 1 in the closed loop, 256 in the open."`
	Size        int           `default:"128" help:"Bytes of a message's body."`
	Direction   string        `default:"both" enum:"both,visitor" help:"Who writes: both in turns, or the visitor."`
	Warmup      time.Duration `default:"2s" help:"Load before the measured window."`
	Duration    time.Duration `default:"10s" help:"The measured window."`
	Wait        time.Duration `default:"10s" help:"How long to wait at the end for what is under way."`
	MarkDelay   time.Duration `default:"1s" help:"A delivered mark waits this long for others, or for a message to travel with."`
	RetryMin    time.Duration `default:"0s" help:"Reconnect policy: the first attempt is at once, then after this, twice this, ... 0: what the server says."`
	RetryMax    time.Duration `default:"0s" help:"The longest wait between attempts. 0: what the server says."`
	RetryJitter time.Duration `default:"0s" help:"A random part of this is added to each wait. 0: what the server says."`
	Threads     int           `default:"1" help:"Event loops of the generator."`
	outputFlags
	serverFlags
	historyFlags
	chaosFlags
	shareFlags
}

func (c *chatCommand) kind() kind       { return kindOf[chat.Report]() }
func (c *chatCommand) keyFile() *string { return &c.Key }
func (c *chatCommand) address() string  { return c.URL }

// config is what the flags say.
func (c *chatCommand) config() chat.Config {
	return chat.Config{
		URL: c.URL, Pairs: c.Pairs, Rate: c.Rate, Inflight: c.Inflight, Size: c.Size, VisitorOnly: c.Direction == "visitor",
		Warmup: c.Warmup, Duration: c.Duration, Drain: c.Wait,
		MarkDelay: c.MarkDelay, RetryMin: c.RetryMin, RetryMax: c.RetryMax, RetryJitter: c.RetryJitter,
		Threads: c.Threads,
	}
}

// Validate is called by kong, also for a load that begins much later.
func (c *chatCommand) Validate() error {
	return errors.Join(notZero("pairs", c.Pairs, "size", c.Size, "threads", c.Threads),
		notZero("duration", c.Duration, "wait", c.Wait, "mark-delay", c.MarkDelay), c.config().Check())
}

// Run is called by kong.
func (c *chatCommand) Run(ctx context.Context, t *terminal) (err error) {
	trouble, err := t.trouble(ctx, &c.chaosFlags, c.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trouble.end()) }()
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, trouble.watched(c.watched()), func(rec *recording) (*chat.Report, error) {
		trouble.rec = rec
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: rec.own(2 * c.Pairs), Server: trouble.source(c.source()), History: c.History}); err != nil {
			return nil, err
		}
		cfg := c.config()
		cfg.Key, cfg.Server, cfg.History, cfg.Chaos, cfg.Watch = key, trouble.source(c.source()), c.audit(), trouble.Run, rec.sample
		cfg.Part, cfg.Of, cfg.Gate = rec.part, rec.of, rec.gate
		rep, err := chat.Run(ctx, cfg)
		if err == nil {
			rep.Chaos = trouble.report()
		}
		return rep, err
	})
}
