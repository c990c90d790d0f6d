package netserver

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are what a loop counts: plain numbers that only the loop touches, so counting costs nothing. The loop publishes a copy at
// each tick; metrics are at most a second old.
type counters struct {
	open, accepted, acceptRefused, acceptFailed uint64
	opened, proxied                             uint64
	closed                                      [reasonCount]uint64
	answers                                     [len(answerStatuses)]uint64
	limited                                     [limitCount]uint64
	reads, writes, bytesIn, bytesOut            uint64
	messagesIn, messagesOut, segmentsOut        uint64
	parcels, undeliverable, dropped             uint64
	paused                                      uint64 // gauge
	buffered, mailbox                           uint64 // gauges, set when published
}

// answerStatuses are the HTTP statuses that an upgrade request may be answered with.
var answerStatuses = [...]int{101, 400, 403, 404, 405, 408, 426, 429, 431, 503}

func (n *counters) answered(status int) {
	for i, s := range answerStatuses {
		if s == status {
			n.answers[i]++
		}
	}
}

// publish copies the counters for the collector.
func (l *loop) publish() {
	n := l.n
	n.buffered = uint64(l.pool.held)
	n.mailbox = uint64(max(0, l.box.bytes.Load()))
	l.published.Store(&n)
}

func (n *counters) add(m *counters) {
	pairs := []struct {
		to   *uint64
		more uint64
	}{
		{&n.open, m.open}, {&n.accepted, m.accepted}, {&n.acceptRefused, m.acceptRefused}, {&n.acceptFailed, m.acceptFailed},
		{&n.opened, m.opened}, {&n.proxied, m.proxied}, {&n.reads, m.reads}, {&n.writes, m.writes}, {&n.bytesIn, m.bytesIn}, {&n.bytesOut, m.bytesOut},
		{&n.messagesIn, m.messagesIn}, {&n.messagesOut, m.messagesOut}, {&n.segmentsOut, m.segmentsOut}, {&n.parcels, m.parcels},
		{&n.undeliverable, m.undeliverable}, {&n.dropped, m.dropped}, {&n.buffered, m.buffered}, {&n.mailbox, m.mailbox}, {&n.paused, m.paused},
	}
	for _, p := range pairs {
		*p.to += p.more
	}
	for i := range n.closed {
		n.closed[i] += m.closed[i]
	}
	for i := range n.limited {
		n.limited[i] += m.limited[i]
	}
	for i := range n.answers {
		n.answers[i] += m.answers[i]
	}
}

// metric is one exported number.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*counters) uint64
}

// collector exports the sum over all loops. Collect may run on any goroutine.
type collector struct {
	loops   []*loop
	simple  []metric
	closed  *prometheus.Desc
	answers *prometheus.Desc
	limited *prometheus.Desc
}

func newCollector(loops []*loop) *collector {
	gauge := func(name, help string, value func(*counters) uint64) metric {
		return metric{prometheus.NewDesc("switchyard_"+name, help, nil, nil), prometheus.GaugeValue, value}
	}
	counter := func(name, help string, value func(*counters) uint64) metric {
		return metric{prometheus.NewDesc("switchyard_"+name+"_total", help, nil, nil), prometheus.CounterValue, value}
	}
	labelled := func(name, help, label string, value prometheus.Labels) metric {
		return metric{prometheus.NewDesc("switchyard_"+name+"_total", help, nil, value), prometheus.CounterValue, nil}
	}
	way := func(name, help, direction string, value func(*counters) uint64) metric {
		m := labelled(name, help, "direction", prometheus.Labels{"direction": direction})
		m.value = value
		return m
	}
	return &collector{
		loops:   loops,
		closed:  prometheus.NewDesc("switchyard_connections_closed_total", "Connections that ended, by reason.", []string{"reason"}, nil),
		answers: prometheus.NewDesc("switchyard_handshakes_total", "Answers to upgrade requests, by HTTP status.", []string{"status"}, nil),
		limited: prometheus.NewDesc("switchyard_limited_total", "Times that a limit was applied: a connection was turned away, or reading or accepting was paused.", []string{"limit"}, nil),
		simple: []metric{
			gauge("connections", "Open WebSocket connections.", func(n *counters) uint64 { return n.open }),
			gauge("connections_paused", "Connections that are not read because they sent more than they may.", func(n *counters) uint64 { return n.paused }),
			gauge("connections_buffered_bytes", "Bytes that connections hold for incomplete input and unsent output.", func(n *counters) uint64 { return n.buffered }),
			gauge("loops_mailbox_bytes", "Bytes of deliveries waiting for the loops.", func(n *counters) uint64 { return n.mailbox }),
			counter("connections_accepted", "Sockets accepted.", func(n *counters) uint64 { return n.accepted }),
			counter("connections_opened", "Connections upgraded to WebSocket.", func(n *counters) uint64 { return n.opened }),
			counter("connections_proxied", "Connections that began with a valid PROXY header.", func(n *counters) uint64 { return n.proxied }),
			counter("accept_refused", "Sockets closed at once because a table or queue was full.", func(n *counters) uint64 { return n.acceptRefused }),
			counter("accept_errors", "Failures to accept, such as no free descriptor.", func(n *counters) uint64 { return n.acceptFailed }),
			counter("socket_reads", "System calls that read.", func(n *counters) uint64 { return n.reads }),
			counter("socket_writes", "System calls that wrote.", func(n *counters) uint64 { return n.writes }),
			way("socket_bytes", "Bytes read and written.", "in", func(n *counters) uint64 { return n.bytesIn }),
			way("socket_bytes", "Bytes read and written.", "out", func(n *counters) uint64 { return n.bytesOut }),
			way("websocket_messages", "WebSocket messages received, and WebSocket frames sent.", "in", func(n *counters) uint64 { return n.messagesIn }),
			way("websocket_messages", "WebSocket messages received, and WebSocket frames sent.", "out", func(n *counters) uint64 { return n.messagesOut }),
			counter("websocket_merged", "Pieces that were merged into outgoing messages.", func(n *counters) uint64 { return n.segmentsOut }),
			counter("loops_parcels", "Parcels drained from mailboxes.", func(n *counters) uint64 { return n.parcels }),
			counter("deliveries_gone", "Deliveries to connections that had closed.", func(n *counters) uint64 { return n.undeliverable }),
			counter("frames_dropped", "Droppable frames left out for slow consumers.", func(n *counters) uint64 { return n.dropped }),
		},
	}
}

// Describe implements prometheus.Collector.
func (k *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range k.simple {
		ch <- m.desc
	}
	ch <- k.closed
	ch <- k.answers
	ch <- k.limited
}

// Collect implements prometheus.Collector.
func (k *collector) Collect(ch chan<- prometheus.Metric) {
	var sum counters
	for _, l := range k.loops {
		sum.add(l.published.Load())
	}
	for _, m := range k.simple {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(&sum)))
	}
	for r, n := range sum.closed {
		ch <- prometheus.MustNewConstMetric(k.closed, prometheus.CounterValue, float64(n), Reason(r).String())
	}
	for i, n := range sum.limited {
		ch <- prometheus.MustNewConstMetric(k.limited, prometheus.CounterValue, float64(n), limitNames[i])
	}
	for i, n := range sum.answers {
		ch <- prometheus.MustNewConstMetric(k.answers, prometheus.CounterValue, float64(n), strconv.Itoa(answerStatuses[i]))
	}
}
