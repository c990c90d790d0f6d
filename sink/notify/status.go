package notify

import (
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/sink"
)

// Status is how it goes with one endpoint.
type Status struct {
	Endpoint        string
	Waiting         sink.Waiting
	Away            bool  // it does not work for anybody, and is tried with one notification at a time
	Fault           error // of the last attempt; nil: it delivered
	Since           time.Time
	Delivered, Dead uint64 // since the start
}

// Status tells how it goes with each endpoint.
func (n *Notifier) Status() []Status {
	var all []Status
	for _, l := range n.lanes {
		s := l.status.get()
		s.Endpoint, s.Waiting = l.cfg.Name, l.queue.Waiting(l.cfg.Name)
		all = append(all, s)
	}
	return all
}

// status is what a lane says of itself, and when it last told the log. Safe for concurrent use.
type status struct {
	mu     sync.Mutex
	public Status    // guarded by mu, as all below
	logged time.Time // a failure
}

// logInterval is how often failures are logged.
const logInterval = time.Minute

func (s *status) get() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.public
}

func (s *status) awayValue() float64 {
	if s.get().Away {
		return 1
	}
	return 0
}

// attempted notes how an attempt ended: the first failure is logged, and then one a minute, and that the endpoint is away, and the end of it.
func (s *status) attempted(l *lane, o outcome, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.public
	wasAway, was := p.Away, p.Fault
	p.Away, p.Fault = l.failures >= trip, nil
	if o.failure != nil {
		p.Fault = o.failure
	}
	if (was == nil) != (p.Fault == nil) {
		p.Since = now
	}
	switch {
	case wasAway && !p.Away:
		l.log.Info("notify: the endpoint answers again")
	case p.Fault == nil:
	case p.Away && !wasAway:
		s.logged = now
		l.log.Error("notify: the endpoint is away; what it should get waits", "cause", p.Fault)
	case now.Sub(s.logged) >= logInterval:
		s.logged = now
		l.log.Warn("notify: a notification was not delivered", "cause", p.Fault, "then", o.verdict, "attempts", o.attempts)
	}
}

func (s *status) settled(o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch o.verdict {
	case delivered:
		s.public.Delivered += uint64(len(o.items))
	case dead:
		s.public.Dead += uint64(len(o.items))
	}
}
