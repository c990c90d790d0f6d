package soak

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// line is n values from first to last over ten minutes, each off by a random part of up to noise.
func line(n int, first, last, noise float64) (points []point) {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range n {
		part := float64(i) / float64(n-1)
		points = append(points, point{10 * part, (first + part*(last-first)) * (1 + noise*(2*random.Float64()-1))})
	}
	return points
}

func TestGrowthIsToldFromNoise(t *testing.T) {
	for name, c := range map[string]struct {
		points []point
		grows  bool
	}{
		"flat":                          {line(20, 100, 100, 0), false},
		"flat, with noise":              {line(20, 100, 100, 0.2), false},
		"a tenth":                       {line(20, 100, 109, 0), false},
		"a quarter":                     {line(20, 100, 125, 0), true},
		"a quarter, with noise":         {line(20, 100, 125, 0.03), true},
		"it shrinks":                    {line(20, 100, 50, 0.05), false},
		"one life was far off":          {append(line(20, 100, 100, 0.01), point{10.5, 1000}), false},
		"the last quarter was far off":  {append(line(15, 100, 100, 0.01), line(5, 300, 300, 0)...), false},
		"it grows, too few to tell":     {line(4, 100, 200, 0), false},
		"just enough, and steep":        {line(5, 100, 200, 0), true},
		"it grows, but noise says more": {[]point{{0, 100}, {1, 180}, {2, 90}, {3, 170}, {4, 130}, {5, 190}}, false},
		"nothing":                       {nil, false},
		"one":                           {line(20, 1, 2, 0)[:1], false},
	} {
		if got := newTrend(c.points, 0.1, 0); got.Grows != c.grows {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := newTrend(line(20, 100, 125, 0), 0.1, 30); got.Grows || got.Bound != 30 {
		t.Errorf("what may be gained however little there is: %+v", got)
	}
}

func TestTheSlope(t *testing.T) {
	got := newTrend(line(11, 100, 120, 0), 0.1, 0)
	if math.Abs(got.Slope-2) > 1e-9 || math.Abs(got.Growth-20) > 1e-9 || got.Median != 110 || got.Lives != 11 || math.Abs(got.Low-2) > 1e-9 {
		t.Errorf("%+v", got)
	}
}

// TestTheIntervalHoldsTheSlope: of many noisy lines, the lower end of the interval lies above the true slope about once in forty.
func TestTheIntervalHoldsTheSlope(t *testing.T) {
	const lines, n = 2000, 20
	random, above := rand.New(rand.NewPCG(3, 4)), 0
	for range lines {
		points := make([]point, n)
		for i := range points {
			points[i] = point{float64(i), 5*float64(i) + random.NormFloat64()*20}
		}
		if newTrend(points, 0.1, 0).Low > 5 {
			above++
		}
	}
	if above < lines/120 || above > lines/20 {
		t.Errorf("%d of %d, and 1 in 40 would be right", above, lines)
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{0: nil, 3: {3}, 2.5: {4, 1, 3, 2}, 5: {9, 5, 1}} {
		if got := median(slices.Clone(values)); got != want {
			t.Errorf("%v of %v", got, values)
		}
	}
}
