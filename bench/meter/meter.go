// Package meter is the shape in which a running scenario shows what it does: a Sample each second, which progress lines, time series and charts are
// made of. Pure data: no clock, no sockets.
package meter

import (
	"maps"

	"github.com/switchyard-im/switchyard/bench/report"
)

// Sample is what one second (or so) of a run shows. Scenarios hand one to Config.Watch each second, from the goroutine of their Run; the receiver may
// keep its maps, but the Latencies only until it returns.
type Sample struct {
	Seconds   float64                    // since the run began
	Phase     string                     // "connecting", "warming up", "measuring", "draining"
	Note      string                     // what else a person may want to know of the phase: "12 of 500 are connected"; may be empty
	Load      string                     // which part of a mixed run; "" if there is one only
	Counts    map[string]int64           // totals since the run began: sent, accepted, delivered, violations, reconnects, opened, ...
	Gauges    map[string]float64         // at this moment: connections, offline, under_way, ...; the command adds what the processes use
	Latencies map[string]*report.Latency // of this interval alone: accept, deliver, echo, assign, page, late, ...
	Events    []Event                    // what was done to the server since the sample before
}

// Event is something that was done to the server during a run: "kill -9", "drain", "cut".
type Event struct {
	Seconds float64 `json:"seconds"` // since the run began
	Name    string  `json:"name"`
}

// Watch takes samples. Nil: nobody does.
type Watch func(Sample)

// Add adds what another part of the same run showed in the same interval: another loop, or another process. The other sample stays as it is.
func (s *Sample) Add(o *Sample) {
	if s.Counts == nil {
		s.Counts = map[string]int64{}
	}
	for name, n := range o.Counts {
		s.Counts[name] += n
	}
	if s.Gauges == nil {
		s.Gauges = map[string]float64{}
	}
	for name, v := range o.Gauges {
		s.Gauges[name] += v
	}
	if s.Latencies == nil {
		s.Latencies = map[string]*report.Latency{}
	}
	for name, l := range o.Latencies {
		if s.Latencies[name] == nil {
			s.Latencies[name] = report.NewLatency()
		}
		s.Latencies[name].Merge(l)
	}
	s.Events = append(s.Events, o.Events...)
}

// Interval collects the durations since they were last taken. Its owner, which is one loop, records and takes; what was taken may then be read by whoever
// waits for the loop (client.Fleet.Each), until the next time. The zero value is ready. It does not allocate after the second Take.
type Interval struct{ now, taken *report.Latency }

// Record adds a duration in nanoseconds.
func (i *Interval) Record(ns int64) {
	if i.now == nil {
		i.now = report.NewLatency()
	}
	i.now.Record(ns)
}

// Take returns what was collected since the last Take, and starts anew.
func (i *Interval) Take() *report.Latency {
	if i.now == nil {
		i.now = report.NewLatency()
	}
	if i.taken == nil {
		i.taken = report.NewLatency()
	}
	i.taken.Reset()
	i.now, i.taken = i.taken, i.now
	return i.taken
}

// Point is a Sample as it is kept: with percentiles in place of histograms.
type Point struct {
	Seconds   float64            `json:"seconds"`
	Phase     string             `json:"phase"`
	Load      string             `json:"load,omitempty"`
	Counts    map[string]int64   `json:"counts,omitempty"`
	Gauges    map[string]float64 `json:"gauges,omitempty"`
	Latencies map[string]Summary `json:"latencies_ms,omitempty"`
}

// Summary is what is kept of the latencies of an interval, in milliseconds.
type Summary struct {
	Count int64 `json:"count"`
	report.Percentiles
}

// Point summarises the sample.
func (s *Sample) Point() Point {
	p := Point{Seconds: s.Seconds, Phase: s.Phase, Load: s.Load, Counts: maps.Clone(s.Counts), Gauges: maps.Clone(s.Gauges), Latencies: map[string]Summary{}}
	for name, l := range s.Latencies {
		p.Latencies[name] = Summary{l.Count(), l.Percentiles()}
	}
	return p
}

// after is both of two neighbours as one: totals and gauges of the later, and the worse percentiles.
func (p Point) after(before Point) Point {
	both := maps.Clone(before.Latencies)
	for name, l := range p.Latencies {
		b := both[name]
		if both == nil {
			both = map[string]Summary{}
		}
		both[name] = Summary{l.Count + b.Count, l.Worst(b.Percentiles)}
	}
	p.Latencies = both
	return p
}
