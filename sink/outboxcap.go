package sink

import "time"

// capacity decides from how much waits in the outbox whether it is full, and whether there is reason for an alarm. Each has a way back that is
// longer than the way there, so that it does not flicker.
type capacity struct{ max uint64 }

func (c capacity) full(waiting uint64, was bool) bool {
	if was {
		return waiting >= c.max-c.max/20
	}
	return waiting >= c.max
}

func (c capacity) alarm(waiting uint64, was bool) bool {
	if was {
		return waiting >= c.max-c.max/4
	}
	return waiting >= c.max-c.max/5
}

// checkCapLocked is called whenever what waits has changed. The generation is raised with the beginning and the end of a refusal, as with too little
// free space (see checkSpace).
func (o *Outbox) checkCapLocked() {
	s, waiting := o.store, o.durable.bytes-o.shipped.bytes
	if alarm := o.cap.alarm(waiting, o.alarm); alarm != o.alarm {
		o.alarm = alarm
		o.logAlarm(waiting)
	}
	if s.cfg.OutboxFull != OutboxRefuse {
		return
	}
	switch was := s.full.Load(); {
	case !was && o.cap.full(waiting, false):
		s.full.Store(true)
		s.generation.Add(1)
		s.metrics.failures.WithLabelValues("outbox_full").Inc()
		s.log.Error("sink: the outbox is full; nothing is accepted until some of it is shipped: see why the history does not take it", "waiting_bytes", waiting, "max_bytes", o.cap.max)
	case was && !o.cap.full(waiting, true):
		s.generation.Add(1)
		s.full.Store(false)
		s.log.Info("sink: there is room in the outbox again", "waiting_bytes", waiting, "max_bytes", o.cap.max)
	}
}

func (o *Outbox) logAlarm(waiting uint64) {
	if !o.alarm {
		o.store.log.Info("sink: the outbox is no longer nearly full", "waiting_bytes", waiting, "max_bytes", o.cap.max)
		return
	}
	then := "messages will be refused"
	if o.store.cfg.OutboxFull == OutboxDrop {
		then = "messages will be missing in the history"
	}
	o.store.log.Warn("sink: the outbox is nearly full; when it is, "+then+": see why the history does not take it", "waiting_bytes", waiting, "max_bytes", o.cap.max)
}

// noteGapLocked tells the operator what is given up: at once, then every minute.
func (o *Outbox) noteGapLocked(rows int) {
	o.dropped += uint64(rows)
	if now := time.Now(); now.Sub(o.told) >= time.Minute {
		o.told = now
		o.store.log.Error("sink: the outbox is full; chat goes on, and its messages will be missing in the history", "missing_since_start", o.dropped, "max_bytes", o.cap.max)
	}
}

func (o *Outbox) shippedUpTo() place {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shipped
}
