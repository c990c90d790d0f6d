package quiet

import (
	"context"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

func TestCollectsOnceAfterABurst(t *testing.T) {
	for _, tc := range []struct {
		name      string
		live      uint64
		allocated []uint64 // in each interval
		want      int      // the interval at whose end it collects; -1: none
	}{
		{"a start", 2 * mib, []uint64{20 * mib, 0, 0, 0}, 2},
		{"a burst while idle", 10 * mib, []uint64{0, 0, 0, 90 * mib, 70 * mib, 1000, 1000, 1000, 1000}, 6},
		{"too little to be worth it", 10 * mib, []uint64{0, 3 * mib, 0, 0, 0, 0, 0, 0}, -1},
		{"a trickle adds up", 10 * mib, []uint64{mib / 2, mib / 2, mib / 2, mib / 2, mib / 2, mib / 2, mib / 2, mib / 2, mib / 2}, 7},
		{"steady load", 100 * mib, []uint64{50 * mib, 50 * mib, 50 * mib, 50 * mib, 50 * mib}, -1},
		{"a load with one pause", 100 * mib, []uint64{50 * mib, 50 * mib, 1000, 50 * mib, 50 * mib}, -1},
		{"a large heap makes less quiet", 1000 * mib, []uint64{300 * mib, 20 * mib, 20 * mib, 20 * mib}, 2},
		{"a large heap is not worth a small burst", 1000 * mib, []uint64{60 * mib, 0, 0, 0, 0}, -1},
	} {
		var s State
		h, got := Heap{Live: tc.live}, -1
		for i, n := range tc.allocated {
			h.Allocated += n
			if s.Look(h) {
				if got >= 0 {
					t.Errorf("%s: collects again in interval %d", tc.name, i)
				}
				got = i
			}
		}
		if got != tc.want {
			t.Errorf("%s: collects in interval %d, want %d", tc.name, got, tc.want)
		}
	}
}

// TestCollectionsArePaidFor: whatever happens, an eighth of the live heap was allocated for each collection.
func TestCollectionsArePaidFor(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var s State
	var h Heap
	for paid := uint64(0); h.Allocated < 1<<50; {
		h.Live = 1 << rnd.IntN(35)
		h.Allocated += rnd.Uint64N(1 << rnd.IntN(40))
		if s.Look(h) {
			if h.Allocated-paid < h.Live/worthPart {
				t.Fatalf("collected after %d bytes with %d live", h.Allocated-paid, h.Live)
			}
			paid = h.Allocated
		}
	}
}

// TestRunGivesMemoryBack leaves garbage that the collector itself would not look at before the heap has doubled.
func TestRunGivesMemoryBack(t *testing.T) {
	held := make([][]byte, 64)
	for i := range held {
		held[i] = make([]byte, mib)
	}
	runtime.GC() // so it counts as live and the collector waits for twice as much
	runtime.KeepAlive(held)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); Run(ctx, 10*time.Millisecond) }()
	for deadline := time.Now().Add(30 * time.Second); resident() > 32*mib; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are resident", resident())
		}
	}
	cancel()
	<-ended
}

// resident is what the heap holds of the system's memory.
func resident() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() + s[1].Value.Uint64() + s[2].Value.Uint64()
}
