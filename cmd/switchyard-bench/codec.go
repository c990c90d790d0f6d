package main

import (
	"context"
	"errors"
	"time"

	"github.com/switchyard-im/switchyard/bench/codec"
)

type codecCommand struct {
	Program string        `type:"path" help:"The program that holds the codecs, which is a module of its own; bin/codecs beside this program by default (make bench-codec)." placeholder:"FILE"`
	Rounds  int           `default:"21" help:"Rounds; each measures every codec once under every operation."`
	Time    time.Duration `default:"40ms" help:"CPU time of a measurement."`
	Batch   int           `default:"16" help:"Messages of a batch."`
	Text    string        `help:"Text of every message; by default one of 128 bytes." placeholder:"TEXT"`
	outputFlags
}

// Run is called by kong.
func (c *codecCommand) Run(ctx context.Context, t *terminal) error {
	return measure(ctx, t, &c.outputFlags, watched{}, func(rec *recording) (*codec.Report, error) {
		rep, err := codec.Run(ctx, codec.Config{Program: c.Program, Rounds: c.Rounds, Time: c.Time, Batch: c.Batch, Text: c.Text, Progress: rec.text})
		if errors.Is(err, codec.ErrAltered) {
			err = errors.Join(errViolation, err)
		}
		return rep, err
	})
}

// Validate is called by kong.
func (c *codecCommand) Validate() error {
	if c.Rounds < 1 || c.Time < time.Millisecond || c.Batch < 2 || c.Batch > 1024 {
		return errors.New("rounds are 1 at least, time 1ms, and a batch has 2 to 1024 messages")
	}
	return nil
}
