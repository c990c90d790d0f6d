package desk

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/saturation"
)

// Report is the outcome of a run. Counts are of the whole run; rates, latencies and usage are of the measured window.
type Report struct {
	Groups   int    `json:"groups"`
	Agents   int    `json:"agents"`
	Capacity int    `json:"capacity" merge:"keep"` // conversations of an agent at a time
	Visitors int    `json:"visitors"`              // at a time; in the open loop at most
	Target   string `json:"target_rate,omitempty"`
	Messages int    `json:"messages" merge:"keep"` // of a conversation
	Size     int    `json:"size" merge:"keep"`

	Opened           int64 `json:"opened"` // conversations
	Assigned         int64 `json:"assigned"`
	Finished         int64 `json:"finished"`
	TurnedAway       int64 `json:"turned_away"` // closed by the server before they had an agent
	CutShort         int64 `json:"cut_short"`   // closed by the server, by its rules for idle users, after they had an agent
	NeverCame        int64 `json:"never_came"`  // open loop: were due, and there was no room for them to the end of the load; what they had waited is in the latencies
	GaveUp           int64 `json:"gave_up"`     // still waited for their agent at the end of the run
	Transferred      int64 `json:"transferred"`
	TransfersRefused int64 `json:"transfers_refused"`
	Reopened         int64 `json:"reopened"`
	ReopensRefused   int64 `json:"reopens_refused"`
	Rated            int64 `json:"rated"`
	Positions        int64 `json:"positions"` // places in the queue that visitors were told

	crowd.Verdict
	// Of the other violations.
	Misdelivered int64 `json:"misdelivered"`
	Misassigned  int64 `json:"misassigned"`   // two agents have a conversation, or somebody who was never given it
	OverCapacity int64 `json:"over_capacity"` // an agent has more than it takes
	Unserved     int64 `json:"unserved"`      // conversations that did not come to their end

	History *audit.Report `json:"history,omitempty"` // what was read back, if the run was to; its violations are among the others too

	Open    report.Percentiles `json:"open_ms"`    // from the visitor's coming to its conversation: connection, hello, open
	Assign  report.Percentiles `json:"assign_ms"`  // from the visitor's coming to its agent: the whole wait; of who gave up, until then
	Accept  report.Percentiles `json:"accept_ms"`  // of a message, from due to acknowledged
	Deliver report.Percentiles `json:"deliver_ms"` // of a message, from due to delivered
	Late    report.Percentiles `json:"late_ms"`    // open loop: how late a visitor came, for want of room or because the generator was busy

	Seconds      float64 `json:"seconds" merge:"max"`
	Rate         float64 `json:"rate"`          // conversations per second that came to their end
	MessageRate  float64 `json:"message_rate"`  // accepted messages per second
	DeliveryRate float64 `json:"delivery_rate"` // delivered messages per second

	Server                  *report.Server    `json:"server,omitempty"`
	ServerUSPerConversation float64           `json:"server_cpu_us_per_conversation,omitempty"` // all that the server did, divided by the conversations
	ServerNote              string            `json:"server_note,omitempty"`                    // why there are no figures of the server
	Generator               saturation.Report `json:"generator"`
	GeneratorCPUSeconds     float64           `json:"generator_cpu_seconds"`
	GeneratorUSPerMessage   float64           `json:"generator_cpu_us_per_message" merge:"keep"`

	Reconnects int64 `json:"reconnects"` // connections that ended, and were dialled again
	Resent     int64 `json:"resent"`     // sends that went out again after that or after a refusal
	Refusals   int64 `json:"refusals"`   // answers that told a client to try later
	Marks      int64 `json:"marks"`      // delivered and read frames sent
	Notices    int64 `json:"notices"`    // receipts and signals that came

	Chaos *chaos.Report `json:"chaos,omitempty"` // what trouble was made; filled in by who made it

	curves map[string]*report.Latency
}

func newReport(cfg *Config) *Report {
	r := &Report{
		Capacity: cfg.Capacity, Messages: cfg.Messages, Size: cfg.Size, curves: map[string]*report.Latency{},
	}
	if !cfg.Rate.Never() {
		r.Target = cfg.Rate.String()
	}
	for _, kind := range kinds {
		r.curves[kind] = report.NewLatency()
	}
	return r
}

// OK tells whether the server kept all its promises.
func (r *Report) OK() bool { return r.Verdict.OK() && r.Chaos.OK() }

// Curves are the latencies of the measured window.
func (r *Report) Curves() map[string]*report.Latency { return r.curves }

// Merged makes the figures of a report whole to which those of others were added that drove parts of the same load (report.Merge); the curves are those of all together.
func (r *Report) Merged(curves map[string]*report.Latency) {
	r.curves = curves
	r.summarise()
	r.GeneratorUSPerMessage = report.PerMessage(r.GeneratorCPUSeconds, int64(r.MessageRate*r.Seconds+0.5))
}

// own tells what this process has of the load.
func (r *Report) own(shares []*share) {
	for _, s := range shares {
		r.Groups += len(s.groups)
		r.Agents += len(s.agents)
		r.Visitors += s.maxSeats()
	}
}

// Limits are the reasons why the generator set the figures; none if it did not.
func (r *Report) Limits() []string { return r.Generator.Limits() }

// tallied adds what a share counted.
func (r *Report) tallied(s *share) {
	r.Opened += int64(s.talks)
	for _, c := range []struct {
		sum *int64
		n   int64
	}{
		{&r.Assigned, s.assigned}, {&r.Finished, s.finished}, {&r.TurnedAway, s.turnedAway}, {&r.CutShort, s.cutShort}, {&r.NeverCame, s.neverCame}, {&r.GaveUp, s.gaveUp}, {&r.Transferred, s.transferred},
		{&r.TransfersRefused, s.transfersRefused}, {&r.Reopened, s.reopened}, {&r.ReopensRefused, s.reopensRefused}, {&r.Rated, s.rated},
		{&r.Positions, s.positions}, {&r.Reconnects, s.reconnects}, {&r.Resent, s.resent}, {&r.Refusals, s.refusals}, {&r.Marks, s.marks},
		{&r.Notices, s.notices},
	} {
		*c.sum += c.n
	}
	for kind, l := range s.notes.window {
		r.curves[kind].Merge(l)
	}
}

// judged fills in what the oracle counted, and the latencies.
func (r *Report) judged(l *oracle.Ledger) {
	r.Verdict = crowd.Judge(l)
	r.Misdelivered, r.Misassigned = l.Count(oracle.Misdelivered), l.Count(oracle.Misassigned)
	r.OverCapacity, r.Unserved = l.Count(oracle.OverCapacity), l.Count(oracle.Unserved)
	r.summarise()
	r.Generator.Judge(r.Deliver, report.Percentiles{}) // who comes late may only have found no room
	if r.Late.Max == 0 {
		delete(r.curves, "late")
	}
}

// summarise fills in the percentiles of the curves.
func (r *Report) summarise() {
	for kind, field := range map[string]*report.Percentiles{"open": &r.Open, "assign": &r.Assign, "accept": &r.Accept, "deliver": &r.Deliver, "late": &r.Late} {
		if l := r.curves[kind]; l != nil {
			*field = l.Percentiles()
		}
	}
}

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	load := fmt.Sprintf("%d visitors at a time", r.Visitors)
	if r.Target != "" {
		load = fmt.Sprintf("%s visitors/s, %d at a time at most", r.Target, r.Visitors)
	}
	rows := []report.Row{
		{Name: "load", Value: fmt.Sprintf("%s; %d agents for %d each, in %d groups; %d messages of %d B", load, r.Agents, r.Capacity, r.Groups, r.Messages, r.Size)},
		{Name: "conversations", Value: fmt.Sprintf("%d opened, %d assigned, %d finished, %d turned away, %d cut short, %d still waiting at the end", r.Opened, r.Assigned, r.Finished, r.TurnedAway, r.CutShort, r.GaveUp)},
		{Name: "", Value: fmt.Sprintf("%d transferred (%d refused), %d reopened (%d refused), %d rated", r.Transferred, r.TransfersRefused, r.Reopened, r.ReopensRefused, r.Rated)},
	}
	rows = append(rows, r.Verdict.Rows()...)
	rows = append(rows, r.History.Rows()...)
	rows = append(rows, []report.Row{
		{Name: "of the others", Value: fmt.Sprintf("%d misdelivered, %d misassigned, %d over capacity, %d unserved", r.Misdelivered, r.Misassigned, r.OverCapacity, r.Unserved)},
		{Name: "rate", Value: fmt.Sprintf("%.1f conversations/s, %.0f accepted/s, %.0f delivered/s over %.1f s", r.Rate, r.MessageRate, r.DeliveryRate, r.Seconds)},
		{Name: "open", Value: r.Open},
		{Name: "assign", Value: r.Assign},
		{Name: "accept", Value: r.Accept},
		{Name: "deliver", Value: r.Generator.Beside(r.Deliver)},
		{Name: "clients", Value: fmt.Sprintf("%d reconnects, %d resent, %d refusals, %d marks", r.Reconnects, r.Resent, r.Refusals, r.Marks)},
		{Name: "server", Value: r.serverRow()},
		{Name: "generator", Value: fmt.Sprintf("%.2f us of CPU per message; %s", r.GeneratorUSPerMessage, &r.Generator)},
	}...)
	if r.Target != "" {
		rows = append(rows, report.Row{Name: "", Value: fmt.Sprintf("visitors came late by p50 %.3f  p99 %.3f  max %.3f ms; %d not at all", r.Late.P50, r.Late.P99, r.Late.Max, r.NeverCame)})
	}
	return append(rows, r.Chaos.Rows()...)
}

func (r *Report) serverRow() string {
	switch {
	case r.ServerNote != "":
		return r.ServerNote
	case r.Server == nil:
		return r.Server.String()
	}
	return fmt.Sprintf("%s; %.0f us per conversation", r.Server, r.ServerUSPerConversation)
}
