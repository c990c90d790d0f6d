package history

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/saturation"
)

// Report is the outcome of a run. Counts are of the whole run; rates, latencies and usage are of the measured window.
type Report struct {
	Run           string `json:"run"` // to read the same conversations again
	Conversations int    `json:"conversations"`
	Messages      int    `json:"messages_each" merge:"keep"` // of a conversation; 0: of an earlier run
	Size          int    `json:"size" merge:"keep"`
	Readers       int    `json:"readers"`
	Over          string `json:"over"` // http or websocket
	PageLimit     int    `json:"page_limit" merge:"keep"`
	Target        string `json:"target_rate,omitempty"` // pages per second

	WriteSeconds float64 `json:"write_seconds" merge:"max"` // what filling the conversations took
	Pages        int64   `json:"pages"`
	Read         int64   `json:"messages"`
	Walks        int64   `json:"walks"`    // conversations that were read from one end to the other
	Partial      int64   `json:"partial"`  // pages that lacked older messages, because ClickHouse was away
	Refusals     int64   `json:"refusals"` // answers that told a reader to come later
	Unasked      int64   `json:"unasked"`  // open loop: pages that were due at the end, and that no reader had the time for; what they had waited is in the latencies

	Missing    int64    `json:"missing"` // messages that no page had
	Duplicated int64    `json:"duplicated"`
	Reordered  int64    `json:"reordered"`
	Altered    int64    `json:"altered"`
	Misplaced  int64    `json:"misplaced"`
	Gaps       int64    `json:"gaps"`                 // messages that name another one before them than the one that is there
	Unread     int64    `json:"unread"`               // walks that came to no end
	Violations []string `json:"violations,omitempty"` // the first cases

	Page report.Percentiles `json:"page_ms"` // from when a page was due until its last byte was there
	Late report.Percentiles `json:"late_ms"` // open loop: how late a page was asked for, because all readers were busy, or the generator

	Seconds     float64 `json:"seconds" merge:"max"`
	Rate        float64 `json:"rate"`         // pages per second
	MessageRate float64 `json:"message_rate"` // messages per second

	Server              *report.Server    `json:"server,omitempty"`
	ServerUSPerPage     float64           `json:"server_cpu_us_per_page,omitempty"`
	ServerNote          string            `json:"server_note,omitempty"` // why there are no figures of the server
	Generator           saturation.Report `json:"generator"`
	GeneratorCPUSeconds float64           `json:"generator_cpu_seconds"`
	GeneratorUSPerPage  float64           `json:"generator_cpu_us_per_page" merge:"keep"`

	curves map[string]*report.Latency
}

func newReport(cfg *Config) *Report {
	r := &Report{
		Conversations: cfg.Conversations, Messages: cfg.Messages, Size: cfg.Size, Readers: cfg.Readers, Over: "websocket", PageLimit: cfg.Page,
	}
	if cfg.API != "" {
		r.Over = "http"
	}
	if cfg.Again != 0 {
		r.Messages = 0
	}
	if !cfg.Rate.Never() {
		r.Target = cfg.Rate.String()
	}
	return r
}

// Curves are the latencies of the measured window.
func (r *Report) Curves() map[string]*report.Latency { return r.curves }

// Merged makes the figures of a report whole to which those of others were added that drove parts of the same load (report.Merge); the curves are those of all together.
func (r *Report) Merged(curves map[string]*report.Latency) {
	r.curves = curves
	for name, p := range map[string]*report.Percentiles{"page": &r.Page, "late": &r.Late} {
		if l := curves[name]; l != nil {
			*p = l.Percentiles()
		}
	}
	r.GeneratorUSPerPage = report.PerMessage(r.GeneratorCPUSeconds, int64(r.Rate*r.Seconds+0.5))
}

// Limits are the reasons why the generator set the figures; none if it did not.
func (r *Report) Limits() []string { return r.Generator.Limits() }

// OK tells whether every page was as it must be.
func (r *Report) OK() bool {
	return r.Missing+r.Duplicated+r.Reordered+r.Altered+r.Misplaced+r.Gaps+r.Unread == 0
}

// collected fills in what the readers found. They have ended.
func (r *Report) collected(s *shelf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Pages, r.Read, r.Walks, r.Partial, r.Refusals = s.tally.pages, s.tally.messages, s.tally.walks, s.tally.partial, s.tally.refusals
	r.Unasked = s.unasked
	for kind, field := range map[oracle.Kind]*int64{
		oracle.NotInHistory: &r.Missing, oracle.HistoryDuplicated: &r.Duplicated, oracle.HistoryReordered: &r.Reordered, oracle.HistoryAltered: &r.Altered,
		oracle.HistoryMisplaced: &r.Misplaced, oracle.HistoryBadSequence: &r.Gaps, oracle.HistoryUnread: &r.Unread,
	} {
		*field = s.ledger.Count(kind)
	}
	for _, v := range s.ledger.Cases {
		r.Violations = append(r.Violations, v.String())
	}
	r.Page, r.Late = s.page.Percentiles(), s.late.Percentiles()
	r.Generator.Judge(r.Page, report.Percentiles{}) // a page is asked for late if all readers are busy
	r.curves = map[string]*report.Latency{"page": s.page}
	if r.Target != "" {
		r.curves["late"] = s.late
	}
}

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	what := fmt.Sprintf("%d conversations of %d messages of %d B", r.Conversations, r.Messages, r.Size)
	if r.Messages == 0 {
		what = fmt.Sprintf("%d conversations of run %s", r.Conversations, r.Run)
	}
	how := fmt.Sprintf("%d readers in a closed loop", r.Readers)
	if r.Target != "" {
		how = fmt.Sprintf("%s pages/s, by %d readers at most", r.Target, r.Readers)
	}
	rows := []report.Row{
		{Name: "run", Value: r.Run + " (for --run)"},
		{Name: "load", Value: fmt.Sprintf("%s; %s; pages of %d by %s", what, how, r.PageLimit, r.Over)},
		{Name: "read", Value: fmt.Sprintf("%d pages, %d messages, %d times a whole conversation; %d partial, %d refusals", r.Pages, r.Read, r.Walks, r.Partial, r.Refusals)},
		{Name: "oracle", Value: fmt.Sprintf("%d missing, %d duplicated, %d reordered, %d altered, %d misplaced, %d gaps, %d unread", r.Missing, r.Duplicated, r.Reordered, r.Altered, r.Misplaced, r.Gaps, r.Unread)},
		{Name: "rate", Value: fmt.Sprintf("%.0f pages/s, %.0f messages/s over %.1f s", r.Rate, r.MessageRate, r.Seconds)},
		{Name: "page", Value: r.Generator.Beside(r.Page)},
		{Name: "server", Value: r.serverRow()},
		{Name: "generator", Value: fmt.Sprintf("%.0f us of CPU per page; %s", r.GeneratorUSPerPage, &r.Generator)},
	}
	if r.Target != "" {
		rows = append(rows, report.Row{Name: "", Value: fmt.Sprintf("asked late by p50 %.3f  p99 %.3f  max %.3f ms; %d not at all", r.Late.P50, r.Late.P99, r.Late.Max, r.Unasked)})
	}
	for _, v := range r.Violations {
		rows = append(rows, report.Row{Name: "violation", Value: v})
	}
	return rows
}

func (r *Report) serverRow() string {
	switch {
	case r.ServerNote != "":
		return r.ServerNote
	case r.Server == nil:
		return r.Server.String()
	}
	return fmt.Sprintf("%s; %.0f us per page", r.Server, r.ServerUSPerPage)
}
