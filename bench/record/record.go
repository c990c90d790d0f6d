// Package record is the file that a run leaves: the scenario's own report with what every run has around it. It is what --json writes, and what
// reports and comparisons are made of. Pure but for reading and writing that file.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
)

// Run is a run with its results. In the file the fields of the scenario's report stand beside these, on the top level.
type Run struct {
	Bench   Bench                      `json:"bench"`
	Figures map[string]float64         `json:"figures"`          // all numbers of the report, see report.Figures
	Rows    []Row                      `json:"table"`            // what was printed at the end
	Samples []meter.Point              `json:"samples"`          // see meter.Series for how many
	Events  []meter.Event              `json:"events,omitempty"` // what was done to the server
	Curves  map[string]*report.Latency `json:"curves,omitempty"` // the latencies of the measured window, as HDR histograms of nanoseconds
}

// Bench says what ran, where, and how it ended.
type Bench struct {
	Version          string           `json:"version"`
	Scenario         string           `json:"scenario"`
	Arguments        []string         `json:"arguments"`
	Started          time.Time        `json:"started"`
	Seconds          float64          `json:"seconds"`
	Machine          observe.Facts    `json:"machine"`
	Passed           bool             `json:"passed"`
	Failed           []string         `json:"failed"` // why it did not pass
	Thresholds       []report.Verdict `json:"thresholds,omitempty"`
	GeneratorLimited bool             `json:"generator_limited"` // the generator, not the server, set the figures
	Limits           []string         `json:"limits"`            // why
}

// Row is one line of the table.
type Row struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Rows turns the lines of a table into what is kept.
func Rows(rows []report.Row) []Row {
	kept := make([]Row, len(rows))
	for i, r := range rows {
		kept[i] = Row{r.Name, fmt.Sprint(r.Value)}
	}
	return kept
}

// Write writes a run to a file, indented, with the fields of the scenario's report (a struct or a map) on the top level.
func Write(path string, rep any, run *Run) error {
	own, err := json.Marshal(rep)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	around, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if len(own) < 2 || own[0] != '{' {
		return fmt.Errorf("BUG: record: the report of %s is no object", run.Bench.Scenario)
	}
	if len(own) > 2 {
		own = append(own[:len(own)-1], ',')
		around = append(own, around[1:]...)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, around, "", " "); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	b.WriteByte('\n')
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// errDamaged is for a file with numbers that no run has.
var errDamaged = errors.New("its numbers are out of range: it was changed since it was written")

// errForeign is for a file that is JSON, but of something else.
var errForeign = errors.New("it was not written by switchyard-bench --json of this version")

// Read reads what Write wrote, without the scenario's own fields.
func Read(path string) (*Run, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	var run Run
	if err := json.Unmarshal(text, &run); err != nil {
		return nil, fmt.Errorf("record: %s: %w", path, err)
	}
	if run.Bench.Scenario == "" {
		return nil, fmt.Errorf("record: %s: %w", path, errForeign)
	}
	if !run.sane() {
		return nil, fmt.Errorf("record: %s: %w", path, errDamaged)
	}
	return &run, nil
}

// maxSeconds and maxValue bound what a run has, some thirty years and far from what arithmetic turns into infinities.
const (
	maxSeconds = 1e9
	maxValue   = 1e200
)

// sane tells whether the numbers of a file that somebody may have changed can be drawn.
func (r *Run) sane() bool {
	fine := func(v float64) bool { return math.Abs(v) <= maxValue }
	for _, p := range r.Samples {
		if p.Seconds < 0 || p.Seconds > maxSeconds {
			return false
		}
		for _, v := range p.Gauges {
			if !fine(v) {
				return false
			}
		}
		for _, l := range p.Latencies {
			if !fine(l.P50) || !fine(l.P99) || !fine(l.Max) {
				return false
			}
		}
	}
	for _, v := range r.Figures {
		if !fine(v) {
			return false
		}
	}
	return !slices.ContainsFunc(r.Events, func(e meter.Event) bool { return e.Seconds < 0 || e.Seconds > maxSeconds })
}
