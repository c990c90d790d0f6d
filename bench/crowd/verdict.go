package crowd

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
)

// Verdict is what the oracle found in a run; reports embed it.
type Verdict struct {
	Sent       int64    `json:"sent"`
	Accepted   int64    `json:"accepted"`
	Delivered  int64    `json:"delivered"`
	Lost       int64    `json:"lost"`
	Duplicated int64    `json:"duplicated"`
	Reordered  int64    `json:"reordered"`
	Altered    int64    `json:"altered"`
	Others     int64    `json:"other_violations"`
	Violations []string `json:"violations,omitempty"` // the first cases
}

// Judge reads a ledger whose streams are finished.
func Judge(l *oracle.Ledger) Verdict {
	v := Verdict{Sent: l.Sent, Accepted: l.Accepted, Delivered: l.Delivered, Lost: l.Count(oracle.Lost), Duplicated: l.Count(oracle.Duplicated),
		Reordered: l.Count(oracle.Reordered), Altered: l.Count(oracle.Altered)}
	v.Others = l.Total() - v.Lost - v.Duplicated - v.Reordered - v.Altered
	for _, c := range l.Cases {
		v.Violations = append(v.Violations, c.String())
	}
	return v
}

// OK tells whether the server kept all its promises.
func (v *Verdict) OK() bool { return v.Lost+v.Duplicated+v.Reordered+v.Altered+v.Others == 0 }

// Rows are the verdict's lines of a table.
func (v *Verdict) Rows() []report.Row {
	rows := []report.Row{
		{Name: "messages", Value: fmt.Sprintf("%d sent, %d accepted, %d delivered", v.Sent, v.Accepted, v.Delivered)},
		{Name: "oracle", Value: fmt.Sprintf("%d lost, %d duplicated, %d reordered, %d altered, %d others", v.Lost, v.Duplicated, v.Reordered, v.Altered, v.Others)},
	}
	for _, text := range v.Violations {
		rows = append(rows, report.Row{Name: "violation", Value: text})
	}
	return rows
}
