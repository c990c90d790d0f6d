// Package overload offers a server more than it can take, and looks at what it makes of it.
//
// First it finds the peak: the best rate of closed loops with more and more messages under way. Then the same pairs offer a multiple of
// it in an open loop, as clients do that retry what was refused after the time that they are told. What counts is how many messages are
// accepted, and how long the sending that was accepted took to be answered; how long a message waited at its client until then
// grows without bound, whatever a server does.
package overload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/schedule"
)

// Config of a run.
type Config struct {
	Chat     chat.Config // its Rate and Inflight are not used
	Times    float64     // the load, in peaks; more than 1
	Inflight []int       // of the closed loops that find the peak
	MinShare float64     // of the peak that has to be accepted
	MaxP99   float64     // milliseconds that the accepted sending may take
}

// Report is the outcome of a run.
type Report struct {
	Peaks    []*chat.Report `json:"peaks"`
	Peak     float64        `json:"peak"` // accepted messages per second
	Overload *chat.Report   `json:"overload"`
	Share    float64        `json:"share"` // of the peak
	MinShare float64        `json:"min_share"`
	MaxP99   float64        `json:"max_p99_ms"`
}

// Run finds the peak and goes beyond it.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Times <= 1 || len(cfg.Inflight) == 0 {
		return nil, errors.New("overload: give a load of more than one peak, and what is under way when the peak is looked for")
	}
	rep := &Report{MinShare: cfg.MinShare, MaxP99: cfg.MaxP99}
	began, watch := time.Now(), cfg.Chat.Watch
	for _, n := range cfg.Inflight {
		c := cfg.Chat
		c.Rate, c.Inflight, c.Watch = schedule.Rate{}, n, part(watch, fmt.Sprintf("peak, %d in flight", n), began)
		r, err := chat.Run(ctx, c)
		if err != nil {
			return nil, err
		}
		rep.Peaks = append(rep.Peaks, r)
		rep.Peak = max(rep.Peak, r.Rate)
	}
	c := cfg.Chat
	rate, err := schedule.Constant(cfg.Times * rep.Peak)
	if err != nil {
		return nil, err
	}
	c.Rate, c.Inflight, c.Watch = rate, 0, part(watch, "overload", began)
	if rate.Never() {
		return nil, errors.New("overload: the server accepted nothing; give it more time")
	}
	if rep.Overload, err = chat.Run(ctx, c); err != nil {
		return nil, err
	}
	rep.Share = rep.Overload.Rate / rep.Peak
	return rep, nil
}

// part names the run that samples are of, and puts them on the time axis of all.
func part(watch meter.Watch, load string, began time.Time) meter.Watch {
	if watch == nil {
		return nil
	}
	before := time.Since(began).Seconds()
	return func(s meter.Sample) {
		s.Load, s.Seconds = load, s.Seconds+before
		watch(s)
	}
}

// Curves are those of the load above the peak.
func (r *Report) Curves() map[string]*report.Latency { return r.Overload.Curves() }

// OK tells whether the server kept its promises, accepted enough, and in time.
func (r *Report) OK() bool {
	for _, p := range r.Peaks {
		if !p.OK() {
			return false
		}
	}
	return r.Overload.OK() && r.Share >= r.MinShare && r.Overload.Attempt.P99 <= r.MaxP99
}

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	var rows []report.Row
	for _, p := range r.Peaks {
		rows = append(rows, report.Row{Name: "peak", Value: fmt.Sprintf("%.0f accepted/s with %d under way in each of %d pairs%s", p.Rate, p.Inflight, p.Pairs, cpu(p))})
	}
	o := r.Overload
	rows = append(rows, o.Rows()...)
	return append(rows, report.Row{Name: "verdict", Value: fmt.Sprintf("%.1f times the peak was offered, %.0f%% of it accepted (at least %.0f%%), accepted sendings took p99 %.0f ms (at most %.0f)",
		o.Target/r.Peak, 100*r.Share, 100*r.MinShare, o.Attempt.P99, r.MaxP99)})
}

// cpu tells what the server had for it, which on a machine with other work differs between the windows of a run.
func cpu(r *chat.Report) string {
	if r.Server == nil {
		return ""
	}
	return fmt.Sprintf("; %.2f us of server CPU each, %.1f s in all", r.Server.CPUUSPerMessage, r.Server.CPUSeconds)
}
