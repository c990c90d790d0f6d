// Package chat drives visitors and agents in pairs, as their SDKs would, and judges every message.
//
// Each pair has one conversation, opened by its visitor in a group that only its agent serves. Messages go in turns; each side acknowledges what it
// got with cumulative delivered marks. A lost connection is dialled again with backoff, the conversation resumed after the last known
// sequence, and what was not acknowledged is sent again with its id and base. So a server may be killed under the load: at the end
// every accepted message must have arrived exactly once, in order.
//
// Closed loop: a number of messages per pair is unacknowledged at any time. Open loop: messages have a time at which they are due, and
// latency counts from there, also while a connection stalls or is away, so that a stall of the server cannot hide its own cost.
package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
)

// Config of a run. The zero value of a field means its default.
type Config struct {
	URL string        // ws://HOST:PORT/v1/ws
	Key *token.Signer // signs the users' tokens; required

	Pairs       int           // conversations, with two connections each; default 100
	Rate        schedule.Rate // messages per second over all pairs since the beginning of the warm-up (open loop); zero: closed loop
	Inflight    int           // unacknowledged messages of a pair at most; default 1 in the closed loop, 256 in the open
	Size        int           // bytes of a body, oracle.MinBody to oracle.MaxBody; default 128
	VisitorOnly bool          // only visitors write; by default the sides take turns

	// A load may be shared by several processes with the same configuration but for Part: each drives the pairs whose number is Part modulo Of, at the
	// times that are due to those. Default: all of them.
	Part, Of int

	Warmup     time.Duration // load before the measured window; default none
	Duration   time.Duration // the measured window; default 10 s
	Drain      time.Duration // how long to wait at the end for what is under way; default 10 s
	OpenWithin time.Duration // for getting all pairs ready; default 60 s

	MarkDelay   time.Duration // a delivered mark waits this long for others; default 1 s, as in the SDKs
	RetryMin    time.Duration // reconnect policy: the first is at once, then min, 2 min, ...; default: the server's, or 1 s
	RetryMax    time.Duration // default: the server's, or 60 s
	RetryJitter time.Duration // a random part of this is added; default: the server's, or 1 s

	Threads   int // event loops; default 1
	PerSource int // connections on each loopback source address; default 4,000

	// Gate, if any, is called when all pairs are ready; the load begins when it returns. So the parts of a load begin together.
	Gate func(context.Context) error
	// Begin, if any, is called at the beginning of the measured window.
	Begin func()
	// Disturb, if any, is called at the end of the measured window, while the load goes on; a second window, as long as the first, follows.
	Disturb func(context.Context) error

	// History, if any, is what the conversations are read back by when the load is over, to compare them with what was accepted. Its key is Key.
	History *audit.Config
	// Chaos makes trouble in the measured window; nil: nobody does.
	Chaos *chaos.Run

	Server observe.Source // of the server's figures; nil: none
	Watch  meter.Watch    // gets a sample each second from the goroutine of Run; nil: nobody does
}

func (c Config) withDefaults() Config {
	c.Pairs = cmp.Or(c.Pairs, 100)
	if !c.Rate.Never() {
		c.Inflight = cmp.Or(c.Inflight, 256)
	}
	c.Inflight = cmp.Or(c.Inflight, 1)
	c.Size = cmp.Or(c.Size, 128)
	c.Duration = cmp.Or(c.Duration, 10*time.Second)
	c.Drain = cmp.Or(c.Drain, 10*time.Second)
	c.OpenWithin = cmp.Or(c.OpenWithin, time.Minute)
	c.MarkDelay = cmp.Or(c.MarkDelay, time.Second)
	c.Threads = cmp.Or(c.Threads, 1)
	c.PerSource = cmp.Or(c.PerSource, 4000)
	c.Of = cmp.Or(c.Of, 1)
	return c
}

func (c *Config) retry() retry.Policy {
	return retry.Policy{Min: c.RetryMin, Max: c.RetryMax, Jitter: c.RetryJitter}
}

// maxInflight keeps both directions of a pair within what a server replays on one resume.
const maxInflight = 2048

func (c *Config) validate() error {
	if c.Key == nil {
		return errors.New("chat: no key to sign tokens with: give the server's key file")
	}
	if err := c.options(); err != nil {
		return err
	}
	if c.Part < 0 || c.Part >= c.Of || c.Of > c.Pairs {
		return fmt.Errorf("chat: no part %d of %d in %d pairs: each process needs a pair", c.Part, c.Of, c.Pairs)
	}
	return client.CheckDescriptors(2 * c.own())
}

// Check tells what is wrong with the options alone, before there is a server or a key, and for all parts of the load.
func (c Config) Check() error {
	c = c.withDefaults()
	return c.options()
}

func (c *Config) options() error {
	switch {
	case c.Pairs < 1 || c.Inflight < 1 || c.Threads < 1 || c.PerSource < 1:
		return errors.New("chat: pairs, inflight, threads and connections per source must be positive")
	case c.Duration < 0 || c.Warmup < 0 || c.Drain < 0 || c.MarkDelay < 0 || c.RetryMin < 0 || c.RetryMax < 0 || c.RetryJitter < 0:
		return errors.New("chat: durations must not be negative")
	case c.Inflight > maxInflight:
		return fmt.Errorf("chat: %d in flight in one pair is too many, use at most %d and more pairs", c.Inflight, maxInflight)
	case c.Size < oracle.MinBody || c.Size > oracle.MaxBody:
		return fmt.Errorf("chat: a size of %d bytes is out of range, use %d to %d", c.Size, oracle.MinBody, oracle.MaxBody)
	}
	if c.History != nil {
		return c.History.Validate()
	}
	return nil
}

// own is how many pairs this process drives.
func (c *Config) own() int { return (c.Pairs - c.Part + c.Of - 1) / c.Of }
