// Package soak loads a server for a long time while everything that can happen to it does, and judges two things: no message was lost, duplicated,
// reordered or altered, in the deliveries and in the history, and the server gained nothing: its memory, descriptors and goroutines are the same at
// the same age, from one restart to the next.
package soak

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/desk"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
)

// Config of a run.
type Config struct {
	Chat   chat.Config  // pairs who talk all the time; required
	Desk   *desk.Config // visitors who come and go, beside them; nil: none
	Chaos  *chaos.Run   // what happens to both
	Admin  string       // the server's admin URL, for what it must not gain; required
	Growth float64      // of the median, that each may gain over the run; default 0.1
}

// What each may gain over a run however little it has: what is a matter of chance at that size.
const (
	leastBytes      = 8 << 20
	leastGoroutines = 20
	leastFDs        = 50 // files of the store among them
)

// Report is the outcome of a run.
type Report struct {
	Chat  *chat.Report  `json:"chat"`
	Desk  *desk.Report  `json:"desk,omitempty"`
	Chaos *chaos.Report `json:"chaos"`

	Starts     int     `json:"starts"`      // processes of the server that were seen
	AgeSeconds float64 `json:"age_seconds"` // they are compared from half of it on
	RSS        Trend   `json:"rss"`         // bytes
	Heap       Trend   `json:"heap"`        // bytes that were live after a collection
	Goroutines Trend   `json:"goroutines"`
	FDs        Trend   `json:"fds"`
}

// OK tells whether the server kept all its promises and gained nothing.
func (r *Report) OK() bool {
	return r.Chat.OK() && (r.Desk == nil || r.Desk.OK()) && r.Chaos.OK() && !r.RSS.Grows && !r.Heap.Grows && !r.Goroutines.Grows && !r.FDs.Grows
}

// Curves are those of the loads.
func (r *Report) Curves() map[string]*report.Latency {
	curves := map[string]*report.Latency{}
	maps.Copy(curves, r.Chat.Curves())
	if r.Desk != nil {
		for name, l := range r.Desk.Curves() {
			curves["desk "+name] = l
		}
	}
	return curves
}

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	rows := append([]report.Row{{Name: "CHAT", Value: ""}}, r.Chat.Rows()...)
	if r.Desk != nil {
		rows = append(rows, report.Row{Name: "DESK", Value: ""})
		rows = append(rows, r.Desk.Rows()...)
	}
	rows = append(rows, report.Row{Name: "TROUBLE", Value: ""})
	rows = append(rows, r.Chaos.Rows()...)
	return append(rows,
		report.Row{Name: "lives", Value: fmt.Sprintf("%d of the server, compared at %.0f to %.0f s of age", r.Starts, r.AgeSeconds/2, r.AgeSeconds)},
		report.Row{Name: "RSS", Value: r.RSS.describe(1e6, "MB")},
		report.Row{Name: "heap", Value: r.Heap.describe(1e6, "MB")},
		report.Row{Name: "goroutines", Value: r.Goroutines.describe(1, "goroutines")},
		report.Row{Name: "descriptors", Value: r.FDs.describe(1, "descriptors")},
	)
}

// Run loads the server. The error is a run that could not take place or could not go on.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Growth == 0 {
		cfg.Growth = 0.1
	}
	if cfg.Admin == "" || cfg.Growth < 0 {
		return nil, errors.New("soak: give the server's admin address, and a growth of 0 (10 %) or more")
	}
	if _, err := observe.ReadVitals(ctx, cfg.Admin); err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	w := watch(ctx, cfg.Admin, time.Second)
	rep, err := cfg.load(ctx)
	lives := w.end()
	if err != nil {
		return nil, err
	}
	rep.Chaos = cfg.Chaos.Report()
	rep.judge(lives, cfg.Growth)
	return rep, nil
}

// load runs the loads beside each other; when one cannot go on, the other ends.
func (cfg *Config) load(ctx context.Context) (*Report, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var rep Report
	var failed [2]error
	var both sync.WaitGroup
	both.Go(func() {
		talk := cfg.Chat
		talk.Chaos, talk.Watch = cfg.Chaos, named("chat", talk.Watch)
		if rep.Chat, failed[0] = chat.Run(ctx, talk); failed[0] != nil {
			stop()
		}
	})
	if cfg.Desk != nil {
		both.Go(func() {
			service := *cfg.Desk
			service.Chaos, service.Watch = cfg.Chaos, named("desk", service.Watch)
			if rep.Desk, failed[1] = desk.Run(ctx, service); failed[1] != nil {
				stop()
			}
		})
	}
	both.Wait()
	return &rep, errors.Join(failed[:]...)
}

// named names the load of each sample.
func named(load string, watch meter.Watch) meter.Watch {
	if watch == nil {
		return nil
	}
	return func(s meter.Sample) {
		s.Load = load
		watch(s)
	}
}

func (r *Report) judge(lives []life, growth float64) {
	r.Starts = len(lives)
	if len(lives) == 0 {
		return
	}
	r.AgeSeconds = age(lives)
	trend := func(least float64, figure func(v *observe.Vitals) int64) Trend {
		return newTrend(at(lives, r.AgeSeconds, figure), growth, least)
	}
	r.RSS = trend(leastBytes, func(v *observe.Vitals) int64 { return v.RSSBytes })
	r.Heap = trend(leastBytes, func(v *observe.Vitals) int64 { return v.HeapBytes })
	r.Goroutines = trend(leastGoroutines, func(v *observe.Vitals) int64 { return v.Goroutines })
	r.FDs = trend(leastFDs, func(v *observe.Vitals) int64 { return v.FDs })
}
