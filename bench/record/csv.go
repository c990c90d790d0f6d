package record

import (
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

// WriteCSV writes a time series to a file, a row for each sample: seconds, phase, load, events, then each count as its total, each gauge, and each latency
// as how many there were and their percentiles, in milliseconds. A cell is empty where a sample has no such figure.
func WriteCSV(path string, points []meter.Point, events []meter.Event) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	defer f.Close()
	w := csv.NewWriter(f)
	for _, row := range table(points, events) {
		if err := w.Write(row); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	if w.Flush(); w.Error() != nil {
		return fmt.Errorf("record: %w", w.Error())
	}
	return f.Close()
}

// percentiles are the columns of a latency.
var percentiles = []struct {
	name string
	of   func(p report.Percentiles) float64
}{
	{"p50", func(p report.Percentiles) float64 { return p.P50 }},
	{"p90", func(p report.Percentiles) float64 { return p.P90 }},
	{"p99", func(p report.Percentiles) float64 { return p.P99 }},
	{"p999", func(p report.Percentiles) float64 { return p.P999 }},
	{"p9999", func(p report.Percentiles) float64 { return p.P9999 }},
	{"max", func(p report.Percentiles) float64 { return p.Max }},
}

func table(points []meter.Point, events []meter.Event) [][]string {
	counts, gauges, latencies := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range points {
		note(counts, p.Counts)
		note(gauges, p.Gauges)
		note(latencies, p.Latencies)
	}
	head := []string{"seconds", "phase", "load", "events"}
	head = append(head, slices.Sorted(maps.Keys(counts))...)
	head = append(head, slices.Sorted(maps.Keys(gauges))...)
	for _, name := range slices.Sorted(maps.Keys(latencies)) {
		head = append(head, name+"_count")
		for _, c := range percentiles {
			head = append(head, name+"_"+c.name+"_ms")
		}
	}
	rows := [][]string{head}
	for _, p := range points {
		var happened []string
		for len(events) > 0 && events[0].Seconds <= p.Seconds {
			happened = append(happened, events[0].Name)
			events = events[1:]
		}
		row := []string{number(p.Seconds), p.Phase, p.Load, strings.Join(happened, "; ")}
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			n, ok := p.Counts[name]
			row = append(row, cell(float64(n), ok))
		}
		for _, name := range slices.Sorted(maps.Keys(gauges)) {
			v, ok := p.Gauges[name]
			row = append(row, cell(v, ok))
		}
		for _, name := range slices.Sorted(maps.Keys(latencies)) {
			l, ok := p.Latencies[name]
			row = append(row, cell(float64(l.Count), ok))
			for _, c := range percentiles {
				row = append(row, cell(c.of(l.Percentiles), l.Count > 0))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func note[V any](names map[string]bool, m map[string]V) {
	for name := range m {
		names[name] = true
	}
}

func cell(v float64, ok bool) string {
	if !ok {
		return ""
	}
	return number(v)
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
