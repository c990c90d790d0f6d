package history

import (
	"sort"
	"sync"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
)

// shelf is what all readers share: whose turn it is, and what was read. Safe for concurrent use: a page takes the lock twice.
type shelf struct {
	begin int64
	rate  func(n int64) int64 // when a page is due; nil: closed loop

	mu       sync.Mutex // guards everything below
	ledger   oracle.Ledger
	tally    tally
	from, to int64 // the measured window
	page     *report.Latency
	late     *report.Latency
	pages    meter.Interval
	lates    meter.Interval
	asked    int64 // pages that somebody has taken on
	unasked  int64 // pages that were due at the end, and that nobody had taken on
	ended    bool

	done chan struct{} // closed with ended
}

// tally counts what was read since the run began.
type tally struct {
	pages, messages, walks      int64
	refusals, partial           int64
	windowPages, windowMessages int64
}

// never is a time that does not come.
const never = int64(1) << 62

func newShelf() *shelf {
	return &shelf{from: never, to: never, page: report.NewLatency(), late: report.NewLatency(), done: make(chan struct{})}
}

// due is when the next page is to be asked for, and its number is taken; ok is false at the end.
func (s *shelf) due() (at int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, false
	}
	n := s.asked
	s.asked++
	if s.rate == nil {
		return client.Now(), true
	}
	at = s.rate(n)
	return at, at < never
}

// asks notes how late a page is asked for.
func (s *shelf) asks(due, now int64) {
	if s.rate == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lates.Record(now - due)
	if due >= s.from && due < s.to {
		s.late.Record(now - due)
	}
}

// read notes a page that came.
func (s *shelf) read(due, came int64, messages int, partial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.pages++
	s.tally.messages += int64(messages)
	if partial {
		s.tally.partial++
	}
	s.pages.Record(came - due)
	if due >= s.from && due < s.to {
		s.page.Record(came - due)
	}
	if came >= s.from && came < s.to {
		s.tally.windowPages++
		s.tally.windowMessages += int64(messages)
	}
}

// refused notes an answer that told a reader to come later.
func (s *shelf) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.refusals++
}

// walked takes what a walk through a conversation found.
func (s *shelf) walked(l *oracle.Ledger, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if whole {
		s.tally.walks++
	}
	s.ledger.Merge(l)
}

// end lets nobody begin another page.
func (s *shelf) end(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	close(s.done)
	if s.rate != nil {
		s.waitedLocked(now)
	}
}

// maxWaited bounds how many pages that nobody took on are looked at one by one; of more, each stands for those behind it.
const maxWaited = 10_000

// waitedLocked counts what the pages have waited that are due and that no reader had the time for: without them the longest waits would be left out.
func (s *shelf) waitedLocked(now int64) {
	due := int64(sort.Search(1<<40, func(n int) bool { return s.rate(int64(n)) >= now }))
	s.unasked = max(due-s.asked, 0)
	step := s.unasked/maxWaited + 1
	for n := s.asked; n < due; n += step {
		if at := s.rate(n); at >= s.from && at < s.to {
			some := min(step, due-n)
			s.page.RecordN(now-at, some)
			s.late.RecordN(now-at, some)
		}
	}
}

// sample is what was read since the last one.
func (s *shelf) sample() meter.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return meter.Sample{
		Counts: map[string]int64{
			"pages": s.tally.pages, "messages": s.tally.messages, "walks": s.tally.walks, "refusals": s.tally.refusals, "partial": s.tally.partial,
			"violations": s.ledger.Total(),
		},
		Gauges:    map[string]float64{"under_way": float64(s.asked - s.tally.pages)},
		Latencies: map[string]*report.Latency{"page": s.pages.Take(), "late": s.lates.Take()},
	}
}

// over tells whether end was called.
func (s *shelf) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// measure begins the measured window.
func (s *shelf) measure(from, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from, s.to = from, to
}

// window is what came in it.
func (s *shelf) window() (pages, messages int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally.windowPages, s.tally.windowMessages
}
