// Package percentile turns the native histograms of the server into ready percentiles of the last minute, for people who look
// at one machine and for the load tester. A fleet's percentiles need the histograms themselves, since percentiles of several
// machines cannot be combined.
//
// A Window takes a snapshot of the histograms every few seconds, on a goroutine of its own, and answers a scrape with the
// quantiles of the difference between the newest snapshot and the one of a minute before. Nothing is added to the paths that
// observe.
package percentile

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// The quantiles that are exported, with their label.
var quantiles = []struct {
	q     float64
	label string
}{{0.5, "0.5"}, {0.9, "0.9"}, {0.99, "0.99"}, {0.999, "0.999"}}

// Config says what is observed. All fields are required but the last two.
type Config struct {
	Gatherer prometheus.Gatherer // has the histograms; must not be the registry that the Window is registered with
	Metric   string              // the gauge's name, for example switchyard_latency_seconds
	Help     string
	Stages   map[string]string // histogram name -> the gauge's label stage
	Interval time.Duration     // between snapshots; default 5s
	Span     time.Duration     // what the percentiles cover, a multiple of Interval; default 1m
}

func (c Config) withDefaults() Config {
	if c.Interval == 0 {
		c.Interval = 5 * time.Second
	}
	if c.Span == 0 {
		c.Span = time.Minute
	}
	return c
}

// Window is a prometheus.Collector. Safe for concurrent use. Every histogram of a name counts, whatever its labels.
type Window struct {
	cfg  Config // fixed after construction
	desc *prometheus.Desc
	keep int // snapshots that span the window, and one more as its start

	mu        sync.Mutex
	snapshots []snapshot // oldest first, at most keep; guarded by mu
}

// snapshot is the state of every stage at one moment.
type snapshot map[string]*distribution

// New makes a Window; Run must be started for it to see anything.
func New(cfg Config) *Window {
	cfg = cfg.withDefaults()
	return &Window{
		cfg:  cfg,
		desc: prometheus.NewDesc(cfg.Metric, cfg.Help, []string{"stage", "quantile"}, nil),
		keep: int(cfg.Span/cfg.Interval) + 1,
	}
}

// Run takes snapshots until ctx is done.
func (w *Window) Run(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Interval)
	defer tick.Stop()
	for {
		w.sample()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sample adds a snapshot and forgets the one that left the window. A family that cannot be gathered is left out: the metrics
// endpoint reports that error itself.
func (w *Window) sample() {
	families, _ := w.cfg.Gatherer.Gather()
	s := snapshot{}
	for _, f := range families {
		if stage, ok := w.cfg.Stages[f.GetName()]; ok {
			s[stage] = sum(f)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.snapshots) == w.keep {
		w.snapshots = append(w.snapshots[:0], w.snapshots[1:]...)
	}
	w.snapshots = append(w.snapshots, s)
}

func sum(f *dto.MetricFamily) *distribution {
	total := newDistribution()
	for _, m := range f.GetMetric() {
		if h := m.GetHistogram(); h != nil {
			total.add(read(h))
		}
	}
	return total
}

// last returns what was observed between the oldest and the newest snapshot.
func (w *Window) last(stage string) *distribution {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.snapshots) == 0 {
		return newDistribution()
	}
	newest := w.snapshots[len(w.snapshots)-1][stage]
	if newest == nil {
		return newDistribution()
	}
	return newest.since(w.snapshots[0][stage])
}

// Describe implements prometheus.Collector.
func (w *Window) Describe(ch chan<- *prometheus.Desc) { ch <- w.desc }

// Collect implements prometheus.Collector: NaN where nothing was observed, as in a summary.
func (w *Window) Collect(ch chan<- prometheus.Metric) {
	for _, stage := range w.cfg.Stages {
		d := w.last(stage)
		for _, q := range quantiles {
			ch <- prometheus.MustNewConstMetric(w.desc, prometheus.GaugeValue, d.quantile(q.q), stage, q.label)
		}
	}
}

// Quantile returns the quantile q (0 to 1) of a stage over the window, in the histogram's unit; NaN if nothing was observed.
func (w *Window) Quantile(stage string, q float64) float64 {
	if q < 0 || q > 1 {
		return math.NaN()
	}
	return w.last(stage).quantile(q)
}
