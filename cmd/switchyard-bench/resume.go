package main

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/resume"
	"github.com/switchyard-im/switchyard/bench/token"
)

type resumeCommand struct {
	serverAddress
	Clients int           `default:"5000" help:"Clients that come back."`
	Missed  int           `default:"20" help:"Messages that each of them missed."`
	Size    int           `default:"128" help:"Bytes of a message's body."`
	Settle  time.Duration `default:"1s" help:"Between the last welcome and the resumes."`
	Threads int           `default:"1" help:"Event loops of the generator."`
	outputFlags
	serverFlags
}

// Run is called by kong.
func (c *resumeCommand) Run(ctx context.Context, t *terminal) error {
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, c.watched(), func(rec *recording) (*resume.Report, error) {
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: crowd.Connections(c.Clients), Server: c.source()}); err != nil {
			return nil, err
		}
		return resume.Run(ctx, resume.Config{
			URL: c.URL, Key: key, Clients: c.Clients, Missed: c.Missed, Size: c.Size, Settle: c.Settle, Threads: c.Threads, Server: c.source(),
			Watch: rec.sample,
		})
	})
}
