package chaos

import (
	"fmt"
	"slices"

	"github.com/switchyard-im/switchyard/bench/report"
)

// Report is what was done in a run, and what it cost.
type Report struct {
	Seed        uint64   `json:"seed"`
	Kill        *Cost    `json:"kill9,omitempty"` // nil: not in the plan; so are the others
	Drain       *Cost    `json:"drain,omitempty"`
	Pause       *Cost    `json:"pause,omitempty"`
	Cut         *Cost    `json:"cut,omitempty"`
	ClickHouse  *Cost    `json:"clickhouse,omitempty"`
	Connections int64    `json:"connections_cut"`
	Failed      int      `json:"failures"`                // what a server must not do: end by itself, or not in order after SIGTERM
	Failures    []string `json:"failure_cases,omitempty"` // the first
	Outages     []Outage `json:"outages,omitempty"`       // the first 10,000, in the order of their beginnings
}

// Cost is what the troubles of one kind cost.
type Cost struct {
	Times     int                `json:"times"`
	Lasted    report.Percentiles `json:"lasted_ms"` // until it was over: the server listened again, or went on
	Back      report.Percentiles `json:"back_ms"`   // until every client was back and something was accepted after it was over
	Overtaken int                `json:"overtaken"` // by the next trouble of the server, before every client was back
}

// Report is what happened so far; nil for no Run.
func (r *Run) Report() *Report {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j := &r.journal
	rep := &Report{Seed: r.seed, Connections: j.cut, Failed: j.failed, Failures: slices.Clone(j.failures)}
	for _, k := range kinds {
		if t := j.tallies[k]; r.cfg.Plan.of(k).Every > 0 {
			*rep.of(k) = &Cost{Times: t.times, Lasted: t.lasted.Percentiles(), Back: t.back.Percentiles(), Overtaken: t.overtaken}
		}
	}
	for _, o := range j.outages {
		rep.Outages = append(rep.Outages, o.Outage)
	}
	return rep
}

// of is the cost of a kind.
func (r *Report) of(k Kind) **Cost {
	return map[Kind]**Cost{Kill: &r.Kill, Drain: &r.Drain, Pause: &r.Pause, Cut: &r.Cut, ClickHouse: &r.ClickHouse}[k]
}

// OK tells whether the server did nothing that it must not do.
func (r *Report) OK() bool { return r == nil || r.Failed == 0 }

// rowNames are the kinds in a table.
var rowNames = map[Kind]string{Kill: "kill -9", Drain: "drain", Pause: "pause", Cut: "cut", ClickHouse: "clickhouse away"}

// Rows is the report as rows of a table.
func (r *Report) Rows() (rows []report.Row) {
	if r == nil {
		return nil
	}
	for _, k := range kinds {
		c := *r.of(k)
		if c == nil {
			continue
		}
		text := fmt.Sprintf("%d times", c.Times)
		if k == Cut {
			text += fmt.Sprintf(", %d connections", r.Connections)
		}
		if c.Lasted.Max > 0 {
			text += fmt.Sprintf("; over after p50 %.2f max %.2f s", c.Lasted.P50/1e3, c.Lasted.Max/1e3)
		}
		if c.Back.Max > 0 {
			text += fmt.Sprintf("; all clients back after p50 %.2f max %.2f s", c.Back.P50/1e3, c.Back.Max/1e3)
		}
		if c.Overtaken > 0 {
			text += fmt.Sprintf("; %d times the next came before that", c.Overtaken)
		}
		rows = append(rows, report.Row{Name: rowNames[k], Value: text})
	}
	rows = append(rows, report.Row{Name: "seed", Value: r.Seed})
	for _, text := range r.Failures {
		rows = append(rows, report.Row{Name: "failure", Value: text})
	}
	return rows
}
