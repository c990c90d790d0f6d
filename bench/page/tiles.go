package page

import (
	"strings"

	"github.com/switchyard-im/switchyard/bench/record"
	"github.com/switchyard-im/switchyard/bench/report"
)

// tile is a figure that is shown large.
type tile struct {
	Name, Value, Unit string
	Bad               bool
}

// maxTiles is what one row or two can hold.
const maxTiles = 8

// tiles are the figures that say most, of those that the run has.
func tiles(r *record.Run) (list []tile) {
	for _, name := range record.Order(r.Figures) {
		bad := record.IsTrouble(name) && r.Figures[name] > 0
		if record.IsKey(name) && (bad || !record.IsTrouble(name)) {
			list = append(list, newTile(title(name), name, r.Figures[name], bad))
		}
	}
	if loads := ofLoads(r); len(loads) > 0 {
		list = append(loads, list...)
	}
	return list[:min(len(list), maxTiles)]
}

// newTile shows a figure under a title.
func newTile(title, figure string, v float64, bad bool) tile {
	value, unit, _ := strings.Cut(report.Format(figure, v), " ")
	if number, ok := strings.CutSuffix(value, "/s"); ok {
		value, unit = number, "/s"
	}
	return tile{title, value, unit, bad}
}

// ofLoad is what is shown of each load of a mixed run.
var ofLoad = []string{"rate", "assign_p99", "page_p99", "deliver_p99", "rtt_p99"}

// ofLoads are the figures of a mixed run, load by load.
func ofLoads(r *record.Run) (list []tile) {
	for _, l := range byLoad(r.Samples) {
		for _, what := range ofLoad {
			name := "loads_" + report.Name(l.name) + "_" + what
			if v, ok := r.Figures[name]; ok && l.name != "" {
				list = append(list, newTile(l.name+": "+title(what), name, v, false))
			}
		}
	}
	return list
}

// titles are names for people where those of the figures are too short for them.
var titles = map[string]string{
	"open_cpu_us": "server CPU to open one", "idle_cpu_us": "idle CPU, per connection and second", "all_p99": "to everybody p99", "conns": "connections",
	"rss_bytes_per_conn": "server RSS per connection",
}

// title is a figure's name for people: "deliver p99", "server CPU per message".
func title(name string) string {
	if t, ok := titles[name]; ok {
		return t
	}
	t := " " + strings.ReplaceAll(name, "_", " ") + " "
	for _, r := range [][2]string{
		{" cpu us ", " CPU "}, {" us per ", " per "}, {" bytes per conn ", " per connection "}, {" rss bytes ", " RSS "}, {" bytes ", " "}, {" cpu ", " CPU "}, {" rss ", " RSS "},
		{" seconds ", " "}, {" p999 ", " p99.9 "}, {" p9999 ", " p99.99 "}, {" conns ", " connections "},
	} {
		t = strings.ReplaceAll(t, r[0], r[1])
	}
	return strings.TrimSpace(t)
}
