package storm

import (
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/report"
)

// tick is the time between two looks at what is due, in nanoseconds.
const tick = 5_000_000

// speaker says one message after the other to the guests of a ward, in turn, at a rate, and notes who lost the connection and came back. Owned by
// the ward's loop.
type speaker struct {
	ward     *crowd.Ward
	interval int64 // nanoseconds from one message to the next
	next     int64 // when the next message is due
	turn     int
	timer    client.Timer
	loop     *client.Loop

	outage  int64 // when it began; 0 before. Set by the first connection that ends, if not before
	dropped int64
	lost    map[*crowd.Guest]bool // lost the connection in the outage; true: is back
	came    int64
	first   int64 // times since the outage began
	last    int64
	back    *report.Latency
	recent  *recent
}

func newSpeaker(w *crowd.Ward, recent *recent, rate float64) *speaker {
	s := &speaker{ward: w, interval: int64(1e9 / rate), next: client.Now(), loop: w.Guests[0].Conn.Loop(), lost: map[*crowd.Guest]bool{}, back: report.NewLatency(), recent: recent}
	w.Dropped, w.Back = s.onDropped, s.onBack
	s.timer.Fire = s.say
	s.loop.Arm(&s.timer, s.next)
	return s
}

// most bounds what is said and not acked. While the clerk is away nothing is said.
const most = 4 * crowd.WardSize

// say says what is due. What was due while the clerk was away is not made up for.
func (s *speaker) say() {
	now := client.Now()
	if !s.ward.Speaking() || s.ward.Under >= most {
		s.next = now
	}
	for ; s.next < now; s.next += s.interval {
		s.ward.Say(s.ward.Guests[s.turn], s.next)
		s.turn = (s.turn + 1) % len(s.ward.Guests)
	}
	s.loop.Arm(&s.timer, now+tick)
}

func (s *speaker) stop() { s.loop.Disarm(&s.timer) }

func (s *speaker) onDropped(g *crowd.Guest, _ error) {
	if s.outage == 0 {
		s.outage = client.Now()
	}
	s.dropped++
	if s.lost[g] {
		s.came--
	}
	s.lost[g] = false
}

// onBack is called when a guest has everything that it missed.
func (s *speaker) onBack(g *crowd.Guest) {
	if back, lost := s.lost[g]; !lost || back {
		return
	}
	s.lost[g] = true
	s.came++
	s.last = client.Now() - s.outage
	if s.first == 0 {
		s.first = s.last
	}
	s.back.Record(s.last)
	s.recent.back.Record(s.last)
}

// complete is how many guests lost the connection and are back.
func (s *speaker) complete() int64 { return s.came }
