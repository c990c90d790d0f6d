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

	"golang.org/x/sys/unix"
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

// idleShare of a processor is what a process uses at most to be idle. A server that allocates nothing may yet carry thousands of messages a second: there the
// free pages are not given back all at once, which takes 30 to 40 ms for 150 MB and competes with them.
const idleShare = 0.05

// cpuTime is what the process has used.
type cpuTime struct{ last time.Duration }

// share is the part of one processor that the process has used since the last call, which was so long ago.
func (c *cpuTime) share(since time.Duration) float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	share := float64(used-c.last) / float64(since)
	c.last = used
	return share
}

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
	var cpu cpuTime
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		metrics.Read(samples)
		busy := cpu.share(every) > idleShare
		if !s.Look(Heap{Allocated: samples[0].Value.Uint64(), Live: samples[1].Value.Uint64()}) {
			continue
		}
		runtime.GC() // what lies in a sync.Pool is let go of by the second collection that finds it there
		if busy {
			runtime.GC() // the runtime gives the pages back by itself, a few at a time
		} else {
			debug.FreeOSMemory() // collects, too
		}
	}
}
