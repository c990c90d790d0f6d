// Package history pages through conversations as somebody does who looks at what was said: from the newest message back to the first, or the other way. It
// fills conversations first, or finds those of an earlier run again, and then a number of readers walk through them, by the HTTP interface or over
// WebSockets, in an open or a closed loop. Every page is judged: no message missing, twice, out of order or altered, inside of a page or between two.
package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/api"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
)

// Config of a run. The zero value of a field means its default.
type Config struct {
	URL string        // ws://HOST:PORT/v1/ws: the conversations are written, and perhaps read, over it
	Key *token.Signer // signs the users' tokens; required
	API string        // the HTTP interface, http://HOST:PORT; empty: pages are read over WebSockets

	Conversations int    // default 20
	Messages      int    // of each; default 1,000
	Size          int    // bytes of a body, oracle.MinBody to oracle.MaxBody; default 128
	Again         uint32 // the Run of a report: its conversations are read, as they are, and nothing is written; default none

	Readers  int           // pages asked for at a time at most; default 8; over WebSockets not more than conversations
	Rate     schedule.Rate // pages per second (open loop); never: closed loop
	Page     int           // messages of a page at most, 1 to 200; default 50
	Forwards bool          // from the first message on, which is for the HTTP interface only; default: from the newest back

	Warmup   time.Duration // load before the measured window; default none
	Duration time.Duration // the measured window; default 10 s
	Within   time.Duration // for writing everything; default 5 min
	Drain    time.Duration // how long to wait at the end for the pages that are under way over WebSockets; default 30 s

	Threads   int // event loops; default 1
	PerSource int // connections on each loopback source address; default 4,000

	// A load may be shared by several processes with the same configuration but for Part: each has the conversations whose number is Part modulo Of, and as many of
	// the readers. Default: all.
	Part, Of int
	// Gate, if any, is called when all is written; the reading begins when it returns. So the parts of a load begin together.
	Gate func(context.Context) error
	// Begin, if any, is called at the beginning of the measured window.
	Begin func()

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
	setDefault(&c.Conversations, 20)
	setDefault(&c.Messages, 1000)
	setDefault(&c.Size, 128)
	setDefault(&c.Readers, 8)
	if c.API == "" {
		c.Readers = min(c.Readers, c.Conversations)
	}
	setDefault(&c.Page, 50)
	setDefault(&c.Duration, 10*time.Second)
	setDefault(&c.Within, 5*time.Minute)
	setDefault(&c.Drain, 30*time.Second)
	setDefault(&c.Threads, 1)
	setDefault(&c.Of, 1)
	return c
}

// own is what this process has of the load.
func (c Config) own() Config {
	part := func(n int) int { return (n - c.Part + c.Of - 1) / c.Of }
	c.Conversations, c.Readers = part(c.Conversations), part(c.Readers)
	return c
}

// maxMessages bounds what the oracle remembers of a conversation while it reads it.
const maxMessages = 1_000_000

func (c *Config) validate() error {
	switch {
	case c.Part < 0 || c.Part >= c.Of || c.Readers > 0 && c.Conversations > 0 && c.Of > min(c.Readers, c.Conversations):
		return fmt.Errorf("history: no part %d of %d in %d conversations and %d readers: each process needs one of both", c.Part, c.Of, c.Conversations, c.Readers)
	case c.Conversations < 1 || c.Readers < 1 || c.Threads < 1:
		return errors.New("history: conversations, readers and threads must be positive")
	case c.Threads > c.Readers/c.Of:
		return fmt.Errorf("history: %d threads in %d processes are too many for %d readers", c.Threads, c.Of, c.Readers)
	case c.Messages < 1 || c.Messages > maxMessages:
		return fmt.Errorf("history: %d messages in a conversation are out of range, use 1 to %d", c.Messages, maxMessages)
	case c.Size < oracle.MinBody || c.Size > oracle.MaxBody:
		return fmt.Errorf("history: a size of %d bytes is out of range, use %d to %d", c.Size, oracle.MinBody, oracle.MaxBody)
	case c.Page < 1 || c.Page > api.MaxLimit:
		return fmt.Errorf("history: a page of %d messages is out of range, use 1 to %d", c.Page, api.MaxLimit)
	case c.Forwards && c.API == "":
		return errors.New("history: over WebSockets pages go backwards only: give the URL of the HTTP interface (api.listen) too")
	case c.Duration < 0 || c.Warmup < 0 || c.Within < 0 || c.Drain < 0:
		return errors.New("history: durations must not be negative")
	}
	return nil
}
