package main

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/idle"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
)

type idleCommand struct {
	URL     string        `required:"" help:"The server, ws://HOST:PORT/v1/ws."`
	State   idle.State    `default:"authenticated" enum:"upgraded,authenticated,attached" help:"How far connections are taken: upgraded (any WebSocket server), authenticated, or attached to a conversation each."`
	Key     string        `type:"path" help:"The key file that the server checks tokens with (serve --dev: DIR/token.key)." placeholder:"FILE"`
	Conns   int           `default:"1000" help:"Connections to open."`
	Ramp    schedule.Rate `default:"0" help:"Connections to open per second, to see memory grow with them; may be AT:RATE,... 0: as fast as it goes." placeholder:"RATE"`
	Settle  time.Duration `default:"3s" help:"From the last connection to the reading of memory."`
	Hold    time.Duration `default:"10s" help:"How long to stay idle after that, to measure CPU."`
	Burst   int           `help:"Then every connection sends one message of this many bytes at once, and the server's memory is watched until it has returned to within 10 %; not for --state authenticated."`
	Return  time.Duration `default:"60s" help:"How long to watch that."`
	Threads int           `default:"1" help:"Event loops of the generator."`
	outputFlags
	serverFlags
	shareFlags
	manyFlags
}

func (c *idleCommand) kind() kind            { return kindOf[idle.Report]() }
func (c *idleCommand) troubles() *chaosFlags { return &chaosFlags{} }
func (c *idleCommand) keyFile() *string      { return &c.Key }
func (c *idleCommand) address() string       { return c.URL }

// shares is that of its connections; with servers of its own it has processes of another kind.
func (c *idleCommand) shares() *shareFlags {
	if c.Serve != "" {
		return &shareFlags{}
	}
	return &c.shareFlags
}

// Run is called by kong.
func (c *idleCommand) Run(ctx context.Context, t *terminal) error {
	if c.Serve != "" && t.part != nil {
		return fmt.Errorf("%w: idle --serve starts servers and processes of its own: it is no part of another run", errUsage)
	}
	if c.Serve != "" {
		return c.many(ctx, t)
	}
	key, err := c.key()
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, c.untouched(), func(rec *recording) (*idle.Report, error) {
		need := preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: rec.own(c.Conns), Server: c.outside()}
		if c.State == idle.Upgraded {
			need.Protocol, need.Key = "", nil
		}
		if err := preflight.Check(ctx, need); err != nil {
			return nil, err
		}
		return idle.Run(ctx, idle.Config{
			URL: c.URL, State: c.State, Key: key, Conns: c.Conns, Ramp: c.Ramp, Settle: c.Settle, Hold: c.Hold, Threads: c.Threads, Admin: c.Admin, Server: c.outside(),
			Burst: c.Burst, Return: c.Return, Watch: rec.sample,
			Part: rec.part, Of: rec.of, Gate: rec.gate,
		})
	})
}

// outside reads from /proc alone if it can: each page of metrics leaves garbage in the server whose memory is measured.
func (c *idleCommand) outside() observe.Source {
	if c.ServerPID != 0 {
		return observe.New(c.ServerPID, "")
	}
	return c.source()
}

// untouched is the server as the time series see it: only from /proc, for the same reason.
func (c *idleCommand) untouched() watched {
	if c.ServerPID == 0 {
		return watched{}
	}
	return c.watched()
}

func (c *idleCommand) key() (*token.Signer, error) {
	if c.Key == "" {
		return nil, nil // idle.Run tells whether one is needed
	}
	return token.Load(c.Key)
}
