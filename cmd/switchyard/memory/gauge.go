package memory

import "runtime/metrics"

// Gauge tells which share of a limit is in use. One goroutine calls Used.
type Gauge struct {
	limit   float64
	samples []metrics.Sample
}

// What the runtime has from the system, and the parts of it that are no burden: given back, free, or garbage by now. Garbage is what was
// allocated since the last collection began, so something of it still lives; but then the heap has grown, and the next collection comes
// before the limit is reached, because the runtime knows the limit.
const (
	total = iota
	released
	free
	objects
	live
)

// NewGauge measures against a limit.
func NewGauge(l Limit) *Gauge {
	g := &Gauge{limit: float64(l.Bytes)}
	for _, name := range []string{total: "/memory/classes/total:bytes", released: "/memory/classes/heap/released:bytes",
		free: "/memory/classes/heap/free:bytes", objects: "/memory/classes/heap/objects:bytes", live: "/gc/heap/live:bytes"} {
		g.samples = append(g.samples, metrics.Sample{Name: name})
	}
	return g
}

// Used is the share of the limit that is in use, garbage aside; it may pass 1.
func (g *Gauge) Used() float64 {
	metrics.Read(g.samples)
	v := func(i int) float64 { return float64(g.samples[i].Value.Uint64()) }
	return (v(total) - v(released) - v(free) - max(0, v(objects)-v(live))) / g.limit
}
