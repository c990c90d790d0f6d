package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Refusals keeps the messages that a connection sends to a conversation in order. A client that has many under way may see one refused for now
// (overloaded, unavailable) and those behind it arrive later, when they would be accepted; its retry would then come after them. So from the
// first refusal on everything is refused, until one of what was refused comes again or the connection ends. No time ends it: what is behind may
// wait in the network for as long as the server is overloaded. Two places refuse, the connection's loop (a full ring) and the conversation's machine (a
// store that is down, a failed commit), and each has its own Refusals, owned by the same goroutine as the rest of the place. The zero value is empty.
//
// The client's part is to send again when all that it has under way is answered, and in order, which it may do as often as it likes; what it gives
// up, it leaves out. So of the messages that were refused here, the first that comes again is the first that the client still wants, and it passes.
// That holds only if none before it could come again and not be known:
//
//  1. ids are those that came first, without a gap. When one finds no room, none behind it is taken any more.
//  2. When one comes again and is refused again, those behind it have to come again first, too: ids begin anew with it.
//  3. What the other place refused is not known here. But the loop lets nothing through that is behind what it refused, so one that is
//     before a message which the machine knows was there before it; and what the loop lets pass too early, the machine still refuses.
type Refusals struct {
	ids   []frame.ID
	last  frame.ID // refused last; who sends it again at once has sent nothing before it, whatever else is known; zero: nothing is refused
	cut   bool     // one found no room
	own   bool     // last was refused here, and not taken over
	taken uint8    // so many of ids, the first ones, were taken over
}

// refusalsMax bounds ids: 1 KiB. A client that gives up so many at once without having sent any of them again, and goes on with several at once, is
// refused until it sends one alone.
const refusalsMax = 64

// Refuse notes that a message is refused, whose id is not zero. At most limit are known, but always one.
func (r *Refusals) Refuse(id frame.ID, limit int) {
	switch {
	case r.Awaits(id):
		*r = Refusals{ids: []frame.ID{id}}
	case r.cut || len(r.ids) >= bounded(limit):
		r.cut = true
	default:
		r.ids = append(r.ids, id)
	}
	r.last, r.own = id, true
}

// refuseBefore notes that a message is refused which goes before all that were refused until then.
func (r *Refusals) refuseBefore(id frame.ID) {
	if !r.Any() {
		r.last = id
	}
	r.ids = slices.Insert(r.ids, 0, id)
	r.shorten(refusalsMax)
}

// shorten forgets the last until there are at most limit.
func (r *Refusals) shorten(limit int) {
	if limit = bounded(limit); len(r.ids) > limit {
		r.ids, r.cut = r.ids[:limit], true
		r.taken = min(r.taken, uint8(limit))
	}
}

func bounded(limit int) int { return max(1, min(limit, refusalsMax)) }

// Then returns what is refused when the machine's refusals go over to the loop, which may have refused others by itself. What it took over before is
// out of date: each was refused again since, and is among the machine's, or passed. Of what it refused itself it must know all, since one of the
// machine's that it refused when it came again begins anew.
func (r *Refusals) Then(loops Refusals, limit int) Refusals {
	if loops.own && loops.cut {
		return Refusals{last: loops.last, cut: true, own: true}
	}
	sum := r.clone()
	sum.shorten(limit)
	sum.own, sum.taken = false, uint8(len(sum.ids))
	for _, id := range loops.ids[loops.taken:] {
		sum.Refuse(id, limit)
	}
	return sum
}

// Any tells whether anything is refused.
func (r *Refusals) Any() bool { return !r.last.IsZero() }

// Awaits tells whether a message was refused and ends the refusals when it comes again.
func (r *Refusals) Awaits(id frame.ID) bool {
	return !id.IsZero() && (r.last == id || slices.Contains(r.ids, id))
}

// Len is how many messages are known.
func (r *Refusals) Len() int { return len(r.ids) }

// clone returns a copy that shares nothing.
func (r *Refusals) clone() Refusals {
	return Refusals{ids: slices.Clone(r.ids), last: r.last, cut: r.cut}
}
