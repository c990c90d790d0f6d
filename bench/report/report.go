// Package report turns what a scenario measured into numbers, named figures, thresholds, a table and JSON. Pure: no clock, no sockets.
package report

import (
	"fmt"
	"io"
	"text/tabwriter"
)

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
