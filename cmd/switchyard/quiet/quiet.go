// Package quiet gives memory back to the system when a server has become quiet after a burst.
//
// Go's collector runs when the heap has doubled, so a server that stops allocating keeps the garbage of its last burst until the runtime's own
// collection, which comes after two minutes, and gives free pages back slowly after that. Under load the collector does all
// of this by itself, and nothing here happens.
package quiet

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Every is how often the heap is looked at.
const Every = 5 * time.Second

const (
	// An interval is quiet if less than this part of the live heap was allocated in it: at such a rate the next collection is minutes away.
	quietPart = 32
	// It takes this part of the live heap, allocated since the last collection of ours, to make one worth its cost: so all of ours together, which are
	// two at a time, cost no more than the collector itself would at GOGC=6.
	worthPart = 8
	// The least of both, so that the metrics that are asked for now and then count as nothing.
	quietLeast = 1 << 20
	worthLeast = 4 << 20
)

// Heap is one look at the heap, in bytes.
type Heap struct {
	Allocated uint64 // in the life of the process
	Live      uint64 // found by the last collection
}

// State decides from looks at the heap when to collect. The zero value has seen a process begin.
type State struct {
	last      uint64 // allocated at the last look
	collected uint64 // allocated at our last collection
	quiet     int    // intervals in a row
}

// Look takes the next look and tells whether to collect now: when the heap has been quiet for two intervals, by which time the event loops have let
// go of the buffers that they kept for reuse, and a collection is worth it.
func (s *State) Look(h Heap) bool {
	if h.Allocated-s.last < max(h.Live/quietPart, quietLeast) {
		s.quiet++
	} else {
		s.quiet = 0
	}
	s.last = h.Allocated
	if s.quiet < 2 || h.Allocated-s.collected < max(h.Live/worthPart, worthLeast) {
		return false
	}
	s.collected = h.Allocated
	return true
}

// Run looks every so often until ctx is done.
func Run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	var s State
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		metrics.Read(samples)
		if s.Look(Heap{Allocated: samples[0].Value.Uint64(), Live: samples[1].Value.Uint64()}) {
			runtime.GC()         // what lies in a sync.Pool is let go of by the second collection that finds it there
			debug.FreeOSMemory() // collects, too
		}
	}
}
