package switchyard

import "time"

// policy is how long to wait between attempts to connect; the server's welcome replaces it.
type policy struct {
	min    time.Duration // the wait after the immediate attempt; doubles from there
	max    time.Duration // no wait is longer, jitter included
	jitter time.Duration // a random part of it is added to each wait but the first, which is zero
}

var defaultPolicy = policy{min: time.Second, max: time.Minute, jitter: time.Second}

// backoff counts failed attempts. It is pure: randomness comes in as a function that returns a number in [0, n).
type backoff struct {
	policy  policy
	attempt int
}

// next returns the wait before the next attempt: none, then min, 2 min, 4 min, ... plus jitter, at most max. The doubling stops
// one jitter short of max, so that clients stay spread out at the limit as well.
func (b *backoff) next(random func(n int64) int64) time.Duration {
	b.attempt++
	if b.attempt == 1 {
		return 0
	}
	ceiling := max(b.policy.max-b.policy.jitter, 0)
	wait := ceiling
	if shift := b.attempt - 2; shift < 32 && b.policy.min<<shift>>shift == b.policy.min {
		wait = min(b.policy.min<<shift, ceiling)
	}
	return min(wait+randomPart(b.policy.jitter, random), b.policy.max)
}

func (b *backoff) reset() { b.attempt = 0 }

// randomPart returns a duration in [0, d].
func randomPart(d time.Duration, random func(n int64) int64) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(random(int64(d) + 1))
}
