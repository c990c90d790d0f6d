package dispatch

import (
	"math"
	"sync/atomic"
	"time"
)

// class is what is given up under pressure, in this order. Each loss is counted by governor.shed and nowhere else.
type class uint8

const (
	classSignals     class = iota // dropped
	classPresence                 // withheld until the pressure is over, and then told as it is then
	classHistory                  // refused with a retry time
	classConnections              // refused with a retry time
	classMessages                 // refused with a retry time where one would wait too long, once all else is given up
	classCount
)

var classNames = [classCount]string{"signals", "presence", "history", "connections", "messages"}

// governorTick is how often the governor looks. It bounds how exactly a delay is known.
const governorTick = 50 * time.Millisecond

// memoryFloor is the share of the memory limit below which there is no pressure; with it the levels are entered at 80, 85, 90 and 95 %.
const memoryFloor = 0.75

// governor measures what the server has to bear and decides what it gives up. Nothing of it is on the way of a message but the loads of
// level and of a ring's limit.
type governor struct {
	// Fixed after construction.
	rings  []*ring
	target time.Duration
	memory func() float64

	// Owned by its goroutine.
	pressure pressure
	backlogs []backlog // by ring
	limits   []uint64  // by ring

	// Atomic: written by its goroutine, read by all.
	level  atomic.Int32
	delay  atomic.Int64  // nanoseconds that a frame which comes now would be under way, in the ring that is worst
	filled atomic.Uint64 // share of the memory limit, as float bits

	counts [classCount]atomic.Uint64 // atomic, because loops, runners and the server's Admit count
}

func newGovernor(c *Center) *governor {
	var rings []*ring
	for _, r := range c.runners {
		rings = append(rings, r.rings...)
	}
	return &governor{
		rings: rings, target: c.cfg.MaxDelay, memory: c.cfg.Memory,
		backlogs: make([]backlog, len(rings)), limits: make([]uint64, len(rings)),
	}
}

// run is the governor's goroutine; it ends when quit is closed.
func (g *governor) run(quit <-chan struct{}) {
	t := time.NewTicker(governorTick)
	defer t.Stop()
	for {
		select {
		case <-quit:
			return
		case <-t.C:
			g.look(time.Now().UnixNano())
		}
	}
}

// look measures, and sets the level and the limits of the rings. Messages are refused only while all else is given up.
func (g *governor) look(now int64) {
	worst := int64(0)
	for i, r := range g.rings {
		done := r.done.Load() // first: it never passes what was put in
		wait, limit := g.backlogs[i].step(now, r.tail.Load(), done, g.target)
		worst, g.limits[i] = max(worst, wait), limit
	}
	filled := g.memory()
	g.delay.Store(worst)
	g.filled.Store(math.Float64bits(filled))
	level := g.pressure.step(now, max(float64(worst)/float64(g.target), (filled-memoryFloor)/(1-memoryFloor)))
	g.level.Store(int32(level))
	for i, r := range g.rings {
		if level < levels {
			g.limits[i] = noLimit
		}
		r.limit.Store(g.limits[i])
	}
}

// sheds tells whether a class is given up now; any goroutine.
func (g *governor) sheds(c class) bool { return g.level.Load() > int32(c) }

// shed counts what was given up.
func (g *governor) shed(c class, n int) {
	if n > 0 {
		g.counts[c].Add(uint64(n))
	}
}
