package main

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/switchyard-im/switchyard/bench/report"
)

// mixReport is the outcome of several loads that ran beside each other.
type mixReport struct {
	Loads any      `json:"loads"` // a struct with a field for each load, which mixType makes
	Total mixTotal `json:"total"`

	names []string
	parts []sharedOutcome
}

// mixTotal is what the loads have in common, added up.
type mixTotal struct {
	Messages   int64 `json:"messages"`   // accepted, or answered
	Delivered  int64 `json:"delivered"`  //
	Violations int64 `json:"violations"` // of all kinds; 0 also means that no load's oracle found anything
}

// totals says which figures of the loads' reports are added up to what.
var totals = map[string]func(t *mixTotal) *int64{
	"accepted": func(t *mixTotal) *int64 { return &t.Messages }, "messages": func(t *mixTotal) *int64 { return &t.Messages },
	"delivered": func(t *mixTotal) *int64 { return &t.Delivered },
}

// violations are the figures that count broken promises.
var violations = []string{
	"lost", "duplicated", "reordered", "altered", "misdelivered", "bad_sequences", "bad_acks", "unanswered", "unrecovered", "errors",
	"history_not_in_history", "history_duplicated", "history_reordered", "history_altered", "history_misplaced", "history_bad_sequences", "history_unread",
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

func newMixReport(names []string, kinds []kind, parts []sharedOutcome) *mixReport {
	r := &mixReport{names: names, parts: parts}
	loads := reflect.New(mixType(names, kinds)).Elem()
	for i, p := range parts {
		loads.Field(i).Set(reflect.ValueOf(p))
		for name, v := range report.Figures(p) {
			if total := totals[name]; total != nil {
				*total(&r.Total) += int64(v)
			}
			if slices.Contains(violations, name) {
				r.Total.Violations += int64(v)
			}
		}
	}
	r.Loads = loads.Interface()
	return r
}

// OK tells whether all loads found all promises kept.
func (r *mixReport) OK() bool {
	return !slices.ContainsFunc(r.parts, func(p sharedOutcome) bool { return !p.OK() })
}

// Rows has the table of each load, and their sums.
func (r *mixReport) Rows() (rows []report.Row) {
	for i, p := range r.parts {
		rows = append(rows, report.Row{Name: "LOAD " + r.names[i], Value: ""})
		for _, row := range p.Rows() {
			rows = append(rows, report.Row{Name: "  " + row.Name, Value: row.Value})
		}
	}
	t := r.Total
	return append(rows, report.Row{Name: "TOTAL", Value: fmt.Sprintf("%d messages, %d delivered, %d violations", t.Messages, t.Delivered, t.Violations)})
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
