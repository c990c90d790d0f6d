// Package schedule says when the messages of an open loop are due: at a rate that is constant or changes over time, piecewise linearly. Pure: no clock.
//
// Each due time is computed from its number alone, as the inverse of the integral of the rate, so that nothing adds up over a long run, and loops
// and processes that share a load agree without a word.
package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of a rate.
const (
	MaxRate   = 1e9                  // events per second
	MaxPoints = 1000                 // of one ramp
	maxAt     = 100 * 24 * time.Hour // the end of all time: beyond it a float64 does not hold nanoseconds
)

// Rate is how many events are due at each moment. The zero value is due never: a closed loop. Immutable; copies are cheap.
type Rate struct{ r *ramp }

// Point is the rate at one moment. Between two points the rate changes linearly; before the first and after the last it stays what it is there.
type Point struct {
	At   time.Duration // since the beginning of the load
	Rate float64       // events per second
}

type ramp struct {
	points []Point
	pieces []piece // cover all time from 0
}

// piece is a part of the time in which the rate is linear. Times are in seconds.
type piece struct {
	from   float64
	rate   float64 // at from
	slope  float64 // per second
	before int64   // events due before it, whole ones
	part   float64 // and the part of one that is due besides; kept apart, since a sum in a float64 would lose its digits
	until  int64   // the first event that is not due before its end
}

// Constant is the same rate at all times; zero: never.
func Constant(rate float64) (Rate, error) { return New(Point{Rate: rate}) }

// MustConstant is Constant for a rate that is known to be in range.
func MustConstant(rate float64) Rate {
	r, err := Constant(rate)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return r
}

// New makes a ramp. Two points at the same moment make a step.
func New(points ...Point) (Rate, error) {
	if len(points) == 0 || len(points) > MaxPoints {
		return Rate{}, fmt.Errorf("schedule: a rate has 1 to %d points, not %d", MaxPoints, len(points))
	}
	for i, p := range points {
		switch {
		case math.IsNaN(p.Rate) || p.Rate < 0 || p.Rate > MaxRate:
			return Rate{}, fmt.Errorf("schedule: a rate of %g/s is out of range, use 0 to %g", p.Rate, float64(MaxRate))
		case p.At < 0 || p.At > maxAt:
			return Rate{}, fmt.Errorf("schedule: a point at %s is out of range, use 0s to %s", p.At, maxAt)
		case i > 0 && p.At < points[i-1].At:
			return Rate{}, fmt.Errorf("schedule: the point at %s comes after the one at %s: give them in the order of time", p.At, points[i-1].At)
		}
	}
	if !slices.ContainsFunc(points, func(p Point) bool { return p.Rate > 0 }) {
		if len(points) > 1 {
			return Rate{}, errors.New("schedule: a ramp of zeros alone is no load")
		}
		return Rate{}, nil
	}
	return Rate{&ramp{points: slices.Clone(points), pieces: pieces(points)}}, nil
}

// pieces integrates the points. The sums are exact, because an error of one event would shift all that follow.
func pieces(points []Point) (all []piece) {
	sum := new(big.Rat)
	add := func(from, to time.Duration, a, b float64) {
		p := newPiece(from, a, sum)
		seconds := big.NewRat(int64(to-from), int64(time.Second))
		if to > from {
			p.slope = (b - a) / (to - from).Seconds()
		}
		mean := new(big.Rat).Add(rat(a), rat(b))
		mean.Mul(mean, big.NewRat(1, 2))
		sum.Add(sum, mean.Mul(mean, seconds))
		p.until = ceil(sum)
		all = append(all, p)
	}
	last := Point{Rate: points[0].Rate}
	for _, p := range points {
		if p.At > last.At {
			add(last.At, p.At, last.Rate, p.Rate)
		}
		last = p
	}
	end := newPiece(last.At, last.Rate, sum)
	if last.Rate > 0 {
		end.until = math.MaxInt64
	}
	return append(all, end)
}

func rat(x float64) *big.Rat { return new(big.Rat).SetFloat64(x) }

// newPiece begins where sum events were due before.
func newPiece(from time.Duration, rate float64, sum *big.Rat) piece {
	whole := new(big.Int).Quo(sum.Num(), sum.Denom())
	part, _ := new(big.Rat).Sub(sum, new(big.Rat).SetInt(whole)).Float64()
	return piece{from: from.Seconds(), rate: rate, before: whole.Int64(), part: part, until: ceil(sum)}
}

func ceil(r *big.Rat) int64 {
	n := new(big.Int).Add(r.Num(), r.Denom())
	n.Sub(n, big.NewInt(1))
	return n.Quo(n, r.Denom()).Int64()
}

// Never tells whether nothing is ever due.
func (r Rate) Never() bool { return r.r == nil }

// Due is when an event is due, in nanoseconds since the beginning of the load: the moment up to which exactly so many others are due. The first event is
// number 0. It is false for one that is never due, because the rate stays zero or nothing lasts that long (100 days).
func (r Rate) Due(event int64) (at int64, ok bool) {
	if r.r == nil {
		return 0, false
	}
	all := r.r.pieces
	i := 0
	if len(all) > 1 { // the first piece that ends after the event
		i, _ = slices.BinarySearchFunc(all, event, func(p piece, event int64) int { return cmp.Compare(p.until, event+1) })
	}
	if i == len(all) || all[i].until <= event {
		return 0, false
	}
	seconds := all[i].due(event)
	if seconds > maxAt.Seconds() {
		return 0, false
	}
	return int64(math.Round(seconds * 1e9)), true
}

// due solves before + part + rate*x + slope*x*x/2 = event for x, in the form that loses no digits when the slope is small or negative.
func (p *piece) due(event int64) float64 {
	n := float64(event-p.before) - p.part
	if p.slope == 0 {
		return p.from + n/p.rate
	}
	if n <= 0 {
		return p.from
	}
	return p.from + 2*n/(p.rate+math.Sqrt(max(p.rate*p.rate+2*p.slope*n, 0)))
}

// Count is how many events are due before a moment since the beginning of the load, as a number with a fraction.
func (r Rate) Count(at time.Duration) float64 {
	if r.r == nil || at <= 0 {
		return 0
	}
	seconds := at.Seconds()
	i, found := slices.BinarySearchFunc(r.r.pieces, seconds, func(p piece, s float64) int { return cmp.Compare(p.from, s) })
	if !found {
		i--
	}
	p := &r.r.pieces[i]
	x := seconds - p.from
	return float64(p.before) + p.part + p.rate*x + p.slope*x*x/2
}

// Mean is the events per second from one moment to another, both since the beginning of the load; at least a moment lies between them.
func (r Rate) Mean(from, to time.Duration) float64 {
	if points := r.Points(); len(points) == 1 {
		return points[0].Rate
	}
	return (r.Count(to) - r.Count(from)) / (to - from).Seconds()
}

// Points are those of the ramp, which the caller must not change; nil for the zero value.
func (r Rate) Points() []Point {
	if r.r == nil {
		return nil
	}
	return r.r.points
}

// String is the text that UnmarshalText reads.
func (r Rate) String() string {
	points := r.Points()
	if len(points) == 0 {
		return "0"
	}
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	if len(points) == 1 {
		return number(points[0].Rate)
	}
	var parts []string
	for _, p := range points {
		parts = append(parts, p.At.String()+":"+number(p.Rate))
	}
	return strings.Join(parts, ",")
}

// MarshalText is String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

var errText = errors.New("schedule: a rate is a number of events per second, as in 1000, or a ramp of AT:RATE, as in 0s:100,30s:1000")

// UnmarshalText reads a rate as String writes it.
func (r *Rate) UnmarshalText(text []byte) error {
	var points []Point
	for _, part := range strings.Split(string(text), ",") {
		at, rate, isRamp := strings.Cut(strings.TrimSpace(part), ":")
		var p Point
		var err error
		if !isRamp {
			at, rate = "0s", at
			if strings.Contains(string(text), ",") {
				return fmt.Errorf("%w: %q has no time", errText, part)
			}
		}
		if p.At, err = time.ParseDuration(at); err != nil {
			return fmt.Errorf("%w: %w", errText, err)
		}
		if p.Rate, err = strconv.ParseFloat(rate, 64); err != nil {
			return fmt.Errorf("%w: %w", errText, err)
		}
		points = append(points, p)
	}
	var err error
	*r, err = New(points...)
	return err
}
