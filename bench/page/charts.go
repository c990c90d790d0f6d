package page

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/record"
	"github.com/switchyard-im/switchyard/bench/report"
)

// sections are all charts of a run: the latencies of the whole, each load over time, and what the processes used.
func sections(r *record.Run) (list []section) {
	add := func(name string, plots ...plot) {
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
	points := meter.Thin(r.Samples, maxPoints)
	loads := byLoad(points)
	add("", curvePlots(r.Curves, loads)...)
	marked := legend(r.Events)
	timed := func(name string, plots []plot) {
		for i := range plots {
			plots[i].kinds = kinds(r.Events)
		}
		before := len(list)
		if add(name, plots...); len(list) > before {
			list[before].Events = marked
		}
	}
	processes := processPlots(points, r.Events)
	if len(loads) == 1 {
		timed("Over time", append(loads[0].plots(r.Events), processes...))
		return list
	}
	for _, l := range loads {
		timed("Over time: "+l.name, l.plots(r.Events))
	}
	timed("Memory and processors", processes)
	return list
}

// kinds are the names of events, in the order in which they come first.
func kinds(events []meter.Event) (list []string) {
	for _, e := range events {
		if !slices.Contains(list, e.Name) {
			list = append(list, e.Name)
		}
	}
	return list
}

// legend tells which line across a chart stands for which kind of events, and how many there were.
func legend(events []meter.Event) (list []eventKind) {
	all := kinds(events)
	for _, name := range all {
		k := eventKind{Name: name, Color: markColor(all, name)}
		for _, e := range events {
			if e.Name == name {
				k.Count++
			}
		}
		list = append(list, k)
	}
	return list
}

// curvePlots are a chart for each load of a mixed run, whose curves have its name before their own, and one for the curves of no load.
func curvePlots(curves map[string]*report.Latency, loads []load) (plots []plot) {
	rest := maps.Clone(curves)
	for _, l := range loads {
		own := map[string]*report.Latency{}
		for name, c := range curves {
			if short, ok := strings.CutPrefix(name, l.name+" "); ok {
				own[short] = c
				delete(rest, name)
			}
		}
		p := curvePlot(own)
		p.title, p.sub, p.wide = p.title+": "+l.name, "", false
		plots = append(plots, p)
	}
	return append(plots, curvePlot(rest))
}

// curvePlot has each latency by percentile, further to the right the rarer.
func curvePlot(curves map[string]*report.Latency) plot {
	p := plot{title: "Latency by percentile", sub: "of the measured window; each step to the right is ten times as rare", kind: percentiles, unit: "ms", logY: true, wide: true, alike: true}
	for i, name := range order(slices.Collect(maps.Keys(curves))) {
		p.lines = append(p.lines, curveLine(name, i+1, curves[name]))
	}
	return p
}

// curveLine reads a histogram at steps of a fiftieth of a nine, up to its last value.
func curveLine(name string, color int, l *report.Latency) line {
	drawn := line{name: name, color: color}
	if l.Count() == 0 {
		return drawn
	}
	end := math.Log10(float64(l.Count()))
	for u := 0.0; u < end; u += 0.02 {
		drawn.x, drawn.y = append(drawn.x, u), append(drawn.y, l.At(100*(1-math.Pow(10, -u))))
	}
	drawn.x, drawn.y = append(drawn.x, end), append(drawn.y, l.Percentiles().Max)
	return drawn
}

// load is one part of a run over time.
type load struct {
	name   string
	points []meter.Point
}

// byLoad splits points, in the order in which loads appear.
func byLoad(points []meter.Point) (list []load) {
	for _, p := range points {
		i := slices.IndexFunc(list, func(l load) bool { return l.name == p.Load })
		if i < 0 {
			i = len(list)
			list = append(list, load{name: p.Load})
		}
		list[i].points = append(list[i].points, p)
	}
	return list
}

// troubles are counts that are drawn beside the others, and only if there are some.
var troubles = []string{"violations", "errors", "reconnects", "resent", "refusals"}

// about says what a latency counts from; the last is the generator's own.
var about = map[string]string{
	"accept":  "from due to acknowledged, of each second",
	"deliver": "from due to delivered, of each second",
	"rtt":     "from sent to echoed, of each second",
	"open":    "from a visitor's coming to its conversation",
	"assign":  "from a visitor's coming to its agent",
	"page":    "of history, from due to read",
	"resume":  "from the first resume until a client had everything",
	"back":    "from the outage until a client was back",
	"late":    "of the generator for its own schedule, which is part of the others",
}

// plots are a load's rates, latencies and connections.
func (l *load) plots(events []meter.Event) []plot {
	bands := l.bands()
	timed := func(title, sub, unit string, logY bool, lines []line) plot {
		return plot{title: title, sub: sub, kind: overTime, unit: unit, logY: logY, lines: lines, events: events, bands: bands}
	}
	counts, latencies, gauges := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range l.points {
		for name, n := range p.Counts {
			counts[name] = counts[name] || n != 0
		}
		for name, s := range p.Latencies {
			latencies[name] = latencies[name] || s.Count > 0
		}
		for name, v := range p.Gauges {
			gauges[name] = gauges[name] || v != 0 && name != "pairs" && !isProcess(name) // a pair is two connections
		}
	}
	var flows, bad, states []line
	for _, name := range those(counts) {
		switch drawn := l.rate(name, 0); {
		case !slices.ContainsFunc(drawn.y, func(v float64) bool { return v > 0 }): // it was over before the second sample
		case slices.Contains(troubles, name):
			drawn.color = len(bad) + 1
			bad = append(bad, drawn)
		default:
			drawn.color = len(flows) + 1
			flows = append(flows, drawn)
		}
	}
	for _, name := range those(gauges) {
		states = append(states, l.gauge(name, len(states)+1))
	}
	list := []plot{timed("Rate", "events a second", "/s", false, flows)}
	list[0].alike = true
	for _, name := range those(latencies) {
		list = append(list, timed("Latency: "+words(name), about[name], "ms", true, l.latency(name)))
	}
	return append(list, timed("Troubles", "a second", "/s", false, bad), timed("Connections and what is under way", "", "", false, states))
}

// bands are the times in which the run was measured.
func (l *load) bands() (list []band) {
	for i, p := range l.points {
		if !strings.HasPrefix(p.Phase, "measuring") {
			continue
		}
		from := p.Seconds - 1
		if i > 0 {
			from = l.points[i-1].Seconds
		}
		if n := len(list); n > 0 && list[n-1].name == p.Phase && list[n-1].to == from {
			list[n-1].to = p.Seconds
			continue
		}
		list = append(list, band{p.Phase, max(from, 0), p.Seconds})
	}
	return list
}

// over makes a line of what value takes from the points, with its predecessor; not a number: a gap.
func (l *load) over(name string, color int, value func(before, p *meter.Point) float64) line {
	drawn := line{name: words(name), color: color}
	for i := range l.points {
		var before *meter.Point
		if i > 0 {
			before = &l.points[i-1]
		}
		drawn.x, drawn.y = append(drawn.x, l.points[i].Seconds), append(drawn.y, value(before, &l.points[i]))
	}
	return drawn
}

// rate is how fast a count grew.
func (l *load) rate(name string, color int) line {
	return l.over(name, color, func(before, p *meter.Point) float64 {
		if before == nil || p.Seconds <= before.Seconds {
			return math.NaN()
		}
		return max(0, float64(p.Counts[name]-before.Counts[name])/(p.Seconds-before.Seconds))
	})
}

func (l *load) gauge(name string, color int) line {
	return l.over(name, color, func(_, p *meter.Point) float64 {
		if v, ok := p.Gauges[name]; ok {
			return v
		}
		return math.NaN()
	})
}

func (l *load) latency(name string) []line {
	at := func(title string, color int, of func(report.Percentiles) float64) line {
		return l.over(title, color, func(_, p *meter.Point) float64 {
			if s := p.Latencies[name]; s.Count > 0 {
				return of(s.Percentiles)
			}
			return math.NaN()
		})
	}
	most := at("max", 6, func(p report.Percentiles) float64 { return p.Max })
	most.thin = true
	return []line{
		at("p50", 1, func(p report.Percentiles) float64 { return p.P50 }),
		at("p90", 3, func(p report.Percentiles) float64 { return p.P90 }),
		at("p99", 2, func(p report.Percentiles) float64 { return p.P99 }),
		at("p99.9", 4, func(p report.Percentiles) float64 { return p.P999 }),
		most,
	}
}

// fewConns is from how many connections on memory is divided by them: with fewer it is the program's own.
const fewConns = 100

// processPlots are memory and CPU of server and generator. All loads of a run tell the same of the processes, so their points count as one.
func processPlots(points []meter.Point, events []meter.Event) []plot {
	all := load{points: points}
	timed := func(title, sub, unit string, lines ...line) plot {
		return plot{title: title, sub: sub, kind: overTime, unit: unit, lines: lines, events: events}
	}
	perConn := all.over("server", 1, func(_, p *meter.Point) float64 {
		rss, ok := p.Gauges["server_rss_bytes"]
		if conns := p.Gauges["connections"]; ok && conns >= fewConns {
			return rss / conns
		}
		return math.NaN()
	})
	server, generator := all.gauge("server_cpu_cores", 1), all.gauge("generator_cpu_cores", 2)
	serverRSS, generatorRSS := all.gauge("server_rss_bytes", 1), all.gauge("generator_rss_bytes", 2)
	for _, l := range []*line{&server, &generator, &serverRSS, &generatorRSS} {
		l.name, _, _ = strings.Cut(l.name, " ")
	}
	return []plot{
		timed("Memory", "resident", "B", serverRSS, generatorRSS),
		timed("Processors", "cores in use", "", server, generator),
		timed("Memory per connection", "the server's, its own included", "B", perConn),
	}
}

func isProcess(gauge string) bool {
	return strings.HasPrefix(gauge, "server_") || strings.HasPrefix(gauge, "generator_")
}

// usual is the order of what is well known; the rest follows by name.
var usual = []string{"sent", "accepted", "delivered", "echoed", "accept", "deliver", "rtt", "connections", "pairs", "offline", "under_way"}

func order(names []string) []string {
	rank := func(name string) int {
		if i := slices.Index(usual, name); i >= 0 {
			return i
		}
		return len(usual)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

// those that are true, in order.
func those(names map[string]bool) (list []string) {
	for name, yes := range names {
		if yes {
			list = append(list, name)
		}
	}
	return order(list)
}

func words(name string) string { return strings.ReplaceAll(name, "_", " ") }
