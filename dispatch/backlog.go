package dispatch

import "time"

// backlog judges the queue between a loop and a runner by its two counters: frames put in, and frames done, whose answers the loop has
// written. So it sees the ring, the shard, the commit and the loop's own mailbox as one queue. It is pure; owned by the governor's goroutine.
//
// It times one frame at a time, as TCP does: the last that was put in when the one before was done. How long that takes is the delay; how
// many were done meanwhile, divided by it, is the rate. While the delay stands at a quarter of the target or above, no more messages may be
// under way than the rate gets done within the target: whoever is let in is answered in about that time, however slow the server is.
type backlog struct {
	timing bool
	mark   uint64  // the frame that is timed: done when so many are
	since  int64   // when it was put in, Unix nanoseconds
	before uint64  // how many were done then
	delay  int64   // of the frame that was timed last, or that which is timed has by now; nanoseconds
	rate   float64 // frames done per nanosecond, of the same time
}

// noLimit is a limit that no ring reaches.
const noLimit = 1 << 32

// step takes the counters at a time. It returns how long a frame that comes now would be under way, in nanoseconds, and how many frames
// may be for a message to be let in.
func (b *backlog) step(now int64, in, done uint64, target time.Duration) (wait int64, limit uint64) {
	standing := b.delay >= int64(target)/4
	switch elapsed := now - b.since; {
	case !b.timing:
	case done >= b.mark:
		b.measured(float64(done-b.before)/float64(max(elapsed, 1)), standing)
		b.timing, b.delay = false, elapsed
	case elapsed > b.delay:
		b.delay = elapsed
		if running := float64(done-b.before) / float64(elapsed); elapsed > int64(target) || !standing {
			b.rate = running // it is slower than what was measured, or nothing was
		}
	}
	if !b.timing {
		b.begin(now, in, done)
	}
	if b.delay < int64(target)/4 || b.rate == 0 && b.delay < int64(target) {
		return b.delay, noLimit
	}
	return b.expect(in - done), max(1, uint64(b.rate*float64(target)))
}

// expect is how long what is under way takes at the measured rate. While nothing is done at all nobody knows; it is what it has been so far.
func (b *backlog) expect(frames uint64) int64 {
	if b.rate == 0 {
		return b.delay
	}
	return max(b.delay, int64(min(float64(frames)/b.rate, float64(time.Hour))))
}

// measured takes a rate. Batches make single ones uneven, so each counts half; what was measured while no queue stood says nothing.
func (b *backlog) measured(rate float64, standing bool) {
	if standing {
		rate = (b.rate + rate) / 2
	}
	b.rate = rate
}

// begin times the next frame, if one is under way.
func (b *backlog) begin(now int64, in, done uint64) {
	if in == done {
		b.delay = 0
		return
	}
	b.timing, b.mark, b.since, b.before = true, in, now, done
}
