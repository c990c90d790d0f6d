package chat

import "github.com/switchyard-im/switchyard/bench/client"

// tick is the least time between two wake-ups of the schedule, in nanoseconds: it bounds what they cost, and what they add to a latency.
const tick = 50_000

// admit gives the pairs what became due and comes back for the next.
func (s *share) admit() {
	now := client.Now()
	next := s.messageDue(s.slot)
	for ; next <= min(now, s.end); next = s.messageDue(s.slot) {
		s.noteLate(next, now)
		s.pairs[s.slot%int64(len(s.pairs))].pump()
		s.slot++
	}
	if next <= s.end {
		s.loop.Arm(&s.schedule, max(next, now+tick))
	}
}

// messageDue is when message n of the share is due; its pairs take them in turn.
func (s *share) messageDue(n int64) int64 {
	own := int64(len(s.pairs))
	return s.dueOf(s.pairs[n%own], n/own)
}

// dueOf is when message n of a pair is due. All pairs of the run, wherever they are driven, take the events of its rate in turn.
func (s *share) dueOf(p *pair, n int64) int64 {
	at, ok := s.cfg.Rate.Due(n*int64(s.cfg.Pairs) + int64(p.number))
	if !ok {
		return never
	}
	return s.begin + at
}

// due returns when the pair's next message is due, and whether that has come. A pair that fell behind needs no list of what it owes.
func (s *share) due(p *pair) (at int64, ok bool) {
	now := client.Now()
	if s.closedLoop() {
		return now, now < s.end
	}
	at = s.dueOf(p, p.admitted)
	return at, at <= min(now, s.end)
}

func (s *share) owes(p *pair) bool {
	_, ok := s.due(p)
	return ok && !s.closedLoop()
}
