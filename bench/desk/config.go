// Package desk plays the whole life of a customer service: visitors who come, open a conversation with details, wait in the queue of a
// group, are given an agent, talk, are perhaps transferred, and close, rate and perhaps reopen; and agents who are online with a capacity and
// serve several of them at a time. Every message, and every assignment, is judged.
//
// Open loop: visitors come at a rate, whether the agents keep up or not, and what they wait counts from when they came. Closed
// loop: a number of visitors is there at any time.
//
// Connections that end are dialled again, conversations resumed and what was not answered is asked again, so that the server may be
// killed under it. Each loop has whole groups: its visitors and agents meet nobody of another loop, so that nothing is shared.
package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/chaos"
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

	Groups     int      // of names that no other run uses; default 4, or as many as GroupNames
	GroupNames []string // groups of the server's routing file, which nobody else may use meanwhile; default none
	Agents     int      // over all groups; default 20
	Capacity   int      // conversations of an agent at a time; default 5

	Rate     schedule.Rate // visitors per second from the beginning of the load on (open loop); never: closed loop
	Visitors int           // at a time: in the closed loop, default 100; in the open loop at most, default 5,000, and more come late

	Messages  int           // of one conversation, of both sides together; default 8
	Size      int           // bytes of a body, oracle.MinBody to oracle.MaxBody; default 128
	Think     time.Duration // what a person takes to answer, on average; default none
	Transfers float64       // the part of the conversations that is transferred, 0 to 1
	Ratings   float64       // the part that is rated
	Reopens   float64       // the part that is reopened; the group must allow it

	Warmup   time.Duration // load before the measured window; default none
	Duration time.Duration // the measured window; default 10 s
	Drain    time.Duration // how long to wait at the end for the conversations under way; default 10 s
	Within   time.Duration // for getting all agents online; default 60 s

	MarkDelay time.Duration // a delivered mark waits this long for others; default 1 s, as in the SDKs
	Retry     retry.Policy  // for dialling again

	Threads   int // event loops; default 1; all together not more than groups
	PerSource int // connections on each loopback source address; default 4,000

	// History, if any, is what the conversations are read back by when the load is over, to compare them with what was accepted. Its key is Key.
	History *audit.Config

	// A load may be shared by several processes with the same configuration but for Part: each has the groups whose number modulo Of is Part, with
	// their agents and visitors. Default: all.
	Part, Of int
	// Gate, if any, is called when all agents are online; the load begins when it returns. So the parts of a load begin together.
	Gate func(context.Context) error
	// Begin, if any, is called at the beginning of the measured window.
	Begin func()

	// Chaos makes trouble in the measured window; nil: nobody does.
	Chaos *chaos.Run

	Server observe.Source // of the server's figures; nil: none
	Watch  meter.Watch    // nil: nobody
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) withDefaults() Config {
	if len(c.GroupNames) > 0 {
		c.Groups = len(c.GroupNames)
	}
	setDefault(&c.Groups, 4)
	setDefault(&c.Agents, 20)
	setDefault(&c.Capacity, 5)
	if !c.Rate.Never() {
		setDefault(&c.Visitors, 5000)
	}
	setDefault(&c.Visitors, 100)
	setDefault(&c.Messages, 8)
	setDefault(&c.Size, 128)
	setDefault(&c.Duration, 10*time.Second)
	setDefault(&c.Drain, 10*time.Second)
	setDefault(&c.Within, time.Minute)
	setDefault(&c.MarkDelay, time.Second)
	setDefault(&c.Threads, 1)
	setDefault(&c.Of, 1)
	return c
}

// loops is how many there are in all processes.
func (c *Config) loops() int { return c.Threads * c.Of }

// maxMessages keeps a conversation within what a server replays at once, and a message's index within a ref.
const maxMessages = 1000

// Check tells what is wrong with the options, before there is a server or a key.
func (c Config) Check() error {
	c = c.withDefaults()
	return c.validate()
}

func (c *Config) validate() error {
	share := func(f float64) bool { return f >= 0 && f <= 1 }
	switch {
	case c.Groups < 1 || c.Agents < 1 || c.Capacity < 1 || c.Visitors < 1 || c.Threads < 1:
		return errors.New("desk: groups, agents, capacity, visitors and threads must be positive")
	case c.Agents < c.Groups:
		return fmt.Errorf("desk: %d agents leave some of %d groups without any: give at least one agent for each group", c.Agents, c.Groups)
	case c.Part < 0 || c.Part >= c.Of:
		return fmt.Errorf("desk: no part %d of %d", c.Part, c.Of)
	case c.loops() > c.Groups || c.loops() > c.Visitors:
		return fmt.Errorf("desk: %d threads in %d processes are too many for %d groups and %d visitors, since each has groups and visitors of its own", c.Threads, c.Of, c.Groups, c.Visitors)
	case c.Messages < 1 || c.Messages > maxMessages:
		return fmt.Errorf("desk: %d messages in a conversation are out of range, use 1 to %d", c.Messages, maxMessages)
	case c.Size < oracle.MinBody || c.Size > oracle.MaxBody:
		return fmt.Errorf("desk: a size of %d bytes is out of range, use %d to %d", c.Size, oracle.MinBody, oracle.MaxBody)
	case !share(c.Transfers) || !share(c.Ratings) || !share(c.Reopens):
		return errors.New("desk: transfers, ratings and reopens are parts of all conversations: use 0 to 1 (10% is 0.1)")
	case c.Transfers > 0 && c.Agents < 2*c.Groups && c.Groups < 2*c.loops():
		return errors.New("desk: a transfer needs somebody else: give two agents for each group, or two groups for each thread of each process")
	case c.Duration < 0 || c.Warmup < 0 || c.Drain < 0 || c.Think < 0 || c.MarkDelay < 0:
		return errors.New("desk: durations must not be negative")
	}
	if c.History != nil {
		return c.History.Validate()
	}
	return nil
}
