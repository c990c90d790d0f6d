package echo

import (
	"bytes"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

// never is a time that does not come.
const never = int64(1) << 62

// tick is the least time between two wake-ups of the schedule, in nanoseconds: it bounds what they cost, and what they add to a latency.
const tick = 50_000

// admitAtOnce bounds how many messages become due in one round, so that a schedule which cannot be kept leaves time for answers.
const admitAtOnce = 4096

// share is what one loop has of the run. Owned by the loop; Run reads it once it is stopped.
type share struct {
	// Fixed before the load begins.
	run    *run
	cfg    *Config
	loop   *client.Loop
	filler []byte // of every message, after its number
	active []*peer
	begin  int64 // of the load

	// The state of the load.
	end      int64 // nothing is due or sent anew after this; far away until it is known
	schedule client.Timer
	slot     int64 // open loop: messages that were due so far, which the active peers take in turn
	stopped  bool

	// What was counted.
	from, to   int64           // the measured window
	echoed     int64           // in the window
	rtt        *report.Latency // closed loop: of what was answered in the window; open: of what was due in it, from then
	late       *report.Latency // open loop: how late the generator looked at what was due in the window
	all        int64           // echoed since the beginning
	open       int             // connections
	errors     int64
	firstError string
	recent     meter.Interval // round trips since the last sample
}

func newShare(r *run, l *client.Loop) *share {
	s := &share{
		run: r, cfg: &r.cfg, loop: l, filler: bytes.Repeat([]byte{'x'}, r.cfg.Size-minSize), rtt: report.NewLatency(), late: report.NewLatency(),
		end: never, from: never, to: never,
	}
	s.schedule.Fire = s.admit
	return s
}

func (s *share) openLoop() bool { return !s.cfg.Rate.Never() }

// add makes connection n of the run.
func (s *share) add(n int) {
	p := &peer{share: s, active: s.cfg.sends(n), number: n * s.cfg.Active / s.cfg.Conns}
	if p.active {
		s.active = append(s.active, p)
		if !s.openLoop() {
			p.at = make([]int64, s.cfg.Inflight)
		}
	}
	p.conn = s.loop.NewConn(s.run.target, s.run.target.SourceFor(n, s.cfg.PerSource), p)
	p.conn.Dial()
}

// start begins the load. Begin is the same for all shares.
func (s *share) start(begin int64) {
	s.begin = begin
	if s.openLoop() {
		s.loop.Arm(&s.schedule, begin)
		return
	}
	for _, p := range s.active {
		p.conn.Wake()
	}
}

// admit wakes those whose messages became due and comes back for the next.
func (s *share) admit() {
	now := client.Now()
	next := s.nextDue()
	for n := 0; next < min(now, s.end) && n < admitAtOnce; n++ {
		if next >= s.from && next < s.to {
			s.late.Record(now - next)
		}
		s.active[s.slot%int64(len(s.active))].conn.Wake()
		s.slot++
		next = s.nextDue()
	}
	if next < s.end {
		s.loop.Arm(&s.schedule, max(next, now+tick))
	}
}

// admitted tells whether everything that is ever due has been admitted.
func (s *share) admitted() bool { return !s.openLoop() || s.nextDue() >= s.end }

// nextDue is when the next message of the share is due, its active peers taking turns.
func (s *share) nextDue() int64 {
	own := int64(len(s.active))
	if own == 0 {
		return never
	}
	return s.active[s.slot%own].due(uint64(s.slot / own))
}

// answered counts the oldest message of a peer that was not answered.
func (s *share) answered(p *peer) {
	now := client.Now()
	since, counts := now, false
	if s.openLoop() {
		since = p.due(p.echoed)
		counts = since >= s.from && since < s.to
	} else {
		since = p.at[p.echoed%uint64(len(p.at))]
		counts = now >= s.from && now < s.to
	}
	if counts {
		s.rtt.Record(now - since)
	}
	if now >= s.from && now < s.to {
		s.echoed++
	}
	s.all++
	s.recent.Record(now - since)
}

// measure starts the measured window: what was counted before is warm-up.
func (s *share) measure(from int64) { s.from = from }

// finish ends the window. Nothing more becomes due; in the open loop, what was due before is still sent. A schedule that is so far behind that nothing of the
// window was looked at is late by that.
func (s *share) finish(at int64) {
	s.to, s.end = at, at
	if next := s.nextDue(); s.openLoop() && next < at {
		s.late.Record(at - next)
	}
}

// unanswered is how many messages did not come back: in the open loop of those that were admitted, in the closed one of those that were sent on connections
// that still are.
func (s *share) unanswered() (n int64) {
	if s.openLoop() {
		return s.slot - s.all
	}
	for _, p := range s.active {
		if !p.gone {
			n += int64(p.sent - p.echoed)
		}
	}
	return n
}

func (s *share) stop() {
	s.stopped = true
	s.loop.Disarm(&s.schedule)
}

// sample is what the share shows since the last one.
func (s *share) sample() meter.Sample {
	return meter.Sample{
		Counts:    map[string]int64{"echoed": s.all, "errors": s.errors},
		Gauges:    map[string]float64{"connections": float64(s.open), "under_way": float64(s.unanswered())},
		Latencies: map[string]*report.Latency{"rtt": s.recent.Take()},
	}
}

func (s *share) fail(err error) {
	if s.errors++; s.firstError == "" {
		s.firstError = err.Error()
	}
}
