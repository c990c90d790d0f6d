package switchyard

import (
	"errors"
	"net/http"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// plan decides when and where to connect again. It is pure: the time and randomness come in.
type plan struct {
	url     string // what the application gave
	backoff backoff
	random  func(n int64) int64
}

// attempt is the next try.
type attempt struct {
	wait time.Duration
	url  string
}

// ended tells how a connection went, before next is asked. The count starts anew only after a connection that lasted, so that a server that
// welcomes and drops is not hammered.
func (p *plan) ended(lasted time.Duration, policy policy) {
	p.backoff.policy = policy
	if lasted > policy.max {
		p.backoff.reset()
	}
}

// next returns what to do after an error; ok is false if no retry heals it. What the server said goes before the policy: a drain's time and
// target, a retry time, a close code.
func (p *plan) next(err error, drain *drainOrder, now time.Time) (a attempt, ok bool) {
	if isPermanent(err) {
		return attempt{}, false
	}
	a = attempt{url: p.url}
	if drain != nil {
		a.wait = max(drain.at.Sub(now), 0)
		if drain.target != "" {
			a.url = drain.target
		}
		return a, true
	}
	if skipsFirst(err) && p.backoff.attempt == 0 {
		p.backoff.attempt = 1
	}
	a.wait = p.backoff.next(p.random)
	if hint := retryHint(err); hint > 0 {
		a.wait = max(a.wait, hint+randomPart(p.backoff.policy.jitter, p.random))
	}
	if early, ok := errors.AsType[*earlyDrain](err); ok {
		a.wait = max(a.wait, early.delay+randomPart(early.window, p.random))
	}
	return a, true
}

// isPermanent tells that coming back is no use. A refused upgrade is not among them: a proxy answers anything while the server behind
// it restarts.
func isPermanent(err error) bool {
	if closed, ok := errors.AsType[*CloseError](err); ok {
		return closed.Permanent()
	}
	if refused, ok := errors.AsType[*ServerError](err); ok {
		return refused.RetryAfter == 0 && refused.Code != frame.ErrorTokenExpired
	}
	return errors.Is(err, ErrClosed)
}

// skipsFirst tells that an immediate attempt would make things worse.
func skipsFirst(err error) bool {
	if closed, ok := errors.AsType[*CloseError](err); ok {
		return closed.Code == frame.CloseOverloaded || closed.Code == frame.CloseReplaced
	}
	refused, ok := errors.AsType[*HandshakeError](err)
	return ok && (refused.Status == http.StatusServiceUnavailable || refused.Status == http.StatusTooManyRequests)
}

// retryHint returns the server's own retry time, or 0.
func retryHint(err error) time.Duration {
	if refused, ok := errors.AsType[*ServerError](err); ok {
		return refused.RetryAfter
	}
	if refused, ok := errors.AsType[*HandshakeError](err); ok {
		return refused.RetryAfter
	}
	return 0
}
