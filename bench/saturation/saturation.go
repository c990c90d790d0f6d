// Package saturation tells whether the load generator, and not the server that it drives, sets the figures of a run.
//
// A Meter watches the event loops of a scenario over the measured window: how much of the time they worked, and how late they were for timers of their
// own, which arrive as answers do. Judge compares that with the latencies that were measured: a generator that never had to wait for the server, or whose own
// lateness is a large part of a latency, measures itself.
package saturation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
)

// The verdict. A loop that works 95 % of the time has queues of its own before it, as any server has. Lateness is a large part of a latency if it is a quarter of
// the median, or half of the 99th percentile, which few events make; below a millisecond it is what a kernel takes to wake a thread.
const (
	busyAtMost = 0.95
	partOfP50  = 0.25
	partOfP99  = 0.5
	leastLate  = 1.0  // ms
	allBusy    = 0.95 // of all processors: what else runs takes part
	fewSamples = 100  // timers; of fewer, the 99th percentile is one event
)

// Report is how a generator did in a measured window.
type Report struct {
	Limited bool               `json:"limited"`                          // the figures are the generator's, for the reasons in Why
	Busy    float64            `json:"busy_share" merge:"max"`           // of the time in which the busiest of its event loops had something to do
	Lag     report.Percentiles `json:"lag_ms"`                           // how late the loops were for timers of their own
	CPU     float64            `json:"cpu_cores"`                        // processors that the process used on average
	Machine float64            `json:"machine_busy_share" merge:"max"`   // of the time of all the machine's processors; 0: not known
	Stolen  float64            `json:"machine_stolen_share" merge:"max"` // and what the hypervisor took
	Why     []string           `json:"limits,omitempty"`                 // the last one is the remedy

	few bool // too few timers for a 99th percentile
}

// Limits are the reasons why the generator set the figures; none if it did not.
func (r *Report) Limits() []string { return r.Why }

// String is the row of a table.
func (r *Report) String() string {
	return fmt.Sprintf("its busiest loop worked %.0f %% of the time, its own lateness p50 %.3f  p99 %.3f ms", 100*r.Busy, r.Lag.P50, r.Lag.P99)
}

// Beside is a latency as a row of the table, which says so if it is not the server's alone.
func (r *Report) Beside(p report.Percentiles) string {
	if !r.Limited {
		return p.String()
	}
	return p.String() + "  (much of it the generator's own, see below)"
}

// Meter watches the loops of a fleet over one window. Its methods are called by the goroutine that made the fleet.
type Meter struct {
	fleet  *client.Fleet
	loops  []*probe
	began  int64
	cpu    float64
	before observe.Processors
}

// probe is what is known of one loop, which owns it.
type probe struct {
	loop   *client.Loop
	timer  client.Timer
	due    int64
	late   *report.Latency
	waited int64
}

// probeEvery is the mean time between two timers of a loop: seldom enough to cost nothing, often enough for a 99th percentile.
const probeEvery = 10 * time.Millisecond

// Start begins a window.
func Start(fleet *client.Fleet) *Meter {
	m := &Meter{fleet: fleet, loops: make([]*probe, len(fleet.Loops))}
	m.before, _ = observe.ReadProcessors() // without it the machine's part is not told
	m.cpu, m.began = observe.Self(), client.Now()
	fleet.Each(func(i int, l *client.Loop) {
		p := &probe{loop: l, late: report.NewLatency(), waited: l.Waited()}
		p.timer.Fire = p.fired
		m.loops[i] = p
		p.arm(client.Now())
	})
	return m
}

// arm is for a moment that nothing else keeps time with.
func (p *probe) arm(now int64) {
	p.due = now + int64(probeEvery)/2 + rand.Int64N(int64(probeEvery))
	p.loop.Arm(&p.timer, p.due)
}

func (p *probe) fired() {
	now := client.Now()
	p.late.Record(now - p.due)
	p.arm(now)
}

// Stop ends the window and returns what it shows, without a verdict.
func (m *Meter) Stop() Report {
	var r Report
	late := report.NewLatency()
	m.fleet.Each(func(i int, l *client.Loop) {
		p := m.loops[i]
		l.Disarm(&p.timer)
		if now := client.Now(); now > p.due {
			p.late.Record(now - p.due) // it is late now
		}
		p.waited = l.Waited() - p.waited
	})
	wall := float64(max(client.Now()-m.began, 1))
	for _, p := range m.loops {
		late.Merge(p.late)
		r.Busy = max(r.Busy, 1-float64(p.waited)/wall)
	}
	r.Lag = late.Percentiles()
	r.CPU = (observe.Self() - m.cpu) * 1e9 / wall
	if after, err := observe.ReadProcessors(); err == nil && m.before.Total > 0 {
		r.Machine, r.Stolen = after.Since(m.before)
	}
	r.few = late.Count() < fewSamples
	return r
}

// Judge fills in the verdict. Latency is what the run measured; late is by how much messages of an open loop went out after they were due, all zero in a
// closed one.
func (r *Report) Judge(latency, late report.Percentiles) {
	r.Limited, r.Why = false, nil
	if r.Busy >= busyAtMost {
		r.because("an event loop had something to do %.0f %% of the time: rates and latencies are its own", 100*r.Busy)
	}
	lag := r.Lag
	if r.few {
		lag.P99 = 0
	}
	if part, large := largePart(lag, latency); large {
		r.because("the event loops were late by p50 %.1f  p99 %.1f ms: %s", r.Lag.P50, r.Lag.P99, part)
	}
	part, large := largePart(late, latency)
	if latency.Max == 0 && late.P50 >= leastLate {
		part, large = "nothing that was due then was answered", true
	}
	if large {
		r.because("messages went out late by p50 %.1f  p99 %.1f ms: %s", late.P50, late.P99, part)
	}
	if !r.Limited {
		return
	}
	if r.Machine >= allBusy {
		r.because("all processors of the machine were busy %.0f %% of the time (%.0f %% of it taken by the hypervisor): run the generator on another machine, or less beside it",
			100*r.Machine, 100*r.Stolen)
		return
	}
	r.because("more --threads, several processes, or another machine for the generator; or a lower rate")
}

func (r *Report) because(format string, args ...any) {
	r.Limited = true
	r.Why = append(r.Why, fmt.Sprintf(format, args...))
}

// largePart tells whether a lateness is a large part of a latency, and which.
func largePart(late, latency report.Percentiles) (part string, large bool) {
	of := func(a, b float64) float64 { return 100 * min(report.Share(a, b), 1) }
	switch {
	case latency.Max == 0: // nothing was measured that could be wrong
	case late.P50 >= leastLate && late.P50 >= partOfP50*latency.P50:
		return fmt.Sprintf("%.0f %% of the median latency", of(late.P50, latency.P50)), true
	case late.P99 >= leastLate && late.P99 >= partOfP99*latency.P99:
		return fmt.Sprintf("%.0f %% of the latency's p99", of(late.P99, latency.P99)), true
	}
	return "", false
}
