package chat

import "github.com/switchyard-im/switchyard/bench/report"

// window is what one share counts in a measured window. Latencies count by when a message was due, rates by when the answer came; so an
// answer that comes after the end of the window still counts for its latency.
type window struct {
	from, to  int64
	accepted  int64 // acks within the window
	delivered int64 // deliveries within the window
	accept    *report.Latency
	attempt   *report.Latency // from the sending that was accepted; by when the answer came
	deliver   *report.Latency
	late      *report.Latency // open loop: how late the generator itself looked at what was due
}

// newWindows are those of a run, which have not begun.
func newWindows(cfg *Config) []window {
	if cfg.Disturb == nil {
		return []window{newWindow()}
	}
	return []window{newWindow(), newWindow()}
}

func newWindow() window {
	return window{from: never, to: never, accept: report.NewLatency(), attempt: report.NewLatency(), deliver: report.NewLatency(), late: report.NewLatency()}
}

func (w *window) holds(at int64) bool { return at >= w.from && at < w.to }

func (w *window) noteAccepted(due, sent, now int64) {
	if w.holds(now) {
		w.accepted++
		w.attempt.Record(now - sent)
	}
	if w.holds(due) {
		w.accept.Record(now - due)
	}
}

func (w *window) noteDelivered(due, now int64) {
	if w.holds(now) {
		w.delivered++
	}
	if w.holds(due) {
		w.deliver.Record(now - due)
	}
}

func (w *window) noteLate(due, now int64) {
	if w.holds(due) {
		w.late.Record(now - due)
	}
}

// merge adds what another share counted in the same window.
func (w *window) merge(o *window) {
	w.accept.Merge(o.accept)
	w.attempt.Merge(o.attempt)
	w.deliver.Merge(o.deliver)
	w.late.Merge(o.late)
}
