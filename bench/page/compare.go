package page

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/record"
)

// compareView is what the template of several runs gets.
type compareView struct {
	Title    string
	Runs     []runHead
	Key      []record.Compared
	Rest     []record.Compared
	Sections []section
}

// comparedView is one table of a comparison.
type comparedView struct {
	Runs    []runHead
	Figures []record.Compared
}

// runHead is what is told of a run before its figures.
type runHead struct {
	Name, Color, Scenario, Version, Started, Machine, Command, Verdict string
	Passed                                                             bool
}

// Compare writes several runs side by side: their figures with ratios to the first, and their curves in the same charts.
func Compare(w io.Writer, runs []record.Named) error {
	v := compareView{Sections: comparedSections(runs)}
	var names []string
	for i, r := range runs {
		b := r.Bench
		names = append(names, r.Name)
		v.Runs = append(v.Runs, runHead{
			Name: r.Name, Color: color(i + 1), Scenario: b.Scenario, Version: b.Version, Started: b.Started.UTC().Format("2006-01-02 15:04:05 UTC"), Command: command(b.Arguments),
			Machine: fmt.Sprintf("%d cores of %s, %s, %s", b.Machine.Cores, orUnknown(b.Machine.CPU), orUnknown(b.Machine.Kernel), b.Machine.Go), Verdict: record.Verdict(b), Passed: b.Passed,
		})
	}
	v.Title = strings.Join(names, " / ")
	for _, c := range record.Compare(runs) {
		if c.Key {
			v.Key = append(v.Key, c)
		} else {
			v.Rest = append(v.Rest, c)
		}
	}
	if err := templates.ExecuteTemplate(w, "compare.tmpl", v); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// comparedSections have a line for each run in every chart.
func comparedSections(runs []record.Named) (list []section) {
	add := func(name string, plots []plot) {
		s := section{Name: name}
		for _, p := range plots {
			if c, ok := p.draw(); ok {
				s.Charts = append(s.Charts, c)
			}
		}
		if len(s.Charts) > 0 {
			list = append(list, s)
		}
	}
	add("Latency by percentile", comparedCurves(runs))
	add("Over time", comparedSeries(runs))
	return list
}

// comparedCurves are a chart for each latency that the runs have.
func comparedCurves(runs []record.Named) (plots []plot) {
	all := map[string]bool{}
	for _, r := range runs {
		for name := range r.Curves {
			all[name] = true
		}
	}
	names := those(all)
	for _, name := range names {
		p := plot{title: words(name), kind: percentiles, unit: "ms", logY: true, wide: len(names) == 1}
		for i, r := range runs {
			if l := r.Curves[name]; l != nil {
				p.lines = append(p.lines, curveLine(r.Name, i+1, l))
			}
		}
		plots = append(plots, p)
	}
	return plots
}

// flows are the counts whose rate tells how fast a run was, the best first.
var flows = []string{"delivered", "accepted", "echoed", "opened", "sent"}

// comparedSeries are the rate, the p99 of each latency, and what the server used.
func comparedSeries(runs []record.Named) (plots []plot) {
	series := make([]load, len(runs))
	latencies := map[string]bool{}
	for i, r := range runs {
		series[i] = busiest(byLoad(meter.Thin(r.Samples, maxPoints)))
		for _, p := range series[i].points {
			for name, s := range p.Latencies {
				latencies[name] = latencies[name] || s.Count > 0
			}
		}
	}
	each := func(title, sub, unit string, logY bool, of func(l *load, color int) line) {
		p := plot{title: title, sub: sub, kind: overTime, unit: unit, logY: logY}
		for i := range runs {
			drawn := of(&series[i], i+1)
			drawn.name = runs[i].Name
			p.lines = append(p.lines, drawn)
		}
		plots = append(plots, p)
	}
	if name := sharedFlow(series); name != "" {
		each("Rate", words(name)+" a second", "/s", false, func(l *load, color int) line { return l.rate(name, color) })
	}
	for _, name := range those(latencies) {
		each("p99: "+words(name), about[name], "ms", true, func(l *load, color int) line {
			return l.over("", color, func(_, p *meter.Point) float64 {
				if s := p.Latencies[name]; s.Count > 0 {
					return s.P99
				}
				return math.NaN()
			})
		})
	}
	for _, g := range []struct{ title, sub, unit, name string }{
		{"Server memory", "resident", "B", "server_rss_bytes"}, {"Server processors", "cores in use", "", "server_cpu_cores"},
		{"Generator processors", "cores in use", "", "generator_cpu_cores"}, {"Connections", "", "", "connections"},
	} {
		each(g.title, g.sub, g.unit, false, func(l *load, color int) line { return l.gauge(g.name, color) })
	}
	return plots
}

// busiest is the load with most samples; of several, the first.
func busiest(loads []load) (most load) {
	for _, l := range loads {
		if len(l.points) > len(most.points) {
			most = l
		}
	}
	return most
}

// sharedFlow is a count that all runs have.
func sharedFlow(series []load) string {
	for _, name := range flows {
		if !slices.ContainsFunc(series, func(l load) bool {
			return !slices.ContainsFunc(l.points, func(p meter.Point) bool { return p.Counts[name] > 0 })
		}) {
			return name
		}
	}
	return ""
}
