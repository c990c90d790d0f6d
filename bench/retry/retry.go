// Package retry is when a client of the protocol dials again: at once, then after min, 2 min, 4 min ... up to max, with a random part of
// jitter on top. Scenarios follow it so that a server meets the wave that real clients make.
package retry

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Policy is the waits. A zero field means what the server says in its welcome, and the protocol's default until then.
type Policy struct {
	Min, Max, Jitter time.Duration
}

// Backoff counts the tries of one client. A value, owned by the client's loop.
type Backoff struct {
	min, max, jitter time.Duration
	attempt          int
}

// New takes the configured policy, or the protocol's default until the server names its own.
func New(p Policy) Backoff {
	b := Backoff{min: p.Min, max: p.Max, jitter: p.Jitter}
	b.min = cmp.Or(b.min, time.Second)
	b.max = cmp.Or(b.max, time.Minute)
	b.jitter = cmp.Or(b.jitter, time.Second)
	return b
}

// Welcomed starts over after a hello that was accepted, with the server's policy where the configuration has none.
func (b *Backoff) Welcomed(m *frame.Welcome, p Policy) {
	b.attempt = 0
	hint := func(field *time.Duration, configured time.Duration, ms uint64) {
		if configured == 0 && ms > 0 {
			*field = min(time.Duration(min(ms, 3_600_000))*time.Millisecond, time.Hour)
		}
	}
	hint(&b.min, p.Min, m.RetryMinMS)
	hint(&b.max, p.Max, m.RetryMaxMS)
	hint(&b.jitter, p.Jitter, m.RetryJitterMS)
}

// Next is the wait before the next try.
func (b *Backoff) Next(random *rand.Rand) time.Duration {
	b.attempt++
	if b.attempt == 1 {
		return 0
	}
	wait := b.max
	if shift := b.attempt - 2; shift < 20 {
		wait = min(b.min<<shift, b.max)
	}
	return min(wait+time.Duration(random.Int64N(int64(b.jitter)+1)), b.max)
}
