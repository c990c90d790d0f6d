package notify

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/sink"
)

// settled is what a settling did.
type settled struct {
	outcomes []outcome
	unburied bool  // the dead letters could not be written, so what should be one waits on
	err      error // that of the context: nothing is settled
}

// take takes in how an attempt ended. Its conversation stays busy until that is durable, so that a crash lets at most what is being sent be sent again.
func (l *lane) take(o outcome) {
	if o.full {
		l.burying--
	} else {
		l.sending--
		l.judge(o)
	}
	if o.verdict == unread {
		l.plan.again(o.conv, len(o.items), o.dueMS, o.tried)
		l.freed(o)
		l.plan.release(o.conv)
		l.storeFailed(o.failure)
		if o.full {
			l.buried = l.retry
		}
		return
	}
	l.ended = append(l.ended, o)
}

// judge draws conclusions about the endpoint.
func (l *lane) judge(o outcome) {
	l.metrics.attempted(o)
	if o.verdict == cancelled {
		return // which says nothing of the endpoint
	}
	now := time.Now()
	switch f := o.failure; {
	case f == nil:
		l.failures, l.pause = 0, time.Time{}
	case f.away:
		if l.failures++; l.failures >= trip {
			l.pause = now.Add(backoff(l.cfg.RetryMin, l.cfg.PauseMax, l.failures-trip+1))
		}
		if asked := now.Add(f.wait); asked.After(l.pause) { // an endpoint that says when to come back says it to all
			l.pause = asked
		}
	}
	l.status.attempted(l, o, now)
}

// startSettling makes durable what has ended since the last time.
func (l *lane) startSettling(work *sync.WaitGroup, kill context.Context) {
	if l.settling || len(l.ended) == 0 {
		return
	}
	l.settling = true
	ended := l.ended
	l.ended = nil
	work.Go(func() { l.settled <- l.settle(kill, ended) }) // until it is durable or kill; run waits
}

// settle writes the dead letters, then tells the store. While the store is away it tries again.
func (l *lane) settle(ctx context.Context, ended []outcome) settled {
	s := settled{outcomes: ended}
	var letters []Letter
	for _, o := range ended {
		letters = append(letters, o.letters...)
	}
	if err := l.burial.bury(letters); err != nil {
		l.log.Error("notify: dead letters cannot be written; they wait, and are tried again", "cause", err)
		s.unburied = true
		unbury(ended)
	}
	settlements := settlementsOf(ended)
	for failed := 1; ; failed++ {
		err := l.queue.Settle(ctx, l.cfg.Name, settlements)
		if err == nil {
			return s
		}
		if failed == 1 && ctx.Err() == nil {
			l.log.Warn("notify: what was sent cannot be noted at present", "cause", err)
		}
		select {
		case <-time.After(backoff(10*time.Millisecond, time.Second, failed)):
		case <-ctx.Done():
			s.err = errors.Join(err, ctx.Err())
			return s
		}
	}
}

// unbury makes what should be dead wait on.
func unbury(ended []outcome) {
	for i := range ended {
		if o := &ended[i]; o.verdict == dead {
			o.verdict, o.letters = retried, nil
			o.dueMS = uint64(time.Now().Add(time.Minute).UnixMilli())
		}
	}
}

// settlementsOf says what the store is told.
func settlementsOf(ended []outcome) (all []sink.Settlement) {
	for _, o := range ended {
		for _, it := range o.items {
			all = append(all, sink.Settlement{Number: it.number, Done: o.verdict != retried, Attempts: it.attempts + o.tried, NextMS: o.dueMS})
		}
	}
	return all
}

// release goes on with the conversations whose outcome is durable.
func (l *lane) release(s settled) {
	if s.err != nil {
		return // the end
	}
	if s.unburied {
		l.buried = time.Now().Add(time.Second)
	}
	for _, o := range s.outcomes {
		l.freed(o)
		l.status.settled(o)
		l.tellSettled(o)
		l.metrics.settled(o)
		if o.verdict == retried {
			l.plan.again(o.conv, len(o.items), o.dueMS, o.tried)
		} else if l.plan.settled(o.conv, len(o.items)) {
			l.refill(o.conv)
		}
		l.plan.release(o.conv)
	}
}

// tellSettled tells of what does not wait any more.
func (l *lane) tellSettled(o outcome) {
	if l.cfg.Settled == nil || o.verdict == retried {
		return
	}
	for _, n := range o.ended {
		l.cfg.Settled(n)
	}
}

// freed takes back what startBurying noted.
func (l *lane) freed(o outcome) {
	if o.full {
		l.leaving -= uint64(o.items[0].bytes)
	}
}

// refill reads what follows of a conversation of which nothing is held. It looks through all that waits in between, which is only long if
// the conversation was held up while much was put in.
func (l *lane) refill(c *conversation) {
	var items []item
	var more uint64
	now := time.Now()
	err := l.queue.Read(l.cfg.Name, c.more-1, func(n sink.Notice) bool {
		if n.Number > l.plan.cursor {
			return false
		}
		if n.Conv != c.key.conv {
			return true
		}
		if len(items) == l.plan.perConv {
			more = n.Number
			return false
		}
		items = append(items, l.itemOf(n, now))
		return true
	})
	if err != nil { // it is known that this one waits, and the attempt reads it again
		l.storeFailed(err)
		items, more = []item{{number: c.more, dueMS: uint64(now.Add(time.Second).UnixMilli())}}, c.more+1
	}
	l.plan.refill(c, items, more)
}
