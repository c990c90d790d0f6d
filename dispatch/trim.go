package dispatch

import "unsafe"

// What a burst needed and a quiet server does not is given back: the rings' memory behind the front by the loops, which own empty rings, and the
// units and the scratch space of the machine by the runners.

// Trim gives back what the rings of a loop needed in a backlog that is over. On that loop, every few seconds. After a backlog it takes up to about a
// millisecond for each ring that was full, and otherwise nothing.
func (g *Gate) Trim(loop int) {
	for _, r := range g.center.runners {
		r.rings[loop].trim(g.center.cfg.Release)
	}
}

// trim releases what lies behind the front of an empty ring, if it was used. Producer only: all of an empty ring is its own.
func (r *ring) trim(release func([]byte)) {
	if !r.deep || !r.empty() {
		return
	}
	r.deep = false
	behind := r.entries[len(r.entries)/farFront:]
	clear(behind) // by the rules of the collector, since they hold pointers; so releasing changes nothing
	release(bytesOf(behind))
	release(r.bytes[len(r.bytes)/farFront:])
}

// bytesOf is the memory of entries; valid as long as they are, and to be filled with zeros only.
func bytesOf(entries []inbound) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(entries))), len(entries)*int(unsafe.Sizeof(inbound{})))
}

// A runner is quiet if it got less than this many frames in each of two ticks.
const quietFrames = 100

// quietTicks is how many ticks in a row a runner was quiet; owned by its goroutine.
type quietTicks struct {
	frames int // since the last tick
	ticks  int
}

// tick tells the time, once a second.
func (q *quietTicks) tick() {
	q.ticks++
	if q.frames >= quietFrames {
		q.ticks = 0
	}
	q.frames = 0
}

// quiet tells whether what grew should be let go of.
func (q *quietTicks) quiet() bool { return q.ticks >= 2 }

// What a unit keeps for ever.
const (
	idleBuf   = 64 << 10 // bytes of encoded frames
	idleItems = 256      // elements of each list
)

// trim gives back what large batches needed. The unit is empty.
func (u *unit) trim() {
	u.effects.Trim(idleBuf, idleItems)
	for i := range u.parcels {
		if p := &u.parcels[i]; cap(p.Targets) > idleItems {
			p.Targets = nil
		}
	}
	if cap(u.replayed) > idleItems {
		u.replayed = nil
	}
}
