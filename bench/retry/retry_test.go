package retry

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

func TestWaitsDoubleUpToTheMost(t *testing.T) {
	b := New(Policy{Min: 10 * time.Millisecond, Max: 70 * time.Millisecond, Jitter: time.Nanosecond})
	random := rand.New(rand.NewPCG(1, 2))
	for i, want := range []time.Duration{0, 10, 20, 40, 70, 70} {
		if got := b.Next(random); got < want*time.Millisecond || got > want*time.Millisecond+1 {
			t.Errorf("try %d after %s, want %d ms", i, got, want)
		}
	}
}

func TestTheServerNamesWhatTheConfigurationLeavesOpen(t *testing.T) {
	p := Policy{Jitter: time.Nanosecond}
	b := New(p)
	random := rand.New(rand.NewPCG(1, 2))
	b.Next(random)
	b.Welcomed(&frame.Welcome{RetryMinMS: 300, RetryMaxMS: 400, RetryJitterMS: 5000}, p)
	for i, want := range []time.Duration{0, 300, 400} {
		if got := b.Next(random); got < want*time.Millisecond || got > want*time.Millisecond+1 {
			t.Errorf("try %d after %s, want %d ms", i, got, want)
		}
	}
}
