package main

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/report"
)

// mixReport is the outcome of several loads that ran beside each other.
type mixReport struct {
	Loads any      `json:"loads"` // a struct with a field for each load, which mixType makes
	Total mixTotal `json:"total"`

	Server *report.Server `json:"server,omitempty"` // while a load was measured, as seen each second
	Chaos  *chaos.Report  `json:"chaos,omitempty"`  // what trouble was made

	names []string
	parts []sharedOutcome
}

// mixTotal is what the loads have in common, added up.
type mixTotal struct {
	Messages   int64 `json:"messages"`   // accepted, or answered
	Delivered  int64 `json:"delivered"`  // to somebody else
	Read       int64 `json:"read"`       // in pages
	Violations int64 `json:"violations"` // of all kinds; 0 also means that no load's oracle found anything
}

// violations are the figures that count broken promises, by how scenarios name them: the first list of which a report has the last one.
var violations = [][]string{
	{"errors"}, // of echo
	{"missing", "duplicated", "reordered", "altered", "misplaced", "gaps", "unread"},
	{"lost", "duplicated", "reordered", "altered", "other_violations"},
	{"lost", "duplicated", "reordered", "altered", "misdelivered", "bad_sequences", "bad_acks", "unanswered", "unrecovered"},
}

// readBack are those of the history of messages, beside the others.
var readBack = []string{"not_in_history", "duplicated", "reordered", "altered", "misplaced", "bad_sequences", "unread"}

// countViolations adds those of a report up.
func countViolations(figures map[string]float64) (n int64) {
	for _, name := range readBack {
		n += int64(figures["history_"+name])
	}
	for _, names := range violations {
		if _, ok := figures[names[len(names)-1]]; !ok {
			continue
		}
		for _, name := range names {
			n += int64(figures[name])
		}
		break
	}
	return n
}

// mixType is the type of mixReport.Loads: a field for each load, so that the names of figures are known before the run.
func mixType(names []string, kinds []kind) reflect.Type {
	var fields []reflect.StructField
	for i, name := range names {
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("Load%d", i), Type: kinds[i].typ, Tag: reflect.StructTag(fmt.Sprintf(`json:"%s"`, name))})
	}
	return reflect.StructOf(fields)
}

// mixFigures is a type with the figures that the report of such loads has.
func mixFigures(names []string, kinds []kind) reflect.Type {
	whole := reflect.TypeFor[mixReport]()
	var fields []reflect.StructField
	for i := range whole.NumField() {
		f := whole.Field(i)
		if f.Name == "Loads" {
			f.Type = mixType(names, kinds)
		}
		if f.IsExported() {
			fields = append(fields, reflect.StructField{Name: f.Name, Type: f.Type, Tag: f.Tag})
		}
	}
	return reflect.StructOf(fields)
}

func newMixReport(p *runPlan, parts []sharedOutcome, server *report.Server, made *chaos.Report) *mixReport {
	r := &mixReport{names: p.names, parts: parts, Server: server, Chaos: made}
	loads := reflect.New(mixType(p.names, p.kinds)).Elem()
	for i, p := range parts {
		loads.Field(i).Set(reflect.ValueOf(p))
		figures := report.Figures(p)
		accepted, isAccepted := figures["accepted"]
		_, isRead := figures["pages"]
		switch {
		case isAccepted:
			r.Total.Messages += int64(accepted)
		case isRead:
			r.Total.Read += int64(figures["messages"])
		default:
			r.Total.Messages += int64(figures["messages"])
		}
		r.Total.Delivered += int64(figures["delivered"])
		r.Total.Violations += countViolations(figures)
	}
	r.Loads = loads.Interface()
	return r
}

// OK tells whether all loads found all promises kept.
func (r *mixReport) OK() bool {
	return r.Chaos.OK() && !slices.ContainsFunc(r.parts, func(p sharedOutcome) bool { return !p.OK() })
}

// Rows has the table of each load, and their sums.
func (r *mixReport) Rows() (rows []report.Row) {
	for i, p := range r.parts {
		rows = append(rows, report.Row{Name: "LOAD " + r.names[i], Value: ""})
		for _, row := range p.Rows() {
			if row.Name != "server" { // which is measured for all loads together
				rows = append(rows, report.Row{Name: "  " + row.Name, Value: row.Value})
			}
		}
	}
	t := r.Total
	rows = append(rows, report.Row{Name: "TOTAL", Value: fmt.Sprintf("%d messages, %d delivered, %d read, %d violations", t.Messages, t.Delivered, t.Read, t.Violations)})
	rows = append(rows, r.Chaos.Rows()...)
	return append(rows, report.Row{Name: "server", Value: r.Server})
}

// Curves has those of all loads, each behind the name of its own.
func (r *mixReport) Curves() map[string]*report.Latency {
	all := map[string]*report.Latency{}
	for i, p := range r.parts {
		for name, l := range p.Curves() {
			all[r.names[i]+" "+name] = l
		}
	}
	return all
}

// Limits are those of all loads.
func (r *mixReport) Limits() (all []string) {
	for i, p := range r.parts {
		if limited, ok := p.(interface{ Limits() []string }); ok {
			for _, text := range limited.Limits() {
				all = append(all, r.names[i]+": "+text)
			}
		}
	}
	return all
}
