package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/desk"
	"github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
)

type deskCommand struct {
	serverAddress
	Groups      int           `default:"4" help:"Groups, of names that no other run uses: on the server, what the default of routing.file says holds for them."`
	Group       []string      `help:"A group of routing.file, instead; may be given several times. Nobody else may serve it meanwhile." placeholder:"NAME"`
	Agents      int           `default:"20" help:"Agents over all groups, each in one."`
	Capacity    int           `default:"5" help:"Conversations of an agent at a time."`
	Rate        schedule.Rate `default:"0" help:"Visitors per second, open loop: what they wait counts from when they came. A ramp is AT:RATE,..., as in 0s:10,30s:100, from the beginning of the warm-up. 0: closed loop." placeholder:"RATE"`
	Visitors    int           `default:"0" help:"Visitors at a time; in the open loop at most, and more come late. 0: 100 in the closed loop, 5,000 in the open."`
	Messages    int           `default:"8" help:"Messages of a conversation, of both sides together."`
	Size        int           `default:"128" help:"Bytes of a message's body."`
	Think       time.Duration `default:"0s" help:"What a person takes to answer, on average."`
	Transfers   share         `default:"10%" help:"The part of the conversations that is transferred: half of them to another group, half to another agent."`
	Ratings     share         `default:"30%" help:"The part that is rated."`
	Reopens     share         `default:"5%" help:"The part that is reopened; routing.file must allow it (reopen)."`
	Warmup      time.Duration `default:"2s" help:"Load before the measured window."`
	Duration    time.Duration `default:"10s" help:"The measured window."`
	Wait        time.Duration `default:"10s" help:"How long to wait at the end for the conversations under way."`
	MarkDelay   time.Duration `default:"1s" help:"A delivered mark waits this long for others."`
	RetryMin    time.Duration `default:"0s" help:"Reconnect policy: the first attempt is at once, then after this, twice this, ... 0: what the server says."`
	RetryMax    time.Duration `default:"0s" help:"The longest wait between attempts. 0: what the server says."`
	RetryJitter time.Duration `default:"0s" help:"A random part of this is added to each wait. 0: what the server says."`
	Threads     int           `default:"1" help:"Event loops of the generator; not more than groups."`
	outputFlags
	serverFlags
	historyFlags
	chaosFlags
	shareFlags
}

func (c *deskCommand) kind() kind       { return kindOf[desk.Report]() }
func (c *deskCommand) keyFile() *string { return &c.Key }
func (c *deskCommand) address() string  { return c.URL }

// share is a part of a whole, as 10% or 0.1.
type share float64

// UnmarshalText reads one.
func (s *share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is no part of a whole: give 10%% or 0.1", text)
	}
	*s = share(v)
	return nil
}

// config is what the flags say.
func (c *deskCommand) config() desk.Config {
	return desk.Config{
		URL: c.URL, Groups: c.Groups, GroupNames: c.Group, Agents: c.Agents, Capacity: c.Capacity, Rate: c.Rate, Visitors: c.Visitors,
		Messages: c.Messages, Size: c.Size, Think: c.Think, Transfers: float64(c.Transfers), Ratings: float64(c.Ratings), Reopens: float64(c.Reopens),
		Warmup: c.Warmup, Duration: c.Duration, Drain: c.Wait, MarkDelay: c.MarkDelay,
		Retry: retry.Policy{Min: c.RetryMin, Max: c.RetryMax, Jitter: c.RetryJitter}, Threads: c.Threads,
	}
}

// Validate is called by kong, also for a load that begins much later.
func (c *deskCommand) Validate() error {
	return errors.Join(notZero("groups", c.Groups, "agents", c.Agents, "capacity", c.Capacity, "messages", c.Messages, "size", c.Size, "threads", c.Threads),
		notZero("duration", c.Duration, "wait", c.Wait, "mark-delay", c.MarkDelay), c.config().Check())
}

// Run is called by kong.
func (c *deskCommand) Run(ctx context.Context, t *terminal) (err error) {
	trouble, err := t.trouble(ctx, &c.chaosFlags, c.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trouble.end()) }()
	key, err := token.Load(c.Key)
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, trouble.watched(c.watched()), func(rec *recording) (*desk.Report, error) {
		trouble.rec = rec
		if err := preflight.Check(ctx, preflight.Config{URL: c.URL, Protocol: crowd.Subprotocol, Key: key, Conns: rec.own(c.Agents + c.Visitors), Server: trouble.source(c.source()), History: c.History}); err != nil {
			return nil, err
		}
		cfg := c.config()
		cfg.Key, cfg.Server, cfg.History, cfg.Chaos, cfg.Watch = key, trouble.source(c.source()), c.audit(), trouble.Run, rec.sample
		cfg.Part, cfg.Of, cfg.Gate = rec.part, rec.of, rec.gate
		rep, err := desk.Run(ctx, cfg)
		if err == nil {
			rep.Chaos = trouble.report()
		}
		return rep, err
	})
}
