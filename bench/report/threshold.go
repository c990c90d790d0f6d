package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Threshold is a condition on a figure under which a run counts as failed: deliver_p99>50ms.
type Threshold struct {
	Figure string
	Op     string
	Limit  float64 // in the unit of the figure
	text   string
}

var thresholdForm = regexp.MustCompile(`^\s*([A-Za-z][A-Za-z0-9_.]*)\s*(>=|<=|==|>|<)\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z%/]*)\s*$`)

// units are the units that a limit may have: what they measure, and how many of the least one they are.
var units = map[string]struct {
	of     string
	factor float64
}{
	"ns": {"time", 1e-3}, "us": {"time", 1}, "ms": {"time", 1e3}, "s": {"time", 1e6}, "m": {"time", 60e6},
	"B": {"memory", 1}, "KB": {"memory", 1e3}, "MB": {"memory", 1e6}, "GB": {"memory", 1e9},
	"KiB": {"memory", 1 << 10}, "MiB": {"memory", 1 << 20}, "GiB": {"memory", 1 << 30},
	"/s": {"rate", 1}, "%": {"part", 1},
}

// ParseThreshold reads FIGURE OP NUMBER[UNIT], where OP is >, >=, <, <= or ==, for one of the figures of FigureNames. Without a unit the number has the
// figure's own. The error says what may be written instead.
func ParseThreshold(text string, figures []string) (Threshold, error) {
	m := thresholdForm.FindStringSubmatch(text)
	if m == nil {
		return Threshold{}, fmt.Errorf("%q is no threshold; write FIGURE, one of > >= < <= ==, and a number with or without a unit (ns us ms s m B KB MB GB KiB MiB GiB /s %%), as in 'deliver_p99>50ms'", text)
	}
	t := Threshold{Figure: strings.ReplaceAll(m[1], ".", ""), Op: m[2], text: strings.TrimSpace(text)} // deliver_p99.9 is deliver_p999
	if !known(t.Figure, figures) {
		return Threshold{}, fmt.Errorf("threshold %q: there is no figure %q%s", text, t.Figure, suggestion(t.Figure, figures))
	}
	limit, err := strconv.ParseFloat(m[3], 64)
	if err != nil {
		return Threshold{}, fmt.Errorf("threshold %q: %w", text, err)
	}
	if t.Limit, err = convert(limit, m[4], Unit(t.Figure)); err != nil {
		return Threshold{}, fmt.Errorf("threshold %q: %w", text, err)
	}
	return t, nil
}

// convert brings a limit into the unit of its figure.
func convert(limit float64, unit, want string) (float64, error) {
	if want == "%" {
		if unit == "%" {
			limit /= 100
		} else if unit != "" {
			return 0, fmt.Errorf("the figure is a part of 1; write a number up to 1, or per cent")
		}
		return limit, nil
	}
	if unit == "" {
		return limit, nil
	}
	from, ok := units[unit]
	if !ok {
		return 0, fmt.Errorf("there is no unit %q; use ns us ms s m, B KB MB GB KiB MiB GiB, /s or %%", unit)
	}
	to, ok := units[want]
	switch {
	case !ok:
		return 0, fmt.Errorf("the figure is a plain number and has no unit; leave %q out", unit)
	case to.of != from.of:
		return 0, fmt.Errorf("the figure is in %s, which %q is no unit for", want, unit)
	}
	return limit * from.factor / to.factor, nil
}

func known(name string, figures []string) bool {
	return slices.ContainsFunc(figures, func(f string) bool {
		prefix, open := strings.CutSuffix(f, "*")
		return f == name || open && strings.HasPrefix(name, prefix) && name != prefix
	})
}

// suggestion names the figures that are written most alike, or all.
func suggestion(name string, figures []string) string {
	type near struct {
		name     string
		distance int
	}
	var list []near
	for _, f := range figures {
		if d := distance(name, f); d <= max(2, len(name)/3) || strings.Contains(f, name) {
			list = append(list, near{f, d})
		}
	}
	slices.SortStableFunc(list, func(a, b near) int { return a.distance - b.distance })
	if len(list) == 0 {
		return "; there are: " + strings.Join(figures, ", ")
	}
	names := make([]string, 0, 5)
	for _, n := range list[:min(len(list), cap(names))] {
		names = append(names, n.name)
	}
	return "; did you mean " + strings.Join(names, ", ") + "?"
}

// distance is Levenshtein's: how many letters to insert, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// Verdict is how a threshold came out.
type Verdict struct {
	Threshold string   `json:"threshold"`
	Value     *float64 `json:"value"` // nil: the run could not tell the figure, which fails
	Failed    bool     `json:"failed"`
	text      string
}

// Judge compares the figures of a run with the threshold.
func (t Threshold) Judge(figures map[string]float64) Verdict {
	v := Verdict{Threshold: t.text}
	value, ok := figures[t.Figure]
	if !ok {
		v.Failed, v.text = true, "the run could not tell: nothing of it was measured (figures of the server need --server-pid or --admin)"
		return v
	}
	v.Value = &value
	switch t.Op {
	case ">":
		v.Failed = value > t.Limit
	case ">=":
		v.Failed = value >= t.Limit
	case "<":
		v.Failed = value < t.Limit
	case "<=":
		v.Failed = value <= t.Limit
	case "==":
		v.Failed = value == t.Limit
	}
	v.text = "it is " + Format(t.Figure, value)
	return v
}

// String tells a verdict in one line.
func (v Verdict) String() string { return v.Threshold + ": " + v.text }

// Row is the verdict's line of a table.
func (v Verdict) Row() Row {
	if v.Failed {
		return Row{"fail if " + v.Threshold, "failed: " + v.text}
	}
	return Row{"fail if " + v.Threshold, "passed: " + v.text}
}

// Format writes a figure with its unit, as people read it.
func Format(figure string, value float64) string {
	switch unit := Unit(figure); unit {
	case "%":
		return strconv.FormatFloat(100*value, 'g', 4, 64) + " %"
	case "B":
		return formatBytes(value)
	case "":
		return number(value)
	case "/s":
		return number(value) + unit
	default:
		return number(value) + " " + unit
	}
}

// number has three digits behind the point at most, and none where they say nothing.
func number(v float64) string {
	switch a := max(v, -v); {
	case v == float64(int64(v)), a >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func formatBytes(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.2f GB", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.1f MB", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.1f KB", v/1e3)
	}
	return fmt.Sprintf("%.0f B", v)
}
