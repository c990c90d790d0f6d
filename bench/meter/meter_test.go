package meter

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func latency(ms ...int64) *report.Latency {
	l := report.NewLatency()
	for _, n := range ms {
		l.Record(n * 1e6)
	}
	return l
}

func TestSamplesOfSeveralLoopsAddUp(t *testing.T) {
	var sum Sample
	part := Sample{
		Counts: map[string]int64{"sent": 3}, Gauges: map[string]float64{"connections": 2},
		Latencies: map[string]*report.Latency{"accept": latency(1, 5)}, Events: []Event{{1, "kill -9"}},
	}
	sum.Add(&part)
	sum.Add(&part)
	if sum.Counts["sent"] != 6 || sum.Gauges["connections"] != 4 || sum.Latencies["accept"].Count() != 4 || len(sum.Events) != 2 {
		t.Errorf("%+v", sum)
	}
	if part.Latencies["accept"].Count() != 2 || part.Counts["sent"] != 3 {
		t.Errorf("the part changed: %+v", part)
	}
}

func TestAnIntervalIsTakenOnce(t *testing.T) {
	var i Interval
	if n := i.Take().Count(); n != 0 {
		t.Errorf("%d of nothing", n)
	}
	for round := range 3 {
		i.Record(1e6)
		taken := i.Take()
		i.Record(2e6) // while another goroutine reads what was taken
		if got := taken.Percentiles().Max; taken.Count() != int64(1+min(round, 1)) || (round == 0 && (got < 0.99 || got > 1.01)) {
			t.Errorf("round %d: %d up to %v ms", round, taken.Count(), got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { i.Record(5); i.Take() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestALongRunKeepsItsShape: of two loads with one extraordinary second each, after far more samples than are kept.
func TestALongRunKeepsItsShape(t *testing.T) {
	var s Series
	const seconds, seldom = 5 * maxPoints, 60 // latencies come with each sixtieth sample, as summing up a histogram takes its time
	usual, slow := latency(1), latency(70)
	for n := range seconds {
		for _, load := range []string{"a", "b"} {
			latencies := map[string]*report.Latency{}
			switch {
			case n == seconds/2:
				latencies["accept"] = slow
			case n%seldom == 0:
				latencies["accept"] = usual
			}
			s.Add(&Sample{
				Seconds: float64(n), Load: load, Counts: map[string]int64{"sent": int64(n)}, Latencies: latencies,
				Events: []Event{{float64(n), fmt.Sprint(n)}},
			})
		}
	}
	if len(s.Points) >= maxPoints || len(s.Points) < maxPoints/4 || len(s.Events) != maxEvents {
		t.Fatalf("%d points, %d events", len(s.Points), len(s.Events))
	}
	last, worst, total := map[string]Point{}, map[string]float64{}, map[string]int64{}
	for _, p := range s.Points {
		if before, ok := last[p.Load]; ok && (p.Seconds <= before.Seconds || p.Counts["sent"] <= before.Counts["sent"]) {
			t.Fatalf("%+v after %+v", p, before)
		}
		last[p.Load] = p
		worst[p.Load] = max(worst[p.Load], p.Latencies["accept"].P99)
		total[p.Load] += p.Latencies["accept"].Count
	}
	for _, load := range []string{"a", "b"} {
		if last[load].Counts["sent"] != seconds-1 || worst[load] < 69 || total[load] != seconds/seldom {
			t.Errorf("%s: the last is %+v, the worst %v ms, %d durations", load, last[load], worst[load], total[load])
		}
	}
}

func TestThinPointsLeaveTheGivenOnes(t *testing.T) {
	var points []Point
	for n := range 100 {
		points = append(points, Point{Seconds: float64(n), Latencies: map[string]Summary{"accept": {Count: 1, Percentiles: report.Percentiles{P50: float64(n)}}}})
	}
	thin := Thin(points, 30)
	if len(thin) != 25 || thin[24].Seconds != 99 || thin[24].Latencies["accept"] != (Summary{4, report.Percentiles{P50: 99}}) {
		t.Errorf("%d: %+v", len(thin), thin)
	}
	for n, p := range points {
		if p.Latencies["accept"] != (Summary{1, report.Percentiles{P50: float64(n)}}) {
			t.Fatalf("changed: %+v", p)
		}
	}
}
