package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/switchyard-im/switchyard/bench/meter"
)

// metrics serves the samples of a run on /metrics while it lasts. Counts are counters, gauges are gauges; a latency is a summary whose quantiles are those of
// the last sample and whose count and sum are of the whole run. The label load tells the parts of a mixed run apart. It collects what is latest: names
// come from the scenario, so it describes none beforehand.
type metrics struct {
	// Fixed after construction.
	server *http.Server
	served chan struct{}

	mu    sync.Mutex
	loads map[string]*gathered // guarded by mu
}

// gathered is the latest of one load.
type gathered struct {
	sample    meter.Sample // without latencies, which are the scenario's
	summaries map[string]*summary
}

// summary is one latency, in seconds.
type summary struct {
	count     uint64
	sum       float64
	quantiles map[float64]float64
}

// quantiles are those that a summary has.
var quantiles = []float64{0.5, 0.9, 0.99, 0.999, 0.9999, 1}

// serveMetrics listens on an address; close ends it and waits.
func serveMetrics(address string) (*metrics, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics-listen: %w", err)
	}
	m := &metrics{served: make(chan struct{}), loads: map[string]*gathered{}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	go func() {
		defer close(m.served)
		_ = m.server.Serve(listener) // it returns when close is called
	}()
	return m, nil
}

func (m *metrics) close() {
	_ = m.server.Close()
	<-m.served
}

// show takes a sample.
func (m *metrics) show(s *meter.Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.loads[s.Load]
	if g == nil {
		g = &gathered{summaries: map[string]*summary{}}
		m.loads[s.Load] = g
	}
	g.sample = *s
	g.sample.Latencies = nil
	for name, l := range s.Latencies {
		sum := g.summaries[name]
		if sum == nil {
			sum = &summary{}
			g.summaries[name] = sum
		}
		sum.count += uint64(l.Count())
		sum.sum += l.Mean() / 1e3 * float64(l.Count())
		sum.quantiles = map[float64]float64{}
		for _, q := range quantiles {
			sum.quantiles[q] = l.At(100*q) / 1e3
		}
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for load, g := range m.loads {
		desc := func(name, help string, more ...string) *prometheus.Desc {
			return prometheus.NewDesc("switchyard_bench_"+name, help, append([]string{"load"}, more...), nil)
		}
		to <- prometheus.MustNewConstMetric(desc("run_seconds", "Time since the run began."), prometheus.GaugeValue, g.sample.Seconds, load)
		for name, n := range g.sample.Counts {
			to <- prometheus.MustNewConstMetric(desc(name+"_total", "Total of the run: "+words(name)+"."), prometheus.CounterValue, float64(n), load)
		}
		for name, v := range g.sample.Gauges {
			to <- prometheus.MustNewConstMetric(desc(name, "Now: "+words(name)+"."), prometheus.GaugeValue, v, load)
		}
		for name, s := range g.summaries {
			to <- prometheus.MustNewConstSummary(desc("latency_seconds", "Latencies; the quantiles are those of the last second, count and sum of the whole run.", "of"),
				s.count, s.sum, s.quantiles, load, name)
		}
	}
}
