package main

import (
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/switchyard-im/switchyard/cmd/switchyard/percentile"
)

// latencyStages are the histograms of which percentiles of the last minute are exported, with the label of each.
var latencyStages = map[string]string{
	"switchyard_accept_seconds":      "accept",
	"switchyard_sink_commit_seconds": "commit",
	"switchyard_deliver_seconds":     "deliver",
}

// registries are two, so that the percentiles are made from the parts' metrics without looking at themselves, at the runtime
// and at the process each time.
type registries struct {
	parts   *prometheus.Registry // of netserver, dispatch and sink
	process *prometheus.Registry // of the Go runtime, the process, and derived from parts
	latency *percentile.Window
}

func newRegistries(serverID string) *registries {
	r := &registries{parts: prometheus.NewRegistry(), process: prometheus.NewRegistry()}
	r.latency = percentile.New(percentile.Config{
		Gatherer: r.parts, Stages: latencyStages, Metric: "switchyard_latency_seconds",
		Help: "Latency of the last minute by stage, from the histogram of that stage; NaN if nothing happened.",
	})
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "switchyard_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{"version": version, "server_id": serverID},
	})
	info.Set(1)
	r.process.MustRegister(info, r.latency, goCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// goCollector tells of the runtime what is usual, and what the garbage collector costs in CPU.
func goCollector() prometheus.Collector {
	return collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
		collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/cpu/classes/gc/total:cpu-seconds$")}))
}

func (r *registries) gatherer() prometheus.Gatherer { return prometheus.Gatherers{r.parts, r.process} }
