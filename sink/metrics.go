package sink

import (
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// All names begin with these.
const (
	namespace = "switchyard"
	subsystem = "sink"
)

// metrics are the figures of one store. Nothing here is needed for the store to work, so without a registerer they are only counted.
type metrics struct {
	reg        prometheus.Registerer
	registered []prometheus.Collector

	commit       prometheus.Histogram
	fsync        prometheus.Histogram
	transactions prometheus.Histogram
	messages     prometheus.Histogram
	bytes        prometheus.Histogram
	refused      prometheus.Counter
	failures     *prometheus.CounterVec
	free         prometheus.Gauge
	disk         prometheus.Gauge

	replayed        *prometheus.GaugeVec
	recoverySeconds prometheus.Gauge
}

func newMetrics(s *Store) (*metrics, error) {
	m := &metrics{
		reg: s.cfg.Registerer,
		commit: histogram("commit_seconds", "Time from the commit of a transaction to its completion.",
			prometheus.ExponentialBuckets(0.0001, 2, 16)),
		fsync: histogram("fsync_seconds", "Time of one sync of the journal.",
			prometheus.ExponentialBuckets(0.00005, 2, 16)),
		transactions: histogram("batch_transactions", "Transactions in one batch, which is one sync.",
			prometheus.ExponentialBuckets(1, 2, 10)),
		messages: histogram("batch_messages", "Messages in one batch.",
			prometheus.ExponentialBuckets(1, 2, 13)),
		bytes: histogram("batch_bytes", "Bytes that one batch writes to the journal.",
			prometheus.ExponentialBuckets(128, 4, 10)),
		refused:  prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "refused_total", Help: "Transactions that ended as unavailable."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "failures_total", Help: "Interruptions of the store, by reason."}, []string{"reason"}),
		free:     gauge("free_bytes", "Free space of the file system of the store."),
		disk:     gauge("disk_bytes", "Size of the files of the store."),
		replayed: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: "recovery_replayed", Help: "What the last recovery replayed from the journal, by unit."}, []string{"unit"}),

		recoverySeconds: gauge("recovery_seconds", "Time of the last recovery."),
	}
	for _, c := range slices.Concat(m.own(), observed(s), s.outbox.observed(), s.retention.observed()) {
		if err := m.register(c); err != nil {
			return nil, errors.Join(err, m.unregister())
		}
	}
	return m, nil
}

func (m *metrics) own() []prometheus.Collector {
	return []prometheus.Collector{m.commit, m.fsync, m.transactions, m.messages, m.bytes, m.refused, m.failures, m.free, m.disk, m.replayed, m.recoverySeconds}
}

// observed is what is read from the store when it is asked for.
func observed(s *Store) []prometheus.Collector {
	return []prometheus.Collector{
		gaugeFunc("queue_depth", "Transactions that wait for a batch.", func() float64 { return float64(len(s.queue)) }),
		gaugeFunc("in_flight", "Transactions that were begun and are not completed.", func() float64 { return float64(cap(s.pool) - len(s.pool)) }),
		gaugeFunc("generation", "The generation of the store.", func() float64 { return float64(s.Generation()) }),
		gaugeFunc("available", "1 if a commit could succeed now.", func() float64 {
			if s.Available() {
				return 1
			}
			return 0
		}),
	}
}

// histogram is a classic and a native one.
func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	})
}

func (m *metrics) register(c prometheus.Collector) error {
	if m.reg == nil {
		return nil
	}
	if err := m.reg.Register(c); err != nil {
		return errors.Join(errors.New("sink: the registerer has metrics of another store"), err)
	}
	m.registered = append(m.registered, c)
	return nil
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func gaugeFunc(name, help string, f func() float64) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, f)
}

func (m *metrics) unregister() error {
	for _, c := range m.registered {
		m.reg.Unregister(c)
	}
	m.registered = nil
	return nil
}

// completed is called for each transaction, batch for each batch, synced for each sync.
func (m *metrics) completed(d time.Duration, err error) {
	if err != nil {
		m.refused.Inc()
		return
	}
	m.commit.Observe(d.Seconds())
}

func (m *metrics) batch(g *group) {
	if !g.applied {
		return
	}
	m.transactions.Observe(float64(len(g.txs)))
	m.messages.Observe(float64(g.messages))
	m.bytes.Observe(float64(len(g.buf)))
}

func (m *metrics) synced(d time.Duration) { m.fsync.Observe(d.Seconds()) }

func (m *metrics) recovered(r Recovery) {
	m.recoverySeconds.Set(r.Duration.Seconds())
	m.replayed.WithLabelValues("messages").Set(float64(r.Messages))
	m.replayed.WithLabelValues("conversations").Set(float64(r.Conversations))
	m.replayed.WithLabelValues("batches").Set(float64(r.Batches))
	m.replayed.WithLabelValues("bytes").Set(float64(r.LogBytes))
	m.replayed.WithLabelValues("torn_bytes").Set(float64(r.TornBytes))
}
