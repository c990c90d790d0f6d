package cluster

import (
	"time"

	"github.com/switchyard-im/switchyard/bench/meter"
)

// sums adds the samples of the members up, each load for itself. Members take their samples each second, but not at the same moment.
type sums struct {
	loads map[string]*sum
	left  map[int]bool // members that have ended
}

// sum is one load.
type sum struct {
	latest map[int]meter.Sample // of each member: its totals, and how it stands
	fresh  meter.Sample         // latencies and events since the sum was last shown
	since  time.Time            // when the first of those came
	new    map[int]bool         // members of which something came since
}

// overdue is how long the sample of one member waits for those of the others.
const overdue = 1200 * time.Millisecond

func newSums() *sums { return &sums{map[string]*sum{}, map[int]bool{}} }

func (s *sums) add(member int, sample *meter.Sample) {
	l := s.loads[sample.Load]
	if l == nil {
		l = &sum{latest: map[int]meter.Sample{}, new: map[int]bool{}}
		s.loads[sample.Load] = l
	}
	if len(l.new) == 0 {
		l.since = time.Now()
	}
	l.new[member] = true
	l.fresh.Add(&meter.Sample{Latencies: sample.Latencies, Events: sample.Events})
	latest := *sample
	latest.Latencies, latest.Events = nil, nil
	l.latest[member] = latest
}

// leave keeps what a member has done, but not how it stood, once that was shown.
func (s *sums) leave(member int) { s.left[member] = true }

// take returns the sums of the loads in which each of so many members showed something, or one of them waits too long.
func (s *sums) take(members int) (all []meter.Sample) {
	for name, l := range s.loads {
		if len(l.new) == 0 || len(l.new) < members && time.Since(l.since) < overdue {
			continue
		}
		total := l.fresh
		total.Load = name
		for member, latest := range l.latest {
			if l.new[member] {
				total.Phase, total.Note = latest.Phase, latest.Note
			} else if s.left[member] {
				latest.Gauges = nil
			}
			total.Add(&latest)
		}
		l.fresh, l.new = meter.Sample{}, map[int]bool{}
		all = append(all, total)
	}
	return all
}
