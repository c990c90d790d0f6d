package chat

import "github.com/switchyard-im/switchyard/bench/client"

// tick is the least time between two wake-ups of the schedule, in nanoseconds: it bounds what they cost, and what they add to a latency.
const tick = 50_000

// admit gives the pairs what became due and comes back for the next.
func (s *share) admit() {
	now := client.Now()
	for ; s.slotDue(s.slot) <= min(now, s.end); s.slot++ {
		for i := range s.windows {
			s.windows[i].noteLate(s.slotDue(s.slot), now)
		}
		s.pairs[s.slot%int64(len(s.pairs))].pump()
	}
	if next := s.slotDue(s.slot); next <= s.end {
		s.loop.Arm(&s.schedule, max(next, now+tick))
	}
}

func (s *share) slotDue(slot int64) int64 { return s.begin + slot*s.interval }

// due returns when the pair's next message is due, and whether that has come. Pairs take the slots of their share in turn, so a pair
// that fell behind needs no list of what it owes.
func (s *share) due(p *pair) (at int64, ok bool) {
	now := client.Now()
	if s.closedLoop() {
		return now, now < s.end
	}
	at = s.slotDue(p.admitted*int64(len(s.pairs)) + int64(p.local))
	return at, at <= min(now, s.end)
}

func (s *share) owes(p *pair) bool {
	_, ok := s.due(p)
	return ok && !s.closedLoop()
}
