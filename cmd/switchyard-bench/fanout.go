package main

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/fanout"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/token"
)

type fanoutCommand struct {
	serverAddress
	Listeners int           `default:"5000" help:"Connections attached to the one conversation."`
	Size      int           `default:"128" help:"Bytes of a message's body."`
	Rounds    int           `default:"5" help:"Rounds of deliveries, and as many of bare writes between them."`
	Round     time.Duration `default:"1s" help:"Length of a round."`
	outputFlags
	serverFlags
}

// Run is called by kong.
func (c *fanoutCommand) Run(ctx context.Context, t *terminal) error {
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, c.watched(), func(rec *recording) (*fanout.Report, error) {
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: 3*c.Listeners + 1, Server: c.source()}); err != nil {
			return nil, err
		}
		return fanout.Run(ctx, fanout.Config{
			URL: c.URL, Key: key, Listeners: c.Listeners, Size: c.Size, Rounds: c.Rounds, Round: c.Round, Server: c.source(), Watch: rec.sample,
		})
	})
}
