package dispatch

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch/core"
)

// metrics are the center's figures, registered with the registry that cmd passes in.
type metrics struct {
	accept      prometheus.Histogram
	deliver     prometheus.Histogram
	messages    prometheus.Counter
	refused     prometheus.Counter
	overloaded  prometheus.Counter
	authRefused prometheus.Counter

	tooManyRefused prometheus.Counter
}

// latencyBuckets reach from 0.1 ms to 10 s; the native histogram beside them has 10 % steps.
var latencyBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func latency(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: latencyBuckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
	})
}

func newMetrics(reg prometheus.Registerer, c *Center) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		accept:      latency("switchyard_accept_seconds", "From the read of a message to its ack being released: it is durable."),
		deliver:     latency("switchyard_deliver_seconds", "From the read of the oldest message of a batch to its deliveries being written, once per batch and loop."),
		messages:    counter("switchyard_messages_accepted_total", "Messages that were accepted: durable and in order."),
		refused:     counter("switchyard_messages_refused_total", "Requests that were refused because a commit failed."),
		overloaded:  counter("switchyard_frames_overloaded_total", "Frames that were answered overloaded because a ring was full, a message would have waited too long, or an earlier one of its connection was refused."),
		authRefused: counter("switchyard_tokens_refused_total", "Tokens that were not accepted."),

		tooManyRefused: counter("switchyard_connections_refusals_total", "Connections that were closed because messages had been refused in more conversations than are remembered, and not sent again."),
	}
	err := registerAll(reg, m.accept, m.deliver, m.messages, m.refused, m.overloaded, m.authRefused, m.tooManyRefused, &runnerCollector{center: c}, &frameCollector{center: c}, &governorCollector{c.governor})
	if err == nil && c.escalation != nil {
		err = reg.Register(&c.escalation.stats)
	}
	return m, err
}

func registerAll(reg prometheus.Registerer, list ...prometheus.Collector) error {
	for _, c := range list {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// accepted records the messages of a batch that was committed.
func (m *metrics) accepted(answers []core.Answer, now int64) {
	n := 0
	for _, a := range answers {
		if a.Kind == core.AnswerAccepted {
			m.accept.Observe(float64(now-a.Arrived) / 1e9)
			n++
		}
	}
	if n > 0 {
		m.messages.Add(float64(n))
	}
}

// runnerStats are counted by the runner and read by the collector.
type runnerStats struct {
	batches, frames      atomic.Uint64
	conversations, users atomic.Int64
}

func (s *runnerStats) batch(frames, conversations, users int) {
	s.batches.Add(1)
	s.frames.Add(uint64(frames))
	s.conversations.Store(int64(conversations))
	s.users.Store(int64(users))
}

// runnerCollector reads the runners when Prometheus asks.
type runnerCollector struct{ center *Center }

var (
	descBatches       = prometheus.NewDesc("switchyard_shard_batches_total", "Batches of the shard runners.", nil, nil)
	descFrames        = prometheus.NewDesc("switchyard_shard_frames_total", "Frames in those batches; divided by the batches: the batch ratio.", nil, nil)
	descMailbox       = prometheus.NewDesc("switchyard_shard_mailbox_depth", "Frames and events that wait for the runners.", []string{"kind"}, nil)
	descConversations = prometheus.NewDesc("switchyard_conversations_in_memory", "Conversations that the shards hold in memory.", nil, nil)
	descUsers         = prometheus.NewDesc("switchyard_users_online", "Users with at least one authenticated connection.", nil, nil)
)

// Describe implements prometheus.Collector.
func (rc *runnerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBatches, descFrames, descMailbox, descConversations, descUsers} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (rc *runnerCollector) Collect(ch chan<- prometheus.Metric) {
	var batches, frames uint64
	var ringDepth, inboxDepth int
	var conversations, users int64
	for _, r := range rc.center.runners {
		batches += r.stats.batches.Load()
		frames += r.stats.frames.Load()
		conversations += r.stats.conversations.Load()
		users += r.stats.users.Load()
		inboxDepth += r.inbox.depth()
		for _, g := range r.rings {
			ringDepth += g.depth()
		}
	}
	ch <- prometheus.MustNewConstMetric(descBatches, prometheus.CounterValue, float64(batches))
	ch <- prometheus.MustNewConstMetric(descFrames, prometheus.CounterValue, float64(frames))
	ch <- prometheus.MustNewConstMetric(descMailbox, prometheus.GaugeValue, float64(ringDepth), "frames")
	ch <- prometheus.MustNewConstMetric(descMailbox, prometheus.GaugeValue, float64(inboxDepth), "events")
	ch <- prometheus.MustNewConstMetric(descConversations, prometheus.GaugeValue, float64(conversations))
	ch <- prometheus.MustNewConstMetric(descUsers, prometheus.GaugeValue, float64(users))
}

// poolMetrics are the figures of one pool.
type poolMetrics struct {
	wait    prometheus.Histogram
	refused prometheus.Counter
	late    prometheus.Counter
}

func newPoolMetrics(reg prometheus.Registerer, class string, depth func() int) (*poolMetrics, error) {
	labels := prometheus.Labels{"class": class}
	m := &poolMetrics{
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "switchyard_pool_wait_seconds", Help: "Time that tasks waited for a worker.", ConstLabels: labels,
			Buckets: latencyBuckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "switchyard_pool_refused_total", Help: "Tasks that were answered overloaded because the queue was full.", ConstLabels: labels}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "switchyard_pool_late_total", Help: "Tasks that were answered overloaded because they waited past the deadline.", ConstLabels: labels}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "switchyard_pool_queue_depth", Help: "Tasks that wait for a worker.", ConstLabels: labels}, func() float64 { return float64(depth()) })
	return m, registerAll(reg, m.wait, m.refused, m.late, waiting)
}
