package dispatch

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch/escalate"
)

// escalationStats are counted by the escalation's goroutine and read by its collector.
type escalationStats struct {
	watched     atomic.Int64
	fired, late atomic.Uint64
}

func (s *escalationStats) count(effects []escalate.Effect) {
	for i := range effects {
		if effects[i].Kind == escalate.Fire {
			s.fired.Add(1)
		}
	}
}

var (
	descUnacked = prometheus.NewDesc("switchyard_escalation_unacked", "Members of conversations who have not acked everything, where somebody is told of it.", nil, nil)
	descFired   = prometheus.NewDesc("switchyard_escalation_fired_total", "Notifications of messages that nobody acked in time, by what was put into the lanes.", nil, nil)
	descLate    = prometheus.NewDesc("switchyard_escalation_late_acks_total", "Acks of messages for which a notification had fired; it is cancelled or shortened if it was not sent.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *escalationStats) Describe(ch chan<- *prometheus.Desc) {
	ch <- descUnacked
	ch <- descFired
	ch <- descLate
}

// Collect implements prometheus.Collector.
func (s *escalationStats) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(descUnacked, prometheus.GaugeValue, float64(s.watched.Load()))
	ch <- prometheus.MustNewConstMetric(descFired, prometheus.CounterValue, float64(s.fired.Load()))
	ch <- prometheus.MustNewConstMetric(descLate, prometheus.CounterValue, float64(s.late.Load()))
}
