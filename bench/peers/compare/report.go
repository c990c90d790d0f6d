package compare

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Report is the outcome of a run: every sample, and what they come to.
type Report struct {
	Host    Host      `json:"host"`
	Config  *Config   `json:"config"`
	Samples []Sample  `json:"samples"`
	Summary []Summary `json:"summary"`
}

// Summary is one server under one workload.
type Summary struct {
	Workload string            `json:"workload"`
	Server   string            `json:"server"`
	Figures  map[Metric]Spread `json:"figures"`
	Failed   int               `json:"failed,omitempty"` // measurements

	// OfBest is the server's CPU divided by that of the best peer in the same round.
	OfBest *Spread `json:"cpu_of_best_peer,omitempty"`
}

func newReport(cfg *Config, host Host, samples []Sample) *Report {
	r := &Report{Host: host, Config: cfg, Samples: samples}
	for _, w := range cfg.workloads() {
		for _, name := range cfg.Servers {
			r.Summary = append(r.Summary, r.summarise(w.Name, name))
		}
	}
	return r
}

func (r *Report) summarise(workload, server string) Summary {
	s := Summary{Workload: workload, Server: server, Figures: map[Metric]Spread{}}
	values := map[Metric][]float64{}
	var ofBest []float64
	for _, sample := range r.Samples {
		if sample.Workload != workload || sample.Server != server {
			continue
		}
		if sample.Error != "" {
			s.Failed++
			continue
		}
		for m, v := range sample.Figures {
			values[m] = append(values[m], v)
		}
		if best := r.bestPeer(workload, sample.Round); best > 0 {
			ofBest = append(ofBest, sample.Figures.cpu()/best)
		}
	}
	for m, v := range values {
		s.Figures[m], _ = spread(v)
	}
	if ratio, ok := spread(ofBest); ok {
		s.OfBest = &ratio
	}
	return s
}

// cpu is what the server used per message or connection.
func (f Figures) cpu() float64 { return f[CPU] + f[AcceptCPU] }

// bestPeer is the least CPU of a peer in a round; 0 if none was measured.
func (r *Report) bestPeer(workload string, round int) float64 {
	best := 0.0
	for _, s := range r.Samples {
		cpu := s.Figures.cpu()
		if s.Workload == workload && s.Round == round && s.Server != Ours && s.Error == "" && (best == 0 || cpu < best) {
			best = cpu
		}
	}
	return best
}

// Failed counts the measurements that gave no figures.
func (r *Report) Failed() int {
	n := 0
	for _, s := range r.Summary {
		n += s.Failed
	}
	return n
}

// WriteTables writes the summary as Markdown, which reads as plain text too.
func (r *Report) WriteTables(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.Host.text())
	fmt.Fprintf(&b, "\n%d rounds; median (least-greatest). Load: %d of %d connections send, for %v after %v. ",
		r.Config.Rounds, r.Config.Active, r.Config.Conns, r.Config.Duration, r.Config.Warmup)
	fmt.Fprintf(&b, "RSS: %v after the last handshake, after a forced collection.\n", r.Config.Settle)
	for _, workload := range r.Config.workloads() {
		rows := slices.DeleteFunc(slices.Clone(r.Summary), func(s Summary) bool { return s.Workload != workload.Name })
		fmt.Fprintf(&b, "\n### %s\n\n", workload.Name)
		writeTable(&b, rows)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTable writes the rows of one workload, with the columns that any of them has.
func writeTable(b *strings.Builder, rows []Summary) {
	table := [][]string{{"server"}}
	for _, s := range rows {
		name := s.Server
		if s.Failed > 0 {
			name = fmt.Sprintf("%s (%d failed)", name, s.Failed)
		}
		table = append(table, []string{name})
	}
	for _, m := range metrics {
		column, any := []string{m.head}, false
		for _, s := range rows {
			cell := "-"
			if v, ok := s.Figures[m.metric]; ok {
				cell, any = v.text(m.decimals), true
			}
			column = append(column, cell)
		}
		if any {
			appendColumn(table, column)
		}
	}
	ratios := []string{"CPU, of the best peer's"}
	for _, s := range rows {
		cell := "-"
		if s.OfBest != nil {
			cell = s.OfBest.text(2)
		}
		ratios = append(ratios, cell)
	}
	appendColumn(table, ratios)
	writeAligned(b, table)
}

func appendColumn(table [][]string, column []string) {
	for i := range table {
		table[i] = append(table[i], column[i])
	}
}

// writeAligned pads the cells to the width of their columns.
func writeAligned(b *strings.Builder, table [][]string) {
	widths := make([]int, len(table[0]))
	for _, row := range table {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for n, row := range table {
		for i, cell := range row {
			fmt.Fprintf(b, "| %-*s ", widths[i], cell)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
}
