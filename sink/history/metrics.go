package history

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// All names begin with these.
const (
	namespace = "switchyard"
	subsystem = "history"
)

// metrics are the figures of one Shipper. Without a registerer they are only counted.
type metrics struct {
	reg        prometheus.Registerer
	registered []prometheus.Collector

	rows     prometheus.Counter
	batches  prometheus.Counter
	insert   prometheus.Histogram
	failures *prometheus.CounterVec
	dead     prometheus.Counter
	alarm    *prometheus.GaugeVec
}

func newMetrics(s *Shipper) (*metrics, error) {
	m := &metrics{
		reg:     s.cfg.Registerer,
		rows:    counter("rows_total", "Rows of messages that were shipped to ClickHouse."),
		batches: counter("batches_total", "Batches that were shipped to ClickHouse."),
		insert: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "insert_seconds", Help: "Time of one insert, also of one that failed.",
			Buckets:                         prometheus.ExponentialBuckets(0.002, 2, 16),
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "failures_total",
			Help: "Attempts that failed, by class of the error.",
		}, []string{"class"}),
		dead: counter("dead_total", "Rows that ClickHouse did not want, written to the file of dead letters."),
		alarm: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "failing",
			Help: "1 while nothing can be shipped, by class of the error; operator: somebody has to do something.",
		}, []string{"class"}),
	}
	m.failing(nil)
	for _, class := range []Class{ClassTransient, ClassOperator, ClassPoison} {
		m.failures.WithLabelValues(string(class))
	}
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "lag_seconds",
		Help: "How long ago the oldest message that is not shipped was accepted.",
	}, func() float64 { return s.lag(time.Now()).Seconds() })
	for _, c := range []prometheus.Collector{m.rows, m.batches, m.insert, m.failures, m.dead, m.alarm, lag} {
		if err := m.register(c); err != nil {
			m.unregister()
			return nil, err
		}
	}
	return m, nil
}

func (s *Shipper) lag(now time.Time) time.Duration {
	b := s.feed.Backlog()
	if b.OldestMS == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMilli(int64(b.OldestMS))))
}

// failing sets the alarm to the class of a fault; nil is none.
func (m *metrics) failing(fault *Fault) {
	for _, class := range []Class{ClassTransient, ClassOperator} {
		value := 0.0
		if fault != nil && fault.Class == class {
			value = 1
			m.failures.WithLabelValues(string(class)).Inc()
		}
		m.alarm.WithLabelValues(string(class)).Set(value)
	}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func (m *metrics) register(c prometheus.Collector) error {
	if m.reg == nil {
		return nil
	}
	if err := m.reg.Register(c); err != nil {
		return errors.Join(errors.New("history: the registerer has metrics of another shipper"), err)
	}
	m.registered = append(m.registered, c)
	return nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.reg.Unregister(c)
	}
	m.registered = nil
}
