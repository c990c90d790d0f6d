package netserver

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	leastGathered = 4                     // messages of one interval from which on a loop lets input gather
	shortestNap   = 20 * time.Microsecond // shorter than what going to sleep and waking take
)

// gatherer decides when a loop lets input gather. With many connections that each write now and then, a loop is woken for every message or two, and
// each of these turns wakes a shard and costs as much as the message itself, while the commit that the message waits for comes once in
// a millisecond anyway. So a loop that has read at least leastGathered messages in an interval reads once in each interval from then on. What it
// has to write is not held up, nor what comes to a loop that is not busy.
//
// The intervals of all loops begin at the same instants, so that what they read shares a commit. Owned by the loop.
type gatherer struct {
	every time.Duration // the interval; 0: input never gathers
	epoch time.Time     // fixed, the same for all loops: intervals are counted from it

	interval int64  // number of the one that count is of
	count    uint64 // messages read in it
	last     uint64 // and in the one before
	seen     uint64 // counters.messagesIn up to which they are counted
}

// busy counts the messages that came since the last call, and tells whether further input may gather. After a turn that read none it may not, or a loop
// that has nothing to do would go on napping.
func (g *gatherer) busy(now time.Duration, messagesIn uint64) bool {
	n := messagesIn - g.seen
	g.seen = messagesIn
	if i := int64(now / g.every); i != g.interval {
		if g.last = g.count; i != g.interval+1 {
			g.last = 0
		}
		g.interval, g.count = i, 0
	}
	g.count += n
	return n > 0 && max(g.count, g.last) >= leastGathered
}

// end is when the interval of now ends.
func (g *gatherer) end(now time.Duration) time.Duration { return now - now%g.every + g.every }

// gather comes after each turn of the poller.
func (l *loop) gather() {
	g := &l.gatherer
	now := time.Since(g.epoch)
	if !g.busy(now, l.n.messagesIn) {
		return
	}
	for end := g.end(now); end-now >= shortestNap; now = time.Since(g.epoch) {
		l.nap(end - now)
	}
}

// nap waits for the mailbox, not for connections, and handles it when it has something. Before that it lets the shards have the processor: they have just
// been woken, and would be stolen by a thread that has to be woken too.
func (l *loop) nap(d time.Duration) {
	runtime.Gosched()
	wait := unix.NsecToTimespec(int64(d))
	box := [1]unix.PollFd{{Fd: l.box.event, Events: unix.POLLIN}}
	if n, _ := unix.Ppoll(box[:], &wait, nil); n > 0 { // it fails with EINTR only; the caller looks at the clock
		_ = l.onMailbox(l.poll)
	}
}
