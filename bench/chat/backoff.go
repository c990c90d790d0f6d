package chat

import (
	"math/rand/v2"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// backoff says when to dial again: at once, then after min, 2 min, 4 min ... up to max, with a random part of jitter on top. A value, owned by a side.
type backoff struct {
	min, max, jitter time.Duration
	attempt          int
}

// newBackoff takes the configured policy, or the protocol's default until the server names its own.
func newBackoff(cfg *Config) backoff {
	b := backoff{min: cfg.RetryMin, max: cfg.RetryMax, jitter: cfg.RetryJitter}
	setDefault(&b.min, time.Second)
	setDefault(&b.max, time.Minute)
	setDefault(&b.jitter, time.Second)
	return b
}

// welcomed starts over after a hello that was accepted, with the server's policy where the configuration has none.
func (b *backoff) welcomed(m *frame.Welcome, cfg *Config) {
	b.attempt = 0
	hint := func(field *time.Duration, configured time.Duration, ms uint64) {
		if configured == 0 && ms > 0 {
			*field = min(time.Duration(min(ms, 3_600_000))*time.Millisecond, time.Hour)
		}
	}
	hint(&b.min, cfg.RetryMin, m.RetryMinMS)
	hint(&b.max, cfg.RetryMax, m.RetryMaxMS)
	hint(&b.jitter, cfg.RetryJitter, m.RetryJitterMS)
}

func (b *backoff) next(random *rand.Rand) time.Duration {
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
