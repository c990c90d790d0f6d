package desk

import (
	"maps"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Place is where a conversation is in its queue.
type Place struct {
	Conv   frame.ID
	Group  string
	Place  int   // 1 is next
	Of     int   // that wait
	WaitMS int64 // expected, from how fast the last ones were taken; -1: not known yet
}

// rateOver is over how many assignments from the queue their rate is taken.
const rateOver = 32

// rate tells how fast a queue moves. Its clock runs only while somebody waits: who comes after a quiet night does not wait all night.
type rate struct {
	takenMS [rateOver]int64 // by that clock
	taken   int             // all told
}

func (r *rate) add(busyMS int64) {
	r.takenMS[r.taken%rateOver] = busyMS
	r.taken++
}

// until returns how long it takes until n are taken: at the pace of the last ones, or more slowly if the next one is late. -1 while fewer than two
// were taken.
func (r *rate) until(n int, busyMS int64) int64 {
	if r.taken < 2 {
		return -1
	}
	count := min(r.taken, rateOver)
	oldest, latest := r.takenMS[(r.taken-count)%rateOver], r.takenMS[(r.taken-1)%rateOver]
	return max(int64(n)*(latest-oldest)/int64(count-1), int64(n)*(busyMS-oldest)/int64(count))
}

// busy is the group's clock of the time in which somebody waited.
func (d *Desk) busy(g *group) int64 {
	if g.queue.len() == 0 {
		return g.busyMS
	}
	return g.busyMS + d.now - g.busySinceMS
}

// Place tells where a conversation is; false if it does not wait.
func (d *Desk) Place(conv frame.ID) (Place, bool) {
	c := d.convs[conv]
	if c == nil || !c.queued() {
		return Place{}, false
	}
	return d.placeOf(c, c.inGroup.place()+1), true
}

func (d *Desk) placeOf(c *conversation, place int) Place {
	g := c.group
	return Place{Conv: c.id, Group: g.name, Place: place, Of: g.queue.len(), WaitMS: g.rate.until(place, d.busy(g))}
}

// placesEvery is how often a visitor is told at most.
const placesEvery = 1000

// Places tells of those whose place has changed, each at most once a second; call it after Tick as often. The first 16 are told of each
// step, those behind when they moved by a sixteenth, so that a long queue does not tell everybody of every step. It walks through
// the queues that changed: about 3 ms for 100,000 who wait.
func (d *Desk) Places(tell func(Place)) {
	for _, name := range slices.Sorted(maps.Keys(d.moved)) {
		g := d.groups[name]
		if g != nil && g.told && d.now < g.toldMS+placesEvery {
			continue
		}
		delete(d.moved, name)
		if g != nil {
			g.told, g.toldMS = true, d.now
			d.tellPlaces(g, tell)
		}
	}
}

func (d *Desk) tellPlaces(g *group, tell func(Place)) {
	place := 0
	for n := g.queue.first(); n != nil; n = n.next() {
		place++
		c := n.value
		if moved := max(place-c.told, c.told-place); c.told == 0 || moved > c.told/16 || place == 1 && c.told != 1 {
			c.told = place
			tell(d.placeOf(c, place))
		}
	}
}
