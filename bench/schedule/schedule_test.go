package schedule

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func rate(t *testing.T, text string) Rate {
	t.Helper()
	var r Rate
	if err := r.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return r
}

// model is the exact integral of a ramp up to a time in nanoseconds: trapezium by trapezium, in fractions.
func model(points []Point, ns int64) *big.Rat {
	corners := append([]Point{{0, points[0].Rate}}, points...)
	corners = append(corners, Point{1 << 62, points[len(points)-1].Rate})
	sum := new(big.Rat)
	for i := 1; i < len(corners); i++ {
		a, b := corners[i-1], corners[i]
		to := min(int64(b.At), ns)
		if to <= int64(a.At) {
			continue
		}
		part := big.NewRat(to-int64(a.At), int64(b.At-a.At))
		end := new(big.Rat).Sub(rat(b.Rate), rat(a.Rate))
		end.Add(end.Mul(end, part), rat(a.Rate))
		area := new(big.Rat).Add(rat(a.Rate), end)
		area.Mul(area, big.NewRat(to-int64(a.At), 2*int64(time.Second)))
		sum.Add(sum, area)
	}
	return sum
}

func TestConstantRateDoesNotDrift(t *testing.T) {
	for _, c := range []struct {
		rate   float64
		event  int64
		wantNS int64
	}{
		{1000, 0, 0}, {1000, 1, 1_000_000}, {3, 1, 333_333_333}, {3, 3_000_000, 1_000_000_000_000_000},
		{7e5, 7e5 * 86_400, 86_400_000_000_000}, {1e9, 5, 5}, {0.1, 3, 30_000_000_000},
	} {
		if at, ok := MustConstant(c.rate).Due(c.event); !ok || at != c.wantNS {
			t.Errorf("event %d at %g/s is due at %d ns (%v), want %d", c.event, c.rate, at, ok, c.wantNS)
		}
	}
	if _, ok := (Rate{}).Due(0); ok || !(Rate{}).Never() || !MustConstant(0).Never() || MustConstant(1).Never() {
		t.Error("only the zero rate is due never")
	}
}

func TestRampsByHand(t *testing.T) {
	for _, c := range []struct {
		ramp  string
		event int64
		want  time.Duration // negative: never
	}{
		{"0s:0,10s:100", 0, 0},
		{"0s:0,10s:100", 5, time.Second},           // 5 t^2
		{"0s:0,10s:100", 500, 10 * time.Second},    // the end of the slope
		{"0s:0,10s:100", 600, 11 * time.Second},    // and on at its last rate
		{"0s:100,10s:0", 375, 5 * time.Second},     // 100 t - 5 t^2
		{"0s:100,10s:0", 500, -1},                  // it has come to rest
		{"0s:100,10s:0", 499, 9552786405},          // 10 s - sqrt(0.2) s
		{"0s:10,5s:10,5s:30,9s:30", 49, 4.9e9},     // a step
		{"0s:10,5s:10,5s:30,9s:30", 50, 5e9},       //
		{"0s:10,5s:10,5s:30,9s:30", 53, 5.1e9},     //
		{"0s:10,5s:10,5s:0,8s:0,8s:10", 49, 4.9e9}, // a pause: what comes after it waits for its end
		{"0s:10,5s:10,5s:0,8s:0,8s:10", 50, 8e9},
		{"2s:10,4s:10", 5, 500 * time.Millisecond}, // before the first point its rate holds
	} {
		at, ok := rate(t, c.ramp).Due(c.event)
		if ok != (c.want >= 0) || ok && at != int64(c.want) {
			t.Errorf("%s: event %d is due at %s (%v), want %s", c.ramp, c.event, time.Duration(at), ok, c.want)
		}
	}
}

// TestDueInvertsTheIntegral compares random ramps with the exact integral: up to when event n is due, n events are, to a nanosecond.
func TestDueInvertsTheIntegral(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		points := randomPoints(random)
		r, err := New(points...)
		if err != nil {
			t.Fatal(err)
		}
		total := r.Count(points[len(points)-1].At + time.Second)
		last := int64(-1)
		for _, event := range []int64{0, 1, int64(total / 3), int64(total / 2), int64(total) - 1, int64(total), int64(total) + 1, int64(total) * 1000} {
			at, ok := r.Due(max(event, 0))
			if !ok {
				if model(points, int64(maxAt)).Cmp(big.NewRat(max(event, 0), 1)) > 0 {
					t.Fatalf("%s: event %d is due never", r, event)
				}
				continue
			}
			n := big.NewRat(max(event, 0), 1)
			if slack := int64(2); model(points, max(at-slack, 0)).Cmp(n) > 0 || model(points, at+slack).Cmp(n) < 0 {
				t.Fatalf("%s: event %d is said to be due at %d ns, up to when %v are", r, event, at, model(points, at).FloatString(6))
			}
			if event > 0 && at < last {
				t.Fatalf("%s: event %d is due before the one that precedes it", r, event)
			}
			last = at
		}
	}
}

func randomPoints(random *rand.Rand) (points []Point) {
	at := time.Duration(0)
	for range 1 + random.IntN(6) {
		at += time.Duration(random.Int64N(int64(20 * time.Second)))
		r := [...]float64{0, 1, 0.3, 250, 33_333.3, 2e6}[random.IntN(6)]
		points = append(points, Point{at, r})
		if random.IntN(4) == 0 {
			points = append(points, Point{at, r + 10})
		}
	}
	if points[0].Rate == 0 {
		points[0].Rate = 5
	}
	return points
}

func TestCountIsTheIntegral(t *testing.T) {
	r := rate(t, "1s:100,3s:300,3s:0,4s:0,4s:50")
	for at, want := range map[time.Duration]float64{
		-time.Second: 0, 0: 0, time.Second: 100, 2 * time.Second: 250, 3 * time.Second: 500, 4 * time.Second: 500, 6 * time.Second: 600,
	} {
		if got := r.Count(at); math.Abs(got-want) > 1e-9 {
			t.Errorf("%g before %s, want %g", got, at, want)
		}
	}
	if got := r.Mean(time.Second, 3*time.Second); got != 200 {
		t.Errorf("a mean of %g, want 200", got)
	}
}

func TestText(t *testing.T) {
	for _, text := range []string{"0", "1000", "0.5", "0s:100,30s:1000", "1m0s:0,1m0s:20"} {
		if got := rate(t, text).String(); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	for text, want := range map[string]string{
		"": "as in 1000", "fast": "as in 1000", "-1": "out of range", "NaN": "out of range", "1e10": "out of range", "0s:1,2": "has no time",
		"5:1,6:2": "as in 1000", "2s:1,1s:2": "order of time", "-1s:5": "out of range", "0s:0,5s:0": "no load", strings.Repeat("0s:1,", 1001) + "0s:1": "points",
	} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

func FuzzUnmarshalText(f *testing.F) {
	for _, text := range []string{"0", "1000", "0s:100,30s:1000", "1m:0,1m:20", "1h:1e9,2h:0", "0s:5e-324,1ns:1e9"} {
		f.Add(text, int64(1000))
	}
	f.Fuzz(func(t *testing.T, text string, event int64) {
		var r, again Rate
		if r.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again.String() != r.String() {
			t.Fatalf("%q became %q: %v", text, again, err)
		}
		if at, ok := r.Due(event & (1<<40 - 1)); ok && at < 0 {
			t.Fatalf("%q: event %d is due at %d", text, event&(1<<40-1), at)
		}
	})
}

func BenchmarkDue(b *testing.B) {
	for name, text := range map[string]string{"constant": "100000", "ramp": "0s:0,10s:1000,60s:5000,70s:0,80s:9000"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				r.Due(int64(i))
			}
		})
	}
}
