package chat

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/saturation"
)

// Report is the outcome of a run. Counts of messages and violations are of the whole run; rates, latencies and usage are of the
// measured window.
type Report struct {
	Pairs    int     `json:"pairs"`
	Inflight int     `json:"inflight" merge:"keep"`
	Size     int     `json:"size" merge:"keep"`
	Target   float64 `json:"target_rate"`    // messages per second asked for in the measured window; 0: closed loop
	Ramp     string  `json:"ramp,omitempty"` // the rate over time, of all processes that share the load; none if it is constant

	Sent      int64 `json:"sent"`
	Accepted  int64 `json:"accepted"`
	Delivered int64 `json:"delivered"`

	Lost         int64 `json:"lost"`
	Duplicated   int64 `json:"duplicated"`
	Reordered    int64 `json:"reordered"`
	Altered      int64 `json:"altered"`
	Misdelivered int64 `json:"misdelivered"`
	BadSequences int64 `json:"bad_sequences"`
	BadAcks      int64 `json:"bad_acks"`
	Unanswered   int64 `json:"unanswered"`
	Unrecovered  int64 `json:"unrecovered"`

	History *audit.Report `json:"history,omitempty"` // what was read back, if the run was to

	Violations []string `json:"violations,omitempty"` // the first cases

	Window            // the measured one
	Disturbed *Window `json:"disturbed,omitempty"` // the second, if the run has one

	Reconnects int64 `json:"reconnects"` // connections that were lost after their upgrade, and dialled again
	Resent     int64 `json:"resent"`     // sends that went out again after that or after a refusal
	Refusals   int64 `json:"refusals"`   // answers that told a client to try later
	Marks      int64 `json:"marks"`      // delivered frames sent

	Away  report.Percentiles `json:"away_ms"`         // from the loss of a connection until its user was there again and had what it missed under way
	Chaos *chaos.Report      `json:"chaos,omitempty"` // what trouble was made; filled in by who made it

	curves map[string]*report.Latency
}

// Curves are the latencies of the measured windows, all of them.
func (r *Report) Curves() map[string]*report.Latency { return r.curves }

// Merged makes the figures of a report whole to which those of others were added that drove parts of the same load (report.Merge); the curves are those of all together.
func (r *Report) Merged(curves map[string]*report.Latency) {
	r.curves = curves
	r.summarise("", &r.Window)
	r.Window.merged()
	if r.Disturbed != nil {
		r.summarise("disturbed ", r.Disturbed)
		r.Disturbed.merged()
	}
}

func (w *Window) merged() {
	w.GeneratorUSPerMessage = report.PerMessage(w.GeneratorCPUSeconds, int64(w.Rate*w.Seconds+0.5))
}

// newReport tells what is asked for.
func newReport(cfg *Config) *Report {
	rep := &Report{Pairs: cfg.own(), Inflight: cfg.Inflight, Size: cfg.Size}
	if !cfg.Rate.Never() {
		rep.Target = cfg.Rate.Mean(cfg.Warmup, cfg.Warmup+max(cfg.Duration, 1)) * float64(rep.Pairs) / float64(cfg.Pairs)
	}
	if len(cfg.Rate.Points()) > 1 {
		rep.Ramp = cfg.Rate.String()
	}
	return rep
}

// Window is what one measured window shows.
type Window struct {
	Accept       report.Percentiles `json:"accept_ms"`  // from due to acknowledged
	Attempt      report.Percentiles `json:"attempt_ms"` // from the last sending to acknowledged; what was refused before does not count
	Deliver      report.Percentiles `json:"deliver_ms"` // from due to delivered
	Seconds      float64            `json:"seconds" merge:"max"`
	Rate         float64            `json:"rate"`          // accepted messages per second
	DeliveryRate float64            `json:"delivery_rate"` // delivered messages per second

	Server                *report.Server     `json:"server,omitempty"`
	ServerNote            string             `json:"server_note,omitempty"` // why there are no figures of the server
	Late                  report.Percentiles `json:"late_ms"`               // open loop: how late the generator itself was, which is part of the latencies
	GeneratorCPUSeconds   float64            `json:"generator_cpu_seconds"`
	GeneratorUSPerMessage float64            `json:"generator_cpu_us_per_message" merge:"keep"`
	Generator             saturation.Report  `json:"generator"`
}

// Limits say why the generator, and not the server, set the figures of the window; none if it did not.
func (w *Window) Limits() []string { return w.Generator.Limits() }

// latencies takes over what a window collected; the name goes before those of its curves.
func (r *Report) latencies(name string, w *Window, from *window) {
	if r.curves == nil {
		r.curves = map[string]*report.Latency{}
	}
	r.curves[name+"accept"], r.curves[name+"attempt"], r.curves[name+"deliver"] = from.accept, from.attempt, from.deliver
	if from.late.Count() > 0 {
		r.curves[name+"late"] = from.late
	}
	r.summarise(name, w)
	w.Generator.Judge(w.Accept, w.Late)
}

// summarise fills in the percentiles of a window's curves.
func (r *Report) summarise(name string, w *Window) {
	for curve, p := range map[string]*report.Percentiles{"accept": &w.Accept, "attempt": &w.Attempt, "deliver": &w.Deliver, "late": &w.Late} {
		if l := r.curves[name+curve]; l != nil {
			*p = l.Percentiles()
		}
	}
}

// OK tells whether the server kept all its promises.
func (r *Report) OK() bool {
	return r.Lost+r.Duplicated+r.Reordered+r.Altered+r.Misdelivered+r.BadSequences+r.BadAcks+r.Unanswered+r.Unrecovered == 0 && r.History.OK() && r.Chaos.OK()
}

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	load := fmt.Sprintf("closed loop, %d in flight per pair", r.Inflight)
	if r.Target > 0 {
		load = fmt.Sprintf("open loop at %.0f messages/s", r.Target)
		if r.Ramp != "" {
			load = fmt.Sprintf("open loop at %s messages/s, %.0f on average", r.Ramp, r.Target)
		}
	}
	rows := []report.Row{
		{Name: "load", Value: fmt.Sprintf("%d pairs, %s, %d B", r.Pairs, load, r.Size)},
		{Name: "messages", Value: fmt.Sprintf("%d sent, %d accepted, %d delivered", r.Sent, r.Accepted, r.Delivered)},
		{Name: "oracle", Value: fmt.Sprintf("%d lost, %d duplicated, %d reordered, %d altered, %d misdelivered", r.Lost, r.Duplicated, r.Reordered, r.Altered, r.Misdelivered)},
		{Name: "", Value: fmt.Sprintf("%d bad sequences, %d bad acks, %d unanswered, %d unrecovered", r.BadSequences, r.BadAcks, r.Unanswered, r.Unrecovered)},
	}
	rows = append(rows, r.History.Rows()...)
	rows = append(rows, []report.Row{
		{Name: "rate", Value: fmt.Sprintf("%.0f accepted/s, %.0f delivered/s over %.1f s", r.Rate, r.DeliveryRate, r.Seconds)},
		{Name: "accept", Value: r.Generator.Beside(r.Accept)},
		{Name: "attempt", Value: r.Generator.Beside(r.Attempt)},
		{Name: "deliver", Value: r.Generator.Beside(r.Deliver)},
		{Name: "clients", Value: fmt.Sprintf("%d reconnects, %d resent, %d refusals, %d marks", r.Reconnects, r.Resent, r.Refusals, r.Marks)},
		{Name: "server", Value: r.serverRow()},
		{Name: "generator", Value: fmt.Sprintf("%.2f us of CPU per message; %v", r.GeneratorUSPerMessage, &r.Generator)},
	}...)
	if r.Target > 0 {
		rows = append(rows, report.Row{Name: "", Value: fmt.Sprintf("late for its own schedule by p50 %.3f  p99 %.3f  max %.3f ms", r.Late.P50, r.Late.P99, r.Late.Max)})
	}
	if r.Reconnects > 0 {
		rows = append(rows, report.Row{Name: "away", Value: r.Away})
	}
	rows = append(rows, r.Chaos.Rows()...)
	for _, v := range r.Violations {
		rows = append(rows, report.Row{Name: "violation", Value: v})
	}
	return rows
}

func (r *Report) serverRow() string {
	if r.ServerNote != "" {
		return r.ServerNote
	}
	return r.Server.String()
}

// judged fills in what the oracle counted.
func (r *Report) judged(l *oracle.Ledger) {
	r.Sent, r.Accepted, r.Delivered = l.Sent, l.Accepted, l.Delivered
	for kind, field := range map[oracle.Kind]*int64{
		oracle.Lost: &r.Lost, oracle.Duplicated: &r.Duplicated, oracle.Reordered: &r.Reordered, oracle.Altered: &r.Altered,
		oracle.Misdelivered: &r.Misdelivered, oracle.BadSequence: &r.BadSequences, oracle.BadAck: &r.BadAcks,
		oracle.Unanswered: &r.Unanswered, oracle.Unrecovered: &r.Unrecovered,
	} {
		*field = l.Count(kind)
	}
	for _, v := range l.Cases {
		r.Violations = append(r.Violations, v.String())
	}
}
