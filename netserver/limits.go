package netserver

import (
	"errors"
	"fmt"
	"time"
)

// Limits is what the server takes from its peers. A rate of 0 is no limit, a burst of 0 is four seconds of its rate.
type Limits struct {
	AcceptRate  int // new connections in a second; more are answered 503, and beyond that left in the kernel's backlog
	AcceptBurst int // of them at once; at least AcceptRate
	PerAddress  int // sockets of one IPv4 address or IPv6 /64; more are answered 429. 0: no limit

	// Held is how many bytes all connections hold for incomplete messages and unsent output, divided by the loops; default 1 GiB. Each loop's part has
	// room for twice the longest message, because buffers grow by doubling.
	Held int

	MessageRate  int // messages and control frames from one connection in a second, each frame of a batch counted (see Conn.Spend)
	MessageBurst int // of them at once; at least MessageRate
	ByteRate     int // bytes from one connection in a second
	ByteBurst    int // of them at once; at least ByteRate

	// LimitedMax is how long a connection may want more than the two rates without a break; then it is closed with 4504. 0: for ever.
	LimitedMax time.Duration
}

// maxBurst keeps levels, with the overshoot of one read, within 32 bits.
const maxBurst = 1 << 30

func (l Limits) withDefaults() Limits {
	setDefault(&l.Held, 1<<30)
	setDefault(&l.AcceptBurst, min(4*l.AcceptRate, maxBurst))
	setDefault(&l.MessageBurst, min(4*l.MessageRate, maxBurst))
	setDefault(&l.ByteBurst, min(4*l.ByteRate, maxBurst))
	return l
}

func (l *Limits) validate() error {
	return errors.Join(
		validRate("connections", l.AcceptRate, l.AcceptBurst),
		inRange("limit of connections of an address", l.PerAddress, 0, maxBurst),
		inRange("limit of held bytes", l.Held, 1<<20, 1<<40),
		validRate("messages", l.MessageRate, l.MessageBurst),
		validRate("bytes", l.ByteRate, l.ByteBurst),
	)
}

// validRate wants a burst of a second at least, because buckets are looked at once a second: a smaller one would make the rate smaller.
func validRate(of string, rate, burst int) error {
	if rate == 0 {
		return nil
	}
	return errors.Join(
		inRange("limit of "+of+" in a second", rate, 1, maxBurst),
		inRange(fmt.Sprintf("burst of %s at a rate of %d", of, rate), burst, rate, maxBurst),
	)
}

// limit names what was applied. Each application is counted in switchyard_limited_total, in loop.limited and nowhere else.
type limit uint8

const (
	limitConnections limit = iota // Config.MaxConns: 503
	limitAcceptRate               // Limits.AcceptRate: 503
	limitBacklog                  // the same: accepting paused
	limitAddress                  // Limits.PerAddress: 429
	limitHeld                     // Limits.Held: 4003, 503 or cut off
	limitMessages                 // Limits.MessageRate: reading paused
	limitBytes                    // Limits.ByteRate: reading paused
	limitCount
)

var limitNames = [limitCount]string{"connections", "accept_rate", "accept_backlog", "per_address", "held", "messages", "bytes"}

func (l *loop) limited(by limit) { l.n.limited[by]++ }
