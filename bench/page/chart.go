package page

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-im/switchyard/bench/meter"
)

// Kinds of a chart's axis of x.
const (
	overTime    = "time"        // seconds
	percentiles = "percentiles" // log10(1/(1-q))
)

// plot is what a chart shows.
type plot struct {
	title  string
	sub    string // what is to be known of it
	kind   string
	unit   string // of y
	logY   bool
	wide   bool
	alike  bool // the lines may lie on each other
	lines  []line
	events []meter.Event
	kinds  []string // of all events of the run, by which they get their colours
	bands  []band
}

// line is one series. A y that is not a number is a gap.
type line struct {
	name  string
	color int // 1 to 8
	thin  bool
	x, y  []float64
}

// band is a time that is told apart: the measured window.
type band struct {
	name     string
	from, to float64
}

// The drawing, in pixels of its own.
const (
	width, wideWidth   = 560, 1140
	height, wideHeight = 230, 330
	left, right        = 58, 14
	top, bottom        = 16, 24
)

// chart is a plot that is drawn, for the template.
type chart struct {
	Title, Sub               string
	Width, Height            int
	Left, Top, Right, Bottom float64 // of the area of the lines
	X, Y                     []tick
	Paths                    []path
	Bands                    []drawnBand
	Marks                    []mark
	Hover                    string // for the script, see page.js
	Wide                     bool
}

type path struct {
	Name, D, Color string
	Thin           bool
	Width          float64
}

type drawnBand struct {
	Name       string
	At, Length float64
}

type mark struct {
	At    float64
	Name  string
	Color string
}

// hover is what the script needs to tell values under the pointer.
type hover struct {
	Kind   string      `json:"kind"`
	Unit   string      `json:"unit"`
	X      [4]float64  `json:"x"` // least, most, and their places
	Y      [4]float64  `json:"y"`
	Log    bool        `json:"log"`
	Lines  []hoverLine `json:"lines"`
	Events []any       `json:"events,omitempty"` // seconds and name in turns
}

type hoverLine struct {
	Name  string    `json:"name"`
	Color string    `json:"color"`
	X     []float64 `json:"x"`
	Y     []float64 `json:"y"`
}

// markColors are the colours of what was done to the server, one for each kind; further kinds share the last.
var markColors = []string{"c5", "c4", "c8", "c7", "c6"}

// markColor is the colour of a kind of events.
func markColor(kinds []string, name string) string {
	return markColors[min(max(slices.Index(kinds, name), 0), len(markColors)-1)]
}

// draw makes the chart; false if there is nothing to show.
func (p *plot) draw() (chart, bool) {
	c := chart{Title: p.title, Sub: p.sub, Width: width, Height: height, Wide: p.wide}
	if p.wide {
		c.Width, c.Height = wideWidth, wideHeight
	}
	c.Left, c.Top, c.Right, c.Bottom = left, top, float64(c.Width-right), float64(c.Height-bottom)
	x, y, ok := p.axes(&c)
	if !ok {
		return c, false
	}
	c.X, c.Y = timeTicks(x), y.ticks(p.unit)
	if p.kind == percentiles {
		c.X = nines(x)
	}
	h := hover{Kind: p.kind, Unit: p.unit, X: [4]float64{x.Min, x.Max, x.from, x.to}, Y: [4]float64{y.Min, y.Max, y.from, y.to}, Log: y.Log}
	for i, l := range p.lines {
		c.Paths = append(c.Paths, path{Name: l.name, D: l.path(x, y), Color: color(l.color), Thin: l.thin, Width: p.lineWidth(i)})
		h.Lines = append(h.Lines, l.hover())
	}
	for _, b := range p.bands {
		from, to := x.at(math.Max(b.from, x.Min)), x.at(math.Min(b.to, x.Max))
		c.Bands = append(c.Bands, drawnBand{b.name, round(from), round(to - from)})
	}
	for _, e := range p.events {
		c.Marks = append(c.Marks, mark{At: round(x.at(math.Min(e.Seconds, x.Max))), Name: e.Name, Color: markColor(p.kinds, e.Name)})
		h.Events = append(h.Events, e.Seconds, e.Name)
	}
	text, err := json.Marshal(h)
	if err != nil {
		panic("BUG: page: " + err.Error())
	}
	c.Hover = string(text)
	return c, true
}

// lineWidth lets lines that lie on each other be seen: what is drawn first is wider.
func (p *plot) lineWidth(i int) float64 {
	switch {
	case p.lines[i].thin:
		return 1.1
	case !p.alike:
		return 1.9
	}
	return 1.6 + 0.9*float64(max(0, min(len(p.lines), 4)-1-i))
}

// axes cover all that is drawn; false if that is nothing.
func (p *plot) axes(c *chart) (x, y axis, ok bool) {
	mostX, least, most, points := 0.0, math.Inf(1), 0.0, 0
	for _, l := range p.lines {
		for i, v := range l.y {
			if math.IsNaN(v) {
				continue
			}
			points++
			mostX, most = math.Max(mostX, l.x[i]), math.Max(most, v)
			if v > 0 {
				least = math.Min(least, v)
			}
		}
	}
	if points < 2 || mostX <= 0 || p.logY && math.IsInf(least, 1) {
		return x, y, false
	}
	x = axis{Min: 0, Max: mostX, from: c.Left, to: c.Right}
	if y = linear(most, c.Bottom, c.Top); p.logY {
		y = logarithmic(least, most, c.Bottom, c.Top)
	}
	return x, y, true
}

// path is the line as SVG writes it. On a logarithmic axis nothing lies below its least value.
func (l *line) path(x, y axis) string {
	var b strings.Builder
	command := "M"
	for i, v := range l.y {
		if math.IsNaN(v) {
			command = "M"
			continue
		}
		if y.Log {
			v = math.Max(v, y.Min)
		}
		b.WriteString(command + plain(round(x.at(l.x[i]))) + " " + plain(round(y.at(v))))
		command = "L"
	}
	return b.String()
}

func (l *line) hover() hoverLine {
	h := hoverLine{Name: l.name, Color: color(l.color)}
	for i, v := range l.y {
		if !math.IsNaN(v) {
			h.X, h.Y = append(h.X, significant(l.x[i])), append(h.Y, significant(v))
		}
	}
	return h
}

// significant keeps four digits or more, so that the page stays small.
func significant(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-4)
	return round6(math.Round(v/unit) * unit)
}

func color(n int) string { return "c" + strconv.Itoa((n-1)%8+1) }

// Places for the template.

func (c chart) Tall() float64        { return round(c.Bottom - c.Top) }
func (c chart) AboveTop() float64    { return c.Top - 5 }
func (c chart) BesideLeft() float64  { return c.Left - 7 }
func (c chart) BelowBottom() float64 { return c.Bottom + 4 }
func (c chart) UnderBottom() float64 { return c.Bottom + 17 }
func (b drawnBand) Middle() float64  { return round(b.At + b.Length/2) }
