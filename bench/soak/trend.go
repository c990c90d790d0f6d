package soak

import (
	"fmt"
	"math"
	"slices"
)

// Trend is how something that should stay the same went over the restarts of the server: one value for each life, taken at the same age. The slope is
// Theil and Sen's, the median of the slopes between all pairs of lives, so that a few lives that were different do not matter.
type Trend struct {
	Lives  int     `json:"lives"`     // that reached the age
	Median float64 `json:"median"`    // of the lives
	Slope  float64 `json:"slope"`     // a minute
	Low    float64 `json:"slope_low"` // the lower end of the slope's 95 % interval
	Growth float64 `json:"growth"`    // over the run, by the slope
	Bound  float64 `json:"bound"`     // of the growth
	Grows  bool    `json:"grows"`     // by more than the bound, and not by chance
}

// minLives are needed to tell a trend from chance.
const minLives = 5

// point is a life: when it began, in minutes, and what was measured.
type point struct{ at, value float64 }

// newTrend judges points in the order of their times: growth over the whole run is allowed up to a share of the median, or up to least.
func newTrend(points []point, share, least float64) Trend {
	t := Trend{Lives: len(points)}
	if len(points) < 2 {
		return t
	}
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = p.value
	}
	t.Median = median(values)
	slopes := pairwise(points)
	t.Slope = median(slopes)
	t.Low = slopes[lowRank(len(points), len(slopes))]
	t.Growth = t.Slope * (points[len(points)-1].at - points[0].at)
	t.Bound = max(share*t.Median, least)
	t.Grows = t.Lives >= minLives && t.Growth > t.Bound && t.Low > 0
	return t
}

// pairwise are the slopes between all pairs, sorted.
func pairwise(points []point) (slopes []float64) {
	for i, a := range points {
		for _, b := range points[i+1:] {
			if b.at > a.at {
				slopes = append(slopes, (b.value-a.value)/(b.at-a.at))
			}
		}
	}
	slices.Sort(slopes)
	return slopes
}

// lowRank is the place among the sorted slopes of n points where their 95 % interval begins (Sen 1968), from the variance of Kendall's score.
func lowRank(n, slopes int) int {
	half := 1.96 * math.Sqrt(float64(n)*float64(n-1)*float64(2*n+5)/18)
	return max(0, int((float64(slopes)-half)/2))
}

// median sorts; 0 of nothing.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// describe is the row of a table; the unit is what one of the values is divided by.
func (t Trend) describe(unit float64, name string) string {
	if t.Lives < minLives {
		return fmt.Sprintf("not judged: %d lives of the server are too few, it takes %d", t.Lives, minLives)
	}
	verdict := "flat"
	if t.Grows {
		verdict = "IT GROWS"
	}
	return fmt.Sprintf("%s: %.1f %s at the same age (median of %d lives), %+.2f a minute, %+.1f over the run (bound %.1f)",
		verdict, t.Median/unit, name, t.Lives, t.Slope/unit, t.Growth/unit, t.Bound/unit)
}
