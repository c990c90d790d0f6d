package main

import (
	"context"
	"syscall"
	"time"

	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/storm"
	"github.com/switchyard-im/switchyard/bench/token"
)

type stormCommand struct {
	serverAddress
	Serve       string        `help:"The command that starts the server, which is run by the shell, killed and run again. Without it, restart the server yourself when asked." placeholder:"COMMAND"`
	Signal      string        `default:"kill" enum:"kill,term" help:"What ends the server: kill -9, or SIGTERM, which drains."`
	ServerLog   string        `name:"server-log" type:"path" help:"Append the output of the server to this file." placeholder:"FILE"`
	Clients     int           `default:"15000" help:"Clients, each with a conversation."`
	Rate        float64       `default:"1000" help:"Messages per second to all of them, before, during and after the outage."`
	Size        int           `default:"128" help:"Bytes of a message's body."`
	Before      time.Duration `default:"3s" help:"Load before the outage."`
	After       time.Duration `default:"2s" help:"Load after everybody is back."`
	RetryMin    time.Duration `default:"0s" help:"Reconnect policy: the first attempt is at once, then after this, twice this, ... 0: what the server says."`
	RetryMax    time.Duration `default:"0s" help:"The longest wait between attempts. 0: what the server says."`
	RetryJitter time.Duration `default:"0s" help:"A random part of this is added to each wait. 0: what the server says."`
	Threads     int           `default:"1" help:"Event loops of the generator."`
	outputFlags
}

// Run is called by kong.
func (c *stormCommand) Run(ctx context.Context, t *terminal) error {
	cfg := storm.Config{
		URL: c.URL, Key: func() (*token.Signer, error) { return token.Load(c.Key) }, Clients: c.Clients, Rate: c.Rate, Size: c.Size,
		Before: c.Before, After: c.After, Retry: retry.Policy{Min: c.RetryMin, Max: c.RetryMax, Jitter: c.RetryJitter}, Threads: c.Threads,
		Command: c.Serve,
	}
	if c.Signal == "term" {
		cfg.Signal = syscall.SIGTERM
	}
	log, err := appendTo(c.ServerLog)
	if err != nil {
		return err
	}
	defer log.Close()
	cfg.ServerLog = log
	return measure(ctx, t, &c.outputFlags, watched{}, func(rec *recording) (*storm.Report, error) {
		if err := c.ready(ctx); err != nil {
			return nil, err
		}
		cfg.Watch = rec.sample
		return storm.Run(ctx, cfg)
	})
}

// ready looks at a server that somebody else runs.
func (c *stormCommand) ready(ctx context.Context) error {
	if c.Serve != "" {
		return nil
	}
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: crowd.Connections(c.Clients)})
}
