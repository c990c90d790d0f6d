package dispatch

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// governorCollector reads the governor when Prometheus asks.
type governorCollector struct{ governor *governor }

var (
	descLevel  = prometheus.NewDesc("switchyard_pressure_level", "What is given up now: 0 nothing, 1 signals, 2 and presence, 3 and history, 4 and new connections.", nil, nil)
	descDelay  = prometheus.NewDesc("switchyard_queue_delay_seconds", "How long a frame that comes now is expected to take from its read to its answer being written, in the slowest queue; known to 50 ms.", nil, nil)
	descMemory = prometheus.NewDesc("switchyard_memory_used_ratio", "The share of the memory limit that is in use, garbage aside.", nil, nil)
	descShed   = prometheus.NewDesc("switchyard_shed_total", "What was given up under pressure, by class. Messages were refused with a retry time because they would have waited too long.", []string{"class"}, nil)
)

// Describe implements prometheus.Collector.
func (gc *governorCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLevel, descDelay, descMemory, descShed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (gc *governorCollector) Collect(ch chan<- prometheus.Metric) {
	g := gc.governor
	ch <- prometheus.MustNewConstMetric(descLevel, prometheus.GaugeValue, float64(g.level.Load()))
	ch <- prometheus.MustNewConstMetric(descDelay, prometheus.GaugeValue, float64(g.delay.Load())/1e9)
	ch <- prometheus.MustNewConstMetric(descMemory, prometheus.GaugeValue, math.Float64frombits(g.filled.Load()))
	for c := range g.counts {
		ch <- prometheus.MustNewConstMetric(descShed, prometheus.CounterValue, float64(g.counts[c].Load()), classNames[c])
	}
}
