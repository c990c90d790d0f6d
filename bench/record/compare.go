package record

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/switchyard-im/switchyard/bench/report"
)

// Named is a run with what it is called in a comparison.
type Named struct {
	Name string
	*Run
}

// Load reads runs from files. They are named after them, by as much of their paths as tells them apart.
func Load(paths []string) ([]Named, error) {
	var runs []Named
	names := shortNames(paths)
	for i, path := range paths {
		run, err := Read(path)
		if err != nil {
			return nil, err
		}
		runs = append(runs, Named{names[i], run})
	}
	return runs, nil
}

func shortNames(paths []string) []string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = strings.TrimSuffix(filepath.Base(p), ".json")
	}
	for i, name := range names {
		if slices.Index(names, name) != i {
			return paths
		}
	}
	return names
}

// Compared is one figure of several runs.
type Compared struct {
	Figure string
	Key    bool // it says most
	Cells  []Cell
}

// Cell is what one run has of a figure.
type Cell struct {
	Text   string  // "" if the run has no such figure
	Ratio  float64 // to the first run; 0: none
	Change string  // "better" or "worse" than the first by more than a twentieth, where that can be told; else ""
}

// notable is what a ratio has to differ from 1 by to be called better or worse.
const notable = 0.05

// Compare sets the figures of runs side by side, those that say most first. A figure that is 0 or missing in all is left out.
func Compare(runs []Named) (list []Compared) {
	all := map[string]float64{}
	for _, r := range runs {
		for name, v := range r.Figures {
			all[name] = max(all[name], v, -v)
		}
	}
	for _, name := range Order(all) {
		if all[name] == 0 {
			continue
		}
		c := Compared{Figure: name, Key: IsKey(name)}
		base, known := runs[0].Figures[name]
		for i, r := range runs {
			v, ok := r.Figures[name]
			if !ok {
				c.Cells = append(c.Cells, Cell{})
				continue
			}
			cell := Cell{Text: report.Format(name, v)}
			if i > 0 && known && base != 0 {
				cell.Ratio = v / base
				cell.Change = change(name, cell.Ratio)
			}
			c.Cells = append(c.Cells, cell)
		}
		list = append(list, c)
	}
	return list
}

// change judges a ratio by what the figure is: less time, CPU and memory are better, and higher rates; of others it is not known.
func change(figure string, ratio float64) string {
	less := false
	switch report.Unit(figure) {
	case "ms", "us", "B":
		less = true
	case "/s":
		if strings.HasPrefix(figure, "target_") {
			return ""
		}
	default:
		if !IsTrouble(figure) {
			return ""
		}
		less = true
	}
	switch {
	case ratio > 1-notable && ratio < 1+notable:
		return ""
	case (ratio < 1) == less:
		return "better"
	}
	return "worse"
}

// WriteTable writes a comparison as text: a line for each figure, with the ratios to the first run in brackets.
func WriteTable(w io.Writer, runs []Named) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, cells func(i int) string) {
		fmt.Fprint(tw, name)
		for i := range runs {
			fmt.Fprint(tw, "\t", cells(i))
		}
		fmt.Fprintln(tw)
	}
	line("", func(i int) string { return runs[i].Name })
	line("scenario", func(i int) string { return runs[i].Bench.Scenario })
	line("version", func(i int) string { return runs[i].Bench.Version })
	line("verdict", func(i int) string { return Verdict(runs[i].Bench) })
	for _, c := range Compare(runs) {
		line(c.Figure, func(i int) string {
			cell := c.Cells[i]
			switch {
			case cell.Text == "":
				return "-"
			case cell.Ratio == 0:
				return cell.Text
			}
			return fmt.Sprintf("%s (%.2f)", cell.Text, cell.Ratio)
		})
	}
	return tw.Flush()
}

// Verdict is how a run ended, in a word or two.
func Verdict(b Bench) string {
	verdict := "failed"
	if b.Passed {
		verdict = "passed"
	}
	if b.GeneratorLimited {
		verdict += ", generator limited"
	}
	return verdict
}
