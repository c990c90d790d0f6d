package notify

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// All names begin with these.
const (
	namespace = "switchyard"
	subsystem = "notify"
)

// metrics are the figures of one Notifier. Without a registerer they are only counted.
type metrics struct {
	reg        prometheus.Registerer
	registered []prometheus.Collector

	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	dead     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		reg: reg,
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "attempts_total",
			Help: "Attempts to send, by endpoint and outcome: delivered, retried, dead, or cancelled because it was not wanted any more."}, []string{"endpoint", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: "attempt_seconds",
			Help:    "Time of one attempt, also of one that failed, by endpoint.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 13), NativeHistogramBucketFactor: 1.1,
			NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour}, []string{"endpoint"}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "dead_total",
			Help: "Notifications that went to the dead letters, by endpoint and reason: refused, attempts, full."}, []string{"endpoint", "reason"}),
	}
}

// endpointMetrics are those of one endpoint.
type endpointMetrics struct {
	attempts map[verdict]prometheus.Counter
	seconds  prometheus.Observer
	dead     *prometheus.CounterVec
}

// The reasons of dead letters.
const (
	reasonRefused  = "refused"
	reasonAttempts = "attempts"
	reasonFull     = "full"
)

func (m *metrics) endpoint(name string) *endpointMetrics {
	e := &endpointMetrics{attempts: map[verdict]prometheus.Counter{}, seconds: m.seconds.WithLabelValues(name)}
	for _, v := range []verdict{delivered, retried, dead, cancelled} {
		e.attempts[v] = m.attempts.WithLabelValues(name, string(v))
	}
	e.dead = m.dead.MustCurryWith(prometheus.Labels{"endpoint": name})
	for _, reason := range []string{reasonRefused, reasonAttempts, reasonFull} {
		e.dead.WithLabelValues(reason)
	}
	return e
}

func (e *endpointMetrics) attempted(o outcome) {
	if o.verdict == cancelled {
		e.attempts[cancelled].Inc()
	}
	if o.taken > 0 {
		e.attempts[o.verdict].Inc()
		e.seconds.Observe(o.taken.Seconds())
	}
}

func (e *endpointMetrics) settled(o outcome) {
	if o.verdict != dead {
		return
	}
	reason := reasonAttempts
	switch {
	case o.full:
		reason = reasonFull
	case o.failure.final:
		reason = reasonRefused
	}
	e.dead.WithLabelValues(reason).Add(float64(len(o.letters)))
}

// register registers everything, and what is asked of each lane.
func (m *metrics) register(lanes []*lane) error {
	collectors := []prometheus.Collector{m.attempts, m.seconds, m.dead}
	for _, l := range lanes {
		gauge := func(name, help string, value func() float64) {
			collectors = append(collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
				ConstLabels: prometheus.Labels{"endpoint": l.cfg.Name}}, value))
		}
		gauge("waiting", "Notifications that wait to be delivered, by endpoint.", func() float64 { return float64(l.queue.Waiting(l.cfg.Name).Notices) })
		gauge("waiting_bytes", "Bytes of the notifications that wait, by endpoint.", func() float64 { return float64(l.queue.Waiting(l.cfg.Name).Bytes) })
		gauge("away", "1 while the endpoint does not work for anybody and is tried with one notification at a time.", l.status.awayValue)
	}
	for _, c := range collectors {
		if err := m.registerOne(c); err != nil {
			m.unregister()
			return err
		}
	}
	return nil
}

func (m *metrics) registerOne(c prometheus.Collector) error {
	if m.reg == nil {
		return nil
	}
	if err := m.reg.Register(c); err != nil {
		return errors.Join(errors.New("notify: the registerer has metrics of another notifier"), err)
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
