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
		if len(list) == maxTiles || !record.IsKey(name) {
			break
		}
		value, unit, _ := strings.Cut(report.Format(name, r.Figures[name]), " ")
		if number, ok := strings.CutSuffix(value, "/s"); ok {
			value, unit = number, "/s"
		}
		bad := record.IsTrouble(name) && r.Figures[name] > 0
		if record.IsTrouble(name) && !bad {
			continue
		}
		list = append(list, tile{title(name), value, unit, bad})
	}
	return list
}

// title is a figure's name for people: "deliver p99", "server CPU per message".
func title(name string) string {
	t := " " + strings.ReplaceAll(name, "_", " ") + " "
	for _, r := range [][2]string{
		{" cpu us ", " CPU "}, {" us per ", " per "}, {" bytes per conn ", " per connection "}, {" rss bytes ", " RSS "}, {" bytes ", " "}, {" cpu ", " CPU "}, {" rss ", " RSS "},
		{" seconds ", " "}, {" p999 ", " p99.9 "}, {" p9999 ", " p99.99 "}, {" conns ", " connections "},
	} {
		t = strings.ReplaceAll(t, r[0], r[1])
	}
	return strings.TrimSpace(t)
}
