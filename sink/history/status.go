package history

import (
	"sync"
	"time"
)

// Status is how the shipping is going.
type Status struct {
	Backlog Backlog
	// Fault is why nothing is shipped at present; nil if all is well. Since is when that began.
	Fault *Fault
	Since time.Time
	// Shipped and Dead count rows since the start.
	Shipped, Dead uint64
}

// condition is what a Shipper says of itself, and when it last told the log. Safe for concurrent use.
type condition struct {
	mu            sync.Mutex
	fault         *Fault // guarded by mu, as all below; written by Run alone
	since, logged time.Time
	shipped, dead uint64
}

// logInterval is how often a failure that lasts is logged.
const logInterval = time.Minute

// Status may be called from any goroutine.
func (s *Shipper) Status() Status {
	b := s.feed.Backlog()
	s.condition.mu.Lock()
	defer s.condition.mu.Unlock()
	return Status{Backlog: b, Fault: s.condition.fault, Since: s.condition.since, Shipped: s.condition.shipped, Dead: s.condition.dead}
}

// report notes how an attempt ended: nil is well. The first failure is logged, and then one a minute, and the end of it. Only Run calls it; log
// and metrics come first, so that whoever sees the new Status finds them.
func (s *Shipper) report(fault *Fault) {
	now := time.Now()
	c := &s.condition
	before, since, logged := c.fault, c.since, c.logged // only this goroutine writes them
	s.metrics.failing(fault)
	switch {
	case fault == nil && before == nil:
		return
	case fault == nil:
		s.cfg.Logger.Info("history: ClickHouse takes rows again", "after", now.Sub(since).Round(time.Millisecond))
	case before == nil || before.Class != fault.Class || now.Sub(logged) >= logInterval:
		s.complain(fault)
		logged = now
	}
	if before == nil {
		since = now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.since, c.logged = fault, since, logged
}

func (s *Shipper) complain(fault *Fault) {
	if fault.Class == ClassOperator {
		s.cfg.Logger.Error("history: nothing is shipped to ClickHouse until somebody does something", "cause", fault.Err, "remedy", fault.Remedy)
		return
	}
	s.cfg.Logger.Warn("history: nothing is shipped to ClickHouse at present", "cause", fault.Err, "remedy", fault.Remedy)
}

func (s *Shipper) countShipped(rows int) {
	s.condition.mu.Lock()
	s.condition.shipped += uint64(rows)
	s.condition.mu.Unlock()
	s.metrics.rows.Add(float64(rows))
}

func (s *Shipper) countDead(rows int) {
	s.condition.mu.Lock()
	s.condition.dead += uint64(rows)
	s.condition.mu.Unlock()
	s.metrics.dead.Add(float64(rows))
}
