package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/desk"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/soak"
	"github.com/switchyard-im/switchyard/bench/token"
)

type soakCommand struct {
	serverAddress
	Admin    string        `required:"" help:"URL of the server's admin address, for its memory, descriptors and goroutines (http://HOST:PORT)." placeholder:"URL"`
	Duration time.Duration `default:"10m" help:"How long the load and the trouble go on."`
	Pairs    int           `default:"100" help:"Conversations, each with a visitor and an agent."`
	Rate     schedule.Rate `default:"500" help:"Messages per second over all pairs." placeholder:"RATE"`
	Size     int           `default:"128" help:"Bytes of a message's body."`
	Visitors int           `default:"30" help:"Visitors of the desk at a time, who come and go beside the pairs. 0: none."`
	Agents   int           `default:"8" help:"Agents of the desk."`
	Wait     time.Duration `default:"60s" help:"How long to wait at the end for what is under way."`
	Growth   float64       `default:"0.1" help:"What the server's memory, descriptors and goroutines may gain over the run, as a part of their medians."`
	outputFlags
	historyFlags
	chaosFlags
}

// usualTrouble is what a soak is for, if the flags name nothing else.
func (c *soakCommand) usualTrouble() {
	if !c.plan().Empty() {
		return
	}
	c.Kill9 = chaos.Trouble{Every: 30 * time.Second, Jitter: 5 * time.Second}
	c.Drain = chaos.Trouble{Every: 75 * time.Second, Jitter: 10 * time.Second}
	c.Pause = chaos.Trouble{Every: 40 * time.Second, Jitter: 5 * time.Second, For: 2 * time.Second}
	c.Cut = chaos.Trouble{Every: 7 * time.Second, Share: 0.1}
	if c.ClickHouse != "" {
		c.ClickHouseStop = chaos.Trouble{Every: 45 * time.Second, Jitter: 10 * time.Second, For: 8 * time.Second}
	}
}

// Run is called by kong.
func (c *soakCommand) Run(ctx context.Context, t *terminal) (err error) {
	if c.Serve == "" {
		return fmt.Errorf("%w: soak kills the server: give the command that starts it with --serve", errUsage)
	}
	c.usualTrouble()
	trouble, err := c.trouble(ctx, c.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trouble.end()) }()
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, trouble.watched(watched{}), func(rec *recording) (*soak.Report, error) {
		trouble.rec = rec
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: 2*c.Pairs + c.Visitors + c.Agents, Server: observe.New(0, c.Admin), History: c.History}); err != nil {
			return nil, err
		}
		return soak.Run(ctx, soak.Config{Admin: c.Admin, Growth: c.Growth, Chaos: trouble.Run, Chat: c.chat(key, trouble, rec), Desk: c.desk(key, rec)})
	})
}

// back is how clients come back: soon, since the server does.
var back = retry.Policy{Min: 100 * time.Millisecond, Max: 2 * time.Second, Jitter: 300 * time.Millisecond}

func (c *soakCommand) chat(key *token.Signer, trouble *trouble, rec *recording) chat.Config {
	return chat.Config{
		URL: c.URL, Key: key, Pairs: c.Pairs, Rate: c.Rate, Size: c.Size, Duration: c.Duration, Drain: c.Wait,
		RetryMin: back.Min, RetryMax: back.Max, RetryJitter: back.Jitter, Server: trouble.Source(), History: c.audit(), Watch: rec.sample,
	}
}

func (c *soakCommand) desk(key *token.Signer, rec *recording) *desk.Config {
	if c.Visitors == 0 {
		return nil
	}
	return &desk.Config{
		URL: c.URL, Key: key, Visitors: c.Visitors, Agents: c.Agents, Size: c.Size, Think: time.Second, Transfers: 0.2, Ratings: 0.3,
		Duration: c.Duration, Drain: c.Wait, Retry: back, History: c.audit(), Watch: rec.sample,
	}
}
