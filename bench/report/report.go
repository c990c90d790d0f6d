// Package report turns what a scenario measured into numbers, a table and JSON. Pure: no clock, no sockets.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range of a Latency, in nanoseconds. What lies above is counted as the top.
const (
	lowest  = 1_000
	highest = 600_000_000_000
	digits  = 3
)

// Latency collects durations, exact to one part in a thousand, in constant memory. One goroutine owns it.
type Latency struct{ h *hdrhistogram.Histogram }

// NewLatency returns an empty one.
func NewLatency() *Latency { return &Latency{hdrhistogram.New(lowest, highest, digits)} }

// Record adds a duration in nanoseconds. It does not allocate.
func (l *Latency) Record(ns int64) { _ = l.h.RecordValue(min(max(ns, 0), highest)) }

// Merge adds what another one collected.
func (l *Latency) Merge(other *Latency) { l.h.Merge(other.h) }

// Count is the number of durations.
func (l *Latency) Count() int64 { return l.h.TotalCount() }

// Percentiles of a latency, in milliseconds; all zero if nothing was recorded.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Percentiles summarises what was collected.
func (l *Latency) Percentiles() Percentiles {
	if l.Count() == 0 {
		return Percentiles{}
	}
	at := func(q float64) float64 { return float64(l.h.ValueAtQuantile(q)) / 1e6 }
	return Percentiles{P50: at(50), P99: at(99), P999: at(99.9), Max: float64(l.h.Max()) / 1e6}
}

// String is the row of a table.
func (p Percentiles) String() string {
	return fmt.Sprintf("p50 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms", p.P50, p.P99, p.P999, p.Max)
}

// Server is what the server used: CPU over the measured window, RSS at its end. Nil in a report whose run could not tell.
type Server struct {
	RSSBytes        int64   `json:"rss_bytes"`
	CPUSeconds      float64 `json:"cpu_seconds"`
	CPUUSPerMessage float64 `json:"cpu_us_per_message"`
	GCShare         float64 `json:"gc_share,omitempty"` // the Go collector's part of CPUSeconds; 0: not known, or no collection
}

// String is the row of a table.
func (s *Server) String() string {
	if s == nil {
		return "not measured (give --server-pid or --admin)"
	}
	row := fmt.Sprintf("%.2f us of CPU per message (%.2f s in all), RSS %.1f MB", s.CPUUSPerMessage, s.CPUSeconds, float64(s.RSSBytes)/1e6)
	if s.GCShare > 0 {
		row += fmt.Sprintf(", collector %.2f %% of the CPU", 100*s.GCShare)
	}
	return row
}

// Share is a part of a whole; zero if there is no whole.
func Share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return part / whole
}

// PerMessage divides seconds of CPU by messages, in microseconds; zero without messages.
func PerMessage(seconds float64, messages int64) float64 {
	if messages <= 0 {
		return 0
	}
	return seconds * 1e6 / float64(messages)
}

// Row is one line of a table.
type Row struct {
	Name  string
	Value any
}

// Table writes rows in two aligned columns.
func Table(w io.Writer, rows []Row) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%v\n", r.Name, r.Value)
	}
	return tw.Flush()
}

// WriteJSON writes v to a file, indented.
func WriteJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
