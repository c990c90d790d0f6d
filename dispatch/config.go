package dispatch

import (
	"fmt"
	"runtime"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
)

// Config is fixed when the center is made. The zero value of a field means its default.
type Config struct {
	Loops   int // event loops of the server; required
	Runners int // goroutines that share the shards; default: half of GOMAXPROCS, at least 1
	Units   int // batches of one runner under way at a time; more makes smaller batches; default 3

	RingFrames int // frames that wait between one loop and one runner; more is answered overloaded; a power of two; default 32,768
	RingBytes  int // and their bytes; a power of two; default 8 MiB

	Auth  PoolConfig // token checks; default 10 workers, 1,000 waiting, 500 ms
	Reads PoolConfig // reads of the store for loads, replays and history; default 8 workers, 20,000 waiting, 1 s

	MaxDelay time.Duration  // a message that would wait longer for its ack is refused, and other things are shed before; default 400ms
	Memory   func() float64 // the share of the memory limit that is in use; any goroutine; nil: there is no limit

	Release func(unused []byte) // may give pages of unused memory back to the system; what it leaves must be zero or as it was; any goroutine; nil: none are

	HelloTimeout    time.Duration          // from the upgrade to an accepted hello; default 10s
	AttachMax       int                    // conversations attached to one connection; default 1,024
	DefaultCapacity int                    // conversations at a time of an agent whose token names no capacity; default 5
	OfflineGrace    time.Duration          // an agent who is gone for longer loses what it serves to others; 0: it keeps it
	Groups          map[string]GroupConfig // how they work, by name
	DefaultGroup    GroupConfig            // of groups that are not in Groups
	RetryAfter      time.Duration          // the wait that refused clients are told; default 1s
	ResumeMax       int                    // messages that a resume replays; default 5,000
	LookbackMax     int                    // messages that a retry with an old base is compared with; default 4,096
	EvictAfter      time.Duration          // idle time after which a conversation leaves memory; default 60s

	Escalation EscalationConfig // who is told of messages that nobody acked; default: nobody

	Welcome WelcomeConfig // what clients are told
}

// WelcomeConfig is what the welcome frame tells a client of the server.
type WelcomeConfig struct {
	Heartbeat   time.Duration // the server pings after this much silence; default 30s
	MaxMessage  int           // bytes of a WebSocket message that the server accepts; default 64 KiB
	RetryMin    time.Duration // reconnect policy; default 1s
	RetryMax    time.Duration // default 60s
	RetryJitter time.Duration // default 1s
}

// PoolConfig bounds one class of work that may block.
type PoolConfig struct {
	Workers  int           // goroutines
	Queue    int           // tasks that wait; more are answered overloaded at once
	Deadline time.Duration // a task that waited longer is answered overloaded instead of being done
}

func (p PoolConfig) withDefaults(workers, queue int, deadline time.Duration) PoolConfig {
	setDefault(&p.Workers, workers)
	setDefault(&p.Queue, queue)
	setDefault(&p.Deadline, deadline)
	return p
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) withDefaults() Config {
	setDefault(&c.Runners, max(1, runtime.GOMAXPROCS(0)/2))
	setDefault(&c.Units, 3)
	setDefault(&c.RingFrames, 32768)
	setDefault(&c.RingBytes, 8<<20)
	c.Auth = c.Auth.withDefaults(10, 1000, 500*time.Millisecond)
	c.Reads = c.Reads.withDefaults(8, 20_000, time.Second)
	setDefault(&c.MaxDelay, 400*time.Millisecond)
	if c.Memory == nil {
		c.Memory = func() float64 { return 0 }
	}
	if c.Release == nil {
		c.Release = func([]byte) {}
	}
	setDefault(&c.HelloTimeout, 10*time.Second)
	setDefault(&c.AttachMax, 1024)
	setDefault(&c.DefaultCapacity, 5)
	setDefault(&c.RetryAfter, time.Second)
	setDefault(&c.Welcome.Heartbeat, 30*time.Second)
	setDefault(&c.Welcome.MaxMessage, 64<<10)
	setDefault(&c.Welcome.RetryMin, time.Second)
	setDefault(&c.Welcome.RetryMax, time.Minute)
	setDefault(&c.Welcome.RetryJitter, time.Second)
	return c
}

// Validate tells what is wrong.
func (c *Config) Validate() error {
	d := c.withDefaults()
	return d.validate()
}

func (c *Config) validate() error {
	if err := c.validateGroups(); err != nil {
		return err
	}
	if err := c.Escalation.validate(); err != nil {
		return err
	}
	switch {
	case c.Loops < 1 || c.Loops > loopsMax:
		return fmt.Errorf("dispatch: %d loops; there are 1 to %d", c.Loops, loopsMax)
	case c.Runners < 1 || c.Runners > slots:
		return fmt.Errorf("dispatch: %d runners; there are 1 to %d", c.Runners, slots)
	case c.RingFrames&(c.RingFrames-1) != 0 || c.RingBytes&(c.RingBytes-1) != 0:
		return fmt.Errorf("dispatch: rings of %d frames and %d bytes; both are powers of two", c.RingFrames, c.RingBytes)
	case c.RingBytes < 2*c.Welcome.MaxMessage:
		return fmt.Errorf("dispatch: a ring of %d bytes cannot hold a message of %d; make it at least twice as large", c.RingBytes, c.Welcome.MaxMessage)
	case c.MaxDelay < 2*governorTick:
		return fmt.Errorf("dispatch: a delay of at most %v cannot be told from none; allow at least %v", c.MaxDelay, 2*governorTick)
	case c.Units < 1:
		return fmt.Errorf("dispatch: %d units; at least one batch must be under way", c.Units)
	}
	return nil
}

// loopsMax leaves one of the addresses of loops to the calls of applications.
const loopsMax = 63

func (c *Config) machine() core.Config {
	groups := make(map[string]core.GroupRules, len(c.Groups))
	for name, g := range c.Groups {
		groups[name] = g.rules()
	}
	return core.Config{
		Groups: groups, DefaultGroup: c.DefaultGroup.rules(),
		ResumeMax: c.ResumeMax, LookbackMax: c.LookbackMax,
		EvictMS: c.EvictAfter.Milliseconds(), RetryMS: c.RetryAfter.Milliseconds(),
		Escalate: c.Escalation.machine(),
	}
}
