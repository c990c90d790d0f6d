package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/bench/meter"
)

// progress shows the samples of a run: as a small block that is drawn anew on a terminal, as one line for each elsewhere. Guarded by its recording.
type progress struct {
	w      io.Writer
	width  int // of the terminal; 0: there is none
	height int // lines of the block on the terminal
	loads  []*lately
}

// lately is what is shown of one load of a run.
type lately struct {
	name    string
	seconds float64
	counts  map[string]int64
	lines   []string
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			p.width = max(int(size.Col), 40)
		}
	}
	return p
}

// show takes a sample.
func (p *progress) show(s *meter.Sample) {
	i := slices.IndexFunc(p.loads, func(l *lately) bool { return l.name == s.Load })
	if i < 0 {
		i = len(p.loads)
		p.loads = append(p.loads, &lately{name: s.Load})
	}
	l := p.loads[i]
	l.lines = l.describe(s)
	if p.width > 0 {
		p.redraw()
		return
	}
	fmt.Fprintln(p.w, strings.Join(l.lines, "  "))
}

// line writes a line that stays, above the block.
func (p *progress) line(text string) {
	var b strings.Builder
	p.erase(&b)
	_, _ = io.WriteString(p.w, b.String()+text+"\n")
}

// redraw writes the block over the one before.
func (p *progress) redraw() {
	var b strings.Builder
	p.erase(&b)
	for _, l := range p.loads {
		for _, line := range l.lines {
			if runes := []rune(line); len(runes) >= p.width {
				line = string(runes[:p.width-1])
			}
			b.WriteString(line + "\n")
			p.height++
		}
	}
	_, _ = io.WriteString(p.w, b.String())
}

func (p *progress) erase(b *strings.Builder) {
	if p.height > 0 {
		fmt.Fprintf(b, "\033[%dA\r\033[J", p.height)
	}
	p.height = 0
}

// done removes the block, before the table.
func (p *progress) done() {
	var b strings.Builder
	p.erase(&b)
	_, _ = io.WriteString(p.w, b.String())
	p.loads = nil
}

// troubles are counts of which the total matters and not the rate, and which are shown only when there are some.
var troubles = []string{"violations", "errors", "reconnects", "resent", "refusals"}

// describe tells a sample in up to four lines: where the run stands with its rates, the latencies, what is connected, and what is used.
func (l *lately) describe(s *meter.Sample) []string {
	head := fmt.Sprintf("%5.0fs", s.Seconds)
	for _, text := range []string{s.Load, s.Phase, s.Note} {
		if text != "" {
			head += "  " + text
		}
	}
	lines := []string{strings.TrimRight(head+"  "+l.rates(s), " ")}
	for _, text := range []string{latencies(s), state(s), processes(s)} {
		if text != "" {
			lines = append(lines, text)
		}
	}
	l.seconds, l.counts = s.Seconds, maps.Clone(s.Counts)
	return lines
}

// rates are how fast the counts grew since the sample before.
func (l *lately) rates(s *meter.Sample) string {
	var parts []string
	seconds := s.Seconds - l.seconds
	for _, name := range ordered(s.Counts) {
		if grown := s.Counts[name] - l.counts[name]; !slices.Contains(troubles, name) && seconds > 0 && s.Counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s/s", float64(grown)/seconds, words(name)))
		}
	}
	return strings.Join(parts, ", ")
}

func latencies(s *meter.Sample) string {
	var parts []string
	for _, name := range ordered(s.Latencies) {
		if l := s.Latencies[name]; l.Count() > 0 {
			p := l.Percentiles()
			parts = append(parts, fmt.Sprintf("%s p50 %s p99 %s max %s", words(name), short(p.P50), short(p.P99), short(p.Max)))
		}
	}
	return indented(parts)
}

func state(s *meter.Sample) string {
	var parts []string
	if n, ok := s.Gauges["connections"]; ok {
		parts = append(parts, fmt.Sprintf("%.0f connections", n))
	}
	for _, name := range []string{"offline", "under_way"} {
		if n := s.Gauges[name]; n != 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s", n, words(name)))
		}
	}
	for _, name := range troubles {
		if n, ok := s.Counts[name]; n != 0 || ok && name == "violations" {
			parts = append(parts, fmt.Sprintf("%d %s", n, words(name)))
		}
	}
	return indented(parts)
}

// processes tells what server and generator use.
func processes(s *meter.Sample) string {
	var parts []string
	for _, who := range []string{"server", "generator"} {
		if rss, ok := s.Gauges[who+"_rss_bytes"]; ok {
			parts = append(parts, fmt.Sprintf("%s %.2f cores %.1f MB", who, s.Gauges[who+"_cpu_cores"], rss/1e6))
		}
	}
	return indented(parts)
}

// short writes a time in milliseconds in few letters.
func short(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.3g s", ms/1000)
	}
	return fmt.Sprintf("%.3g ms", ms)
}

// indented is a line below the first one; "" if there is nothing to tell.
func indented(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return "       " + strings.Join(parts, ", ")
}

// usual is the order of what is well known; the rest follows by name.
var usual = []string{"opened", "sent", "accepted", "delivered", "echoed", "accept", "deliver", "rtt"}

func ordered[V any](m map[string]V) []string {
	rank := func(name string) int {
		if i := slices.Index(usual, name); i >= 0 {
			return i
		}
		return len(usual)
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
}

func words(name string) string { return strings.ReplaceAll(name, "_", " ") }
