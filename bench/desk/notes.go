package desk

import (
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

// kinds are the latencies of a run.
var kinds = []string{"open", "assign", "accept", "deliver", "late"}

// notes is what one share measures. Latencies count by when something was due, rates by when it came; so an answer that comes after the end of the
// window still counts for its latency.
type notes struct {
	from, to int64 // the measured window
	window   map[string]*report.Latency
	interval map[string]*meter.Interval
	accept   int64 // within the window
	deliver  int64
	conclude int64
}

func newNotes() *notes {
	n := &notes{from: never, to: never, window: map[string]*report.Latency{}, interval: map[string]*meter.Interval{}}
	for _, kind := range kinds {
		n.window[kind], n.interval[kind] = report.NewLatency(), &meter.Interval{}
	}
	return n
}

func (n *notes) within(at int64) int64 {
	if at >= n.from && at < n.to {
		return 1
	}
	return 0
}

func (n *notes) note(kind string, due, now int64) {
	n.interval[kind].Record(now - due)
	if n.within(due) == 1 {
		n.window[kind].Record(now - due)
	}
}

func (n *notes) opened(due int64)    { n.note("open", due, client.Now()) }
func (n *notes) assigned(due int64)  { n.note("assign", due, client.Now()) }
func (n *notes) late(due, now int64) { n.note("late", due, now) }

func (n *notes) accepted(due int64) {
	now := client.Now()
	n.accept += n.within(now)
	n.note("accept", due, now)
}

func (n *notes) delivered(due int64) {
	now := client.Now()
	n.deliver += n.within(now)
	n.note("deliver", due, now)
}

func (n *notes) finished() { n.conclude += n.within(client.Now()) }

// take is what came since the last time.
func (n *notes) take() map[string]*report.Latency {
	taken := map[string]*report.Latency{}
	for kind, i := range n.interval {
		taken[kind] = i.Take()
	}
	return taken
}
