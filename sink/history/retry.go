package history

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the wait before the next attempt, after so many that failed: anything from nothing to a bound that doubles ("full
// jitter"), so that many servers do not come back to ClickHouse at once.
func (c *Config) backoff(failed int) time.Duration {
	bound := c.RetryMax
	if failed < 32 && c.RetryMin<<(failed-1) < bound {
		bound = c.RetryMin << (failed - 1)
	}
	return rand.N(bound + 1)
}

// retry calls f until it ends well, its error is poison, or ctx ends; so it returns nil, a Fault of ClassPoison or the context's error. Everything
// else is tried again for as long as it takes.
func (s *Shipper) retry(ctx context.Context, f func(context.Context) error) error {
	for failed := 0; ; {
		err := f(ctx)
		if ctx.Err() != nil && err != nil {
			return ctx.Err()
		}
		var fault *Fault
		if err != nil {
			fault = classify(s.cfg, err)
		}
		if fault != nil && fault.Class == ClassPoison {
			s.metrics.failures.WithLabelValues(string(ClassPoison)).Inc()
			return fault
		}
		if s.report(fault); fault == nil {
			return nil
		}
		failed++
		if err := sleep(ctx, s.cfg.backoff(failed)); err != nil {
			return err
		}
	}
}

// retryBlameless is retry for what has no rows of messages, or none that can be at fault: there poison is the tables', and an operator's matter. It returns
// nil or the context's error.
func (s *Shipper) retryBlameless(ctx context.Context, f func(context.Context) error) error {
	return s.retry(ctx, func(ctx context.Context) error {
		err := f(ctx)
		if err == nil {
			return nil
		}
		fault := classify(s.cfg, err)
		if fault.Class == ClassPoison {
			fault = &Fault{ClassOperator, "a table is not as this binary makes it: take away what was changed or added (a column, a constraint, a materialized view), or name another database", fault.Err}
		}
		return fault
	})
}
