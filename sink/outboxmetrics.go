package sink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// observed is what is read from the outbox when it is asked for.
func (o *Outbox) observed() []prometheus.Collector {
	if o == nil {
		return nil
	}
	return []prometheus.Collector{
		gaugeFunc("outbox_rows", "Messages that wait to be shipped to the history.", func() float64 { return float64(o.Backlog().Rows) }),
		gaugeFunc("outbox_bytes", "Bytes of the messages that wait to be shipped to the history.", func() float64 { return float64(o.Backlog().Bytes) }),
		gaugeFunc("outbox_max_bytes", "How many bytes may wait.", func() float64 { return float64(o.cap.max) }),
		gaugeFunc("outbox_oldest_seconds", "Age of the oldest message that waits, 0 if none does.", o.age),
		gaugeFunc("outbox_alarm", "1 while the outbox is nearly full, 2 while it is full.", o.alarmLevel),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "outbox_dropped_total",
			Help: "Messages that were not put into the outbox because it was full, and will be missing in the history."}, o.droppedRows),
	}
}

func (o *Outbox) age() float64 {
	oldest := o.Backlog().OldestMS
	if oldest == 0 {
		return 0
	}
	return max(0, time.Since(time.UnixMilli(int64(oldest))).Seconds())
}

func (o *Outbox) alarmLevel() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.store.full.Load() || o.visible < o.durable.number:
		return 2
	case o.alarm:
		return 1
	default:
		return 0
	}
}

func (o *Outbox) droppedRows() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return float64(o.dropped)
}
