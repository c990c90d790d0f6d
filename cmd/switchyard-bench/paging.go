package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/history"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
)

type historyCommand struct {
	serverAddress
	API           string        `name:"api" help:"URL of the server's HTTP interface (api.listen, http://HOST:PORT), to read by. Without it pages are read over WebSockets." placeholder:"URL"`
	Conversations int           `default:"20" help:"Conversations, each written by one visitor before anything is read."`
	Messages      int           `default:"1000" help:"Messages of each."`
	Size          int           `default:"128" help:"Bytes of a message's body."`
	Again         runID         `name:"run" help:"Read the conversations of this earlier run on the same server, and write nothing. Its table names it." placeholder:"RUN"`
	Readers       int           `default:"8" help:"Pages asked for at a time at most."`
	Rate          schedule.Rate `default:"0" help:"Pages per second over all readers, open loop: latency counts from when a page was due. A ramp is AT:RATE,..., from the beginning of the warm-up. 0: closed loop." placeholder:"RATE"`
	Page          int           `default:"50" help:"Messages of a page at most, 1 to 200."`
	Direction     string        `default:"back" enum:"back,forth" help:"From the newest message back, or from the first on (with --api only)."`
	Warmup        time.Duration `default:"2s" help:"Load before the measured window."`
	Duration      time.Duration `default:"10s" help:"The measured window."`
	Threads       int           `default:"1" help:"Event loops of the generator; for --api they only write."`
	outputFlags
	serverFlags
	shareFlags
}

func (c *historyCommand) kind() kind            { return kindOf[history.Report]() }
func (c *historyCommand) troubles() *chaosFlags { return &chaosFlags{} }
func (c *historyCommand) keyFile() *string      { return &c.Key }
func (c *historyCommand) address() string       { return c.URL }

// runID names a run, as its table does.
type runID uint32

// UnmarshalText reads one.
func (id *runID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 32)
	if err != nil || n == 0 {
		return fmt.Errorf("%q names no run: give the 8 hexadecimal digits that its table shows", text)
	}
	*id = runID(n)
	return nil
}

// Run is called by kong.
func (c *historyCommand) Run(ctx context.Context, t *terminal) error {
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, c.watched(), func(rec *recording) (*history.Report, error) {
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: rec.own(c.Conversations + c.Readers), Server: c.source(), History: c.API}); err != nil {
			return nil, err
		}
		return history.Run(ctx, history.Config{
			URL: c.URL, Key: key, API: c.API, Conversations: c.Conversations, Messages: c.Messages, Size: c.Size, Again: uint32(c.Again),
			Readers: c.Readers, Rate: c.Rate, Page: c.Page, Forwards: c.Direction == "forth", Warmup: c.Warmup, Duration: c.Duration,
			Threads: c.Threads, Server: c.source(), Watch: rec.sample,
			Part: rec.part, Of: rec.of, Gate: rec.gate,
		})
	})
}
