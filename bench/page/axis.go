package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// axis maps values to places of a drawing.
type axis struct {
	Min, Max float64
	Log      bool
	from, to float64 // places of Min and Max
}

// at is the place of a value.
func (a axis) at(v float64) float64 {
	part := (v - a.Min) / (a.Max - a.Min)
	if a.Log {
		part = math.Log(v/a.Min) / math.Log(a.Max/a.Min)
	}
	return a.from + part*(a.to-a.from)
}

// greatest is what an axis may show: round numbers above it, which a damaged file may ask for, are infinite.
const greatest = 1e300

// linear is an axis from 0 up to a round number that is more than most.
func linear(most, from, to float64) axis {
	if most <= 0 || math.IsNaN(most) {
		most = 1
	}
	most = min(most, greatest)
	step := roundStep(most / 4)
	return axis{Min: 0, Max: step * math.Ceil(most/step*1.0001), from: from, to: to}
}

// logarithmic is an axis of round numbers around positive values.
func logarithmic(least, most, from, to float64) axis {
	least, most = min(math.Max(least, 1e-3), greatest), min(math.Max(most, 1e-3), greatest)
	a := axis{Log: true, from: from, to: to, Min: floor125(least), Max: ceil125(most)}
	if a.Max/a.Min < 10 {
		a.Max = a.Min * 10
	}
	return a
}

// roundStep is the least of 1, 2 and 5 times a power of ten that is not below v.
func roundStep(v float64) float64 { return ceil125(v) }

func ceil125(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*power >= v*0.9999 {
			return f * power
		}
	}
	return 10 * power
}

func floor125(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{5, 2} {
		if f*power <= v*1.0001 {
			return f * power
		}
	}
	return power
}

// tick is a line of the grid with its label.
type tick struct {
	At    float64
	Label string
}

// values are those that get a tick.
func (a axis) values() (list []float64) {
	if !a.Log {
		step := roundStep(a.Max / 5)
		for v := a.Min; v <= a.Max*1.0001; v += step {
			list = append(list, v)
		}
		return list
	}
	factors := []float64{1}
	if a.Max/a.Min <= 210 {
		factors = []float64{1, 2, 5}
	}
	for power := math.Pow(10, math.Floor(math.Log10(a.Min))); power <= a.Max; power *= 10 {
		for _, f := range factors {
			if v := f * power; v >= a.Min*0.999 && v <= a.Max*1.001 {
				list = append(list, v)
			}
		}
	}
	return list
}

// ticks are the grid of an axis in this unit.
func (a axis) ticks(unit string) []tick {
	values := a.values()
	list := make([]tick, len(values))
	for i, v := range values {
		list[i] = tick{round(a.at(v)), short(v, unit, a.Max)}
	}
	return list
}

// short writes a value for an axis, with the prefix that suits the greatest of all.
func short(v float64, unit string, most float64) string {
	switch unit {
	case "ms":
		if v >= 1000 {
			return plain(v/1000) + " s"
		}
		return plain(v) + " ms"
	case "B":
		for _, p := range []struct {
			name   string
			factor float64
		}{{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}} {
			if most >= p.factor {
				return plain(v/p.factor) + " " + p.name
			}
		}
		return plain(v) + " B"
	}
	switch {
	case v == 0:
		return "0"
	case most >= 2e6:
		return plain(v/1e6) + "M" + unit
	case most >= 2e3:
		return plain(v/1e3) + "k" + unit
	}
	return plain(v) + unit
}

func plain(v float64) string { return strconv.FormatFloat(round6(v), 'f', -1, 64) }

func round6(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// round keeps a place to a tenth of a pixel.
func round(v float64) float64 { return math.Round(v*10) / 10 }

// timeTicks are round times up to an end in seconds.
func timeTicks(a axis) (list []tick) {
	a.Max = min(a.Max, greatest)
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400} {
		if step = s; a.Max/s <= 8 {
			break
		}
	}
	for a.Max/step > 8 {
		step *= 2
	}
	for v := 0.0; v <= a.Max; v += step {
		list = append(list, tick{round(a.at(v)), clock(v, a.Max)})
	}
	return list
}

// clock writes a time, as a run of this length is told.
func clock(seconds, most float64) string {
	s := int(seconds)
	switch {
	case most < 120:
		return fmt.Sprintf("%d s", s)
	case most < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d h", s/3600, s/60%60)
}

// nines are the ticks of an axis of percentiles, on which a value is log10(1/(1-q)).
func nines(a axis) (list []tick) {
	if half := a.at(math.Log10(2)); half-a.from > 45 {
		list = append(list, tick{round(a.from), "min"})
	}
	list = append(list, tick{round(a.at(math.Log10(2))), "50 %"}, tick{round(a.at(1)), "90 %"}, tick{round(a.at(2)), "99 %"})
	for n := 3; float64(n) <= a.Max; n++ {
		list = append(list, tick{round(a.at(float64(n))), "99." + strings.Repeat("9", n-2) + " %"})
	}
	if a.to-list[len(list)-1].At > 60 {
		list = append(list, tick{round(a.to), "max"})
	}
	return list
}
