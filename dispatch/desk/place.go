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

// rate tells how fast a queue moves. Its clock runs only while somebody waits: who comes after a quiet night does not wait all night, nor do those who wait for
// the group to open count.
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
	if g.ready() == 0 {
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
	p := Place{Conv: c.id, Group: g.name, Place: place, Of: g.queue.len(), WaitMS: g.rate.until(place, d.busy(g))}
	if opens := c.opensMS(); opens != 0 {
		p.WaitMS = max(p.WaitMS, 0) + opens - d.now
	}
	return p
}

// What one call of Places looks at, in each group.
const (
	placesEvery = 950    // milliseconds between two looks at a group: Places is called each second, and may be called a little early
	near        = 256    // places from the front, each time
	stretch     = 4096   // places behind them, each time the next ones
	maxFresh    = 16_384 // conversations that came since the last look; more are found when it is their turn
)

// Places tells of those whose place has changed, each at most once a second; call it after Tick as often. Who has just come is told its place, the
// first 256 are told of each change that counts (a step among the first 16, a sixteenth behind them), and those behind them when it is their
// turn: 4,096 a second, so that a queue of 100,000 costs no more than one of 5,000.
func (d *Desk) Places(tell func(Place)) {
	d.telling = true
	for _, name := range slices.Sorted(maps.Keys(d.moved)) {
		g := d.groups[name]
		if g.told && d.now < g.toldMS+placesEvery {
			continue
		}
		g.told, g.toldMS = true, d.now
		if d.tellPlaces(g, tell) {
			delete(d.moved, name)
		}
	}
}

// tellPlaces tells of those whose turn it is, and whether all of the queue has been looked at since it changed.
func (d *Desk) tellPlaces(g *group, tell func(Place)) bool {
	for _, c := range g.fresh {
		if c.queued() && c.group == g {
			d.tellPlace(c, c.inGroup.place()+1, tell)
		}
	}
	g.fresh = nil
	d.tellStretch(g, 0, near, tell)
	if g.cursor < near || g.cursor >= g.queue.len() {
		g.cursor = near
	}
	seen := d.tellStretch(g, g.cursor, stretch, tell)
	g.cursor += seen
	g.unseen -= seen
	return g.unseen <= near
}

// tellStretch goes through at most n conversations from a place on, counted from 0, and returns how many.
func (d *Desk) tellStretch(g *group, from, n int, tell func(Place)) (seen int) {
	for at := g.queue.at(from); at != nil && seen < n; at = at.next() {
		seen++
		d.tellPlace(at.value, from+seen, tell)
	}
	return seen
}

func (d *Desk) tellPlace(c *conversation, place int, tell func(Place)) {
	told := int(c.told)
	if told == 0 || max(place-told, told-place) > told/16 {
		c.told = int32(place)
		tell(d.placeOf(c, place))
	}
}
