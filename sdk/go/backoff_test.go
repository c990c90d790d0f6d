package switchyard

import (
	"math/rand/v2"
	"testing"
	"time"
)

func noJitter(int64) int64    { return 0 }
func allJitter(n int64) int64 { return n - 1 }
func waits(p policy, n int, random func(int64) int64) []time.Duration {
	b := backoff{policy: p}
	var all []time.Duration
	for range n {
		all = append(all, b.next(random))
	}
	return all
}

func TestBackoffDoublesFromNothingToTheLimit(t *testing.T) {
	want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 59, 59, 59}
	for i, got := range waits(defaultPolicy, len(want), noJitter) {
		if got != want[i]*time.Second {
			t.Errorf("wait %d is %v, want %v", i, got, want[i]*time.Second)
		}
	}
	want = []time.Duration{0, 2, 3, 5, 9, 17, 33, 60, 60, 60}
	for i, got := range waits(defaultPolicy, len(want), allJitter) {
		if got != want[i]*time.Second {
			t.Errorf("wait %d with all the jitter is %v, want %v", i, got, want[i]*time.Second)
		}
	}
}

func TestBackoffStaysWithinAnyPolicy(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		p := policy{
			min:    time.Duration(r.Int64N(int64(time.Hour))),
			max:    time.Duration(r.Int64N(int64(time.Hour))),
			jitter: time.Duration(r.Int64N(int64(time.Minute))),
		}
		for i, wait := range waits(p, 100, r.Int64N) {
			if wait < 0 || wait > p.max || (i == 0 && wait != 0) {
				t.Fatalf("policy %+v: wait %d is %v", p, i, wait)
			}
		}
	}
}
