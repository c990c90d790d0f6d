package netserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Config is fixed when the server is made. The zero value of a field means its default.
type Config struct {
	Listen string // address and port, for example 127.0.0.1:8080; port 0 picks a free one; default 127.0.0.1:8080
	Loops  int    // event loops, 1 to 63; default: half of GOMAXPROCS, at least 1 (see defaultLoops)
	Node   int    // this node's number in connection ids, 0 to 1023
	Path   string // the path that upgrades; default /v1/ws

	// ReusePort lets several processes of one user listen on the same address (SO_REUSEPORT), each with this set. The kernel deals
	// the connections out by a hash of their addresses.
	ReusePort bool

	// Listener is a listening socket to take over instead of opening one at Listen; 0: none. The server owns it once New succeeds.
	Listener int

	// AllowedOrigins lists what browsers may connect from besides the server's own host: https://example.com, with a wildcard
	// for subdomains https://*.example.com, or * for everyone. Requests without an Origin header come from no browser and pass.
	AllowedOrigins []string

	// ProxyProtocol tells which connections begin with a PROXY protocol header, version 1 or 2, that names the client; default ProxyOff.
	ProxyProtocol ProxyMode
	ProxyNetworks []netip.Prefix // where they come from; required unless it is off

	// Raw turns off subprotocols and translation: paths / and /ws upgrade, text and binary messages reach the handler as they come.
	Raw bool

	Limits Limits // rates of what peers send; none by default

	MaxConns   int // open connections of all loops; more are answered 503; default 1,000,000
	MaxHeader  int // bytes of an upgrade request, at most 64 KiB; default 8 KiB
	MaxMessage int // bytes of one message from a client; default 64 KiB
	MaxMerge   int // bytes of one merged message to a client, unless a single piece is larger; default 256 KiB
	Unsent     int // bytes for one connection that the kernel takes before it has sent them (TCP_NOTSENT_LOWAT); default 128 KiB
	OutSoft    int // bytes waiting for one connection above which droppable frames are dropped; default 256 KiB
	OutHard    int // bytes waiting for one connection above which it is closed as a slow consumer; default 1 MiB
	ReadBudget int // bytes read from one connection in a turn; default 64 KiB
	Mailbox    int // bytes of parcels waiting for one loop above which Deliver waits; default 16 MiB

	// Gather is how often a loop with much input reads it: what comes in between waits, and shares one turn, one batch of the shards and one commit. 0: a
	// loop reads whenever something comes, which is right for a handler that answers at once.
	Gather time.Duration

	HandshakeTimeout time.Duration // from accept to a complete upgrade request; default 10s
	PingAfter        time.Duration // silence after which the server pings; default 30s
	CloseAfter       time.Duration // silence after which the connection is closed; default 60s
	WriteTimeout     time.Duration // longest time without progress while output waits, and six times that in all once the connection is leaving; default 10s
	MessageTimeout   time.Duration // from the first byte of a message to its last, fragments included; default 60s
	UserTimeout      time.Duration // longest time that a peer may acknowledge nothing of what was sent (TCP_USER_TIMEOUT); default 30s; negative: the kernel's
	LingerTimeout    time.Duration // longest wait for the peer to close after the server's last byte; default 5s

	// DrainWindow is over how long clients are told to spread their return when the server sends them away; default 0. They get a drain frame
	// and the close code 4000; in raw mode no frame and 1001.
	DrainWindow time.Duration

	tick time.Duration // resolution of all deadlines; 1s but in tests
}

func (c Config) withDefaults() Config {
	setDefault(&c.Listen, "127.0.0.1:8080")
	setDefault(&c.Loops, defaultLoops())
	setDefault(&c.Path, "/v1/ws")
	setDefault(&c.ProxyProtocol, ProxyOff)
	setDefault(&c.MaxConns, 1_000_000)
	setDefault(&c.MaxHeader, 8<<10)
	setDefault(&c.MaxMessage, 64<<10)
	setDefault(&c.MaxMerge, 256<<10)
	setDefault(&c.Unsent, 128<<10)
	setDefault(&c.OutSoft, 256<<10)
	setDefault(&c.OutHard, 1<<20)
	setDefault(&c.ReadBudget, 64<<10)
	setDefault(&c.Mailbox, 16<<20)
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.PingAfter, 30*time.Second)
	setDefault(&c.CloseAfter, 60*time.Second)
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.MessageTimeout, 60*time.Second)
	setDefault(&c.UserTimeout, 30*time.Second)
	setDefault(&c.LingerTimeout, 5*time.Second)
	setDefault(&c.tick, time.Second)
	c.Limits = c.Limits.withDefaults()
	return c
}

// defaultLoops leaves half of the processors to the shards. Measured on two processors that other work shared: an echo with 16 in flight
// costs 0.58-0.64 us of CPU with one loop and 0.64-0.68 with two, so one is about a tenth cheaper; with one in flight there is no difference
// in CPU, and two loops answer sooner. Waking a sleeping loop took 58-91 us on average with either (BenchmarkWakeUp). What has not been
// measured here is a busy shard beside two loops: a loop in epoll_wait may hold its processor until the runtime takes it back.
func defaultLoops() int { return min(max(1, runtime.GOMAXPROCS(0)/2), maxLoops) }

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) validate() error {
	_, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		err = fmt.Errorf("netserver: listen address %q: %w; give IP:PORT, for example 127.0.0.1:8080 or [::]:8080", c.Listen, err)
	}
	if !strings.HasPrefix(c.Path, "/") {
		err = errors.Join(err, fmt.Errorf("netserver: path %q does not begin with a slash; give for example /v1/ws", c.Path))
	}
	return errors.Join(err, c.validateNumbers(), c.validateTimes(), c.validateOrigins(), c.validateProxy(), c.Limits.validate(), c.validateHeld())
}

// validateHeld wants every loop to have room for a message, and for an upgrade request, that its own limit allows: else one slow peer alone would be too much.
func (c *Config) validateHeld() error {
	longest := 2 * max(c.MaxMessage, c.MaxHeader)
	if least := longest * c.Loops; c.Limits.Held < least {
		return fmt.Errorf("netserver: limit of held bytes is %d, which leaves each of %d loops %d: too little for a message of up to %d bytes; give at least %d, or fewer loops, or shorter messages",
			c.Limits.Held, c.Loops, c.Limits.Held/max(1, c.Loops), c.MaxMessage, least)
	}
	return nil
}

func (c *Config) validateNumbers() error {
	return errors.Join(
		inRange("loops", c.Loops, 1, maxLoops),
		inRange("node", c.Node, 0, 1023),
		inRange("max connections", c.MaxConns, 1, maxLoops*maxSlots),
		inRange("max header bytes", c.MaxHeader, 256, 64<<10),
		inRange("max message bytes", c.MaxMessage, 125, 1<<30),
		inRange("max merge bytes", c.MaxMerge, 125, 1<<30),
		inRange("unsent bytes in the kernel", c.Unsent, 4<<10, 1<<30),
		inRange("output soft bound", c.OutSoft, 1, c.OutHard),
		inRange("output hard bound", c.OutHard, 1<<10, 1<<30),
		inRange("read budget", c.ReadBudget, 1<<10, 1<<24),
		inRange("mailbox bytes", c.Mailbox, 1<<10, 1<<32),
		inRange("microseconds in which input gathers", int(c.Gather.Microseconds()), 0, 100_000),
	)
}

func (c *Config) validateTimes() error {
	var err error
	for _, d := range []time.Duration{c.HandshakeTimeout, c.PingAfter, c.CloseAfter, c.WriteTimeout, c.MessageTimeout, c.LingerTimeout} {
		if d < c.tick {
			err = fmt.Errorf("netserver: timeout %v is shorter than the resolution of %v; give at least that", d, c.tick)
		}
	}
	if c.CloseAfter <= c.PingAfter {
		err = fmt.Errorf("netserver: close after %v of silence must be longer than ping after %v, or no peer has time to answer a ping", c.CloseAfter, c.PingAfter)
	}
	return err
}

func (c *Config) validateOrigins() error {
	for _, o := range c.AllowedOrigins {
		if err := checkOriginPattern(o); err != nil {
			return err
		}
	}
	return nil
}

func inRange(name string, v, lo, hi int) error {
	if v < lo || v > hi {
		return fmt.Errorf("netserver: %s is %d; give %d to %d", name, v, lo, hi)
	}
	return nil
}

func (c *Config) farewellCode() uint16 {
	if c.Raw {
		return frame.CloseGoingAway
	}
	return frame.CloseDrain
}

// ticks converts a duration to deadline units, rounded up.
func (c *Config) ticks(d time.Duration) int32 { return int32((d + c.tick - 1) / c.tick) }
