package dispatch

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// queue is a server in small: frames come at one rate and are done at another, in batches. Time is in steps of a millisecond.
type queue struct {
	*governor
	*ring
	arrivals []int64 // of frames under way
	waits    []int64 // of frames that are done, in the order of their arrival
	refused  int
}

func newQueue(target time.Duration) *queue {
	r := newRing(1, 1)
	return &queue{ring: r, governor: &governor{
		rings: []*ring{r}, backlogs: make([]backlog, 1), limits: make([]uint64, 1), target: target, memory: func() float64 { return 0 },
	}}
}

// run offers so many frames each millisecond and gets batches done of what comes in `every` milliseconds, for a time.
func (q *queue) run(from, to int64, offered, capacity float64, every int64) {
	credit, work := 0.0, 0.0
	for now := from; now < to; now += ms {
		for credit += offered; credit >= 1; credit-- {
			if q.crowded() {
				q.refused++
				continue
			}
			q.tail.Add(1)
			q.arrivals = append(q.arrivals, now)
		}
		if work += capacity; now/ms%every == 0 {
			n := min(int(work), len(q.arrivals))
			if work -= float64(n); len(q.arrivals) == n {
				work = min(work, capacity) // idle time is lost
			}
			for _, at := range q.arrivals[:n] {
				q.waits = append(q.waits, now-at)
			}
			q.arrivals = q.arrivals[n:]
			q.finished(n)
		}
		if now%int64(governorTick) == 0 {
			q.look(now)
		}
	}
}

// TestBacklogUnderOverload: whatever the capacity, and however its batches come, at twice the load hardly anything that is let in waits
// a second; at several times the load nothing waits much longer than the target once the first rush is over, and no capacity lies idle.
func TestBacklogUnderOverload(t *testing.T) {
	const target = 400 * time.Millisecond
	for _, times := range []float64{1.2, 2, 4, 8} {
		for _, capacity := range []float64{0.2, 20} {
			for _, every := range []int64{1, 20, 100} {
				q := newQueue(target)
				const from, rush, to = int64(1e18), int64(1e18) + 3000*ms, int64(1e18) + 10_000*ms
				q.run(from, rush, times*capacity, capacity, every)
				first := len(q.waits)
				q.run(rush, to, times*capacity, capacity, every)
				if p99 := percentile(q.waits, 99); p99 > time.Second && times <= 2 {
					t.Errorf("%g times %g frames/ms in batches of %d ms: p99 %v", times, capacity, every, p99)
				}
				if most := percentile(q.waits[first:], 100); most > target*3/2 {
					t.Errorf("%g times %g frames/ms in batches of %d ms: %v after the first rush", times, capacity, every, most)
				}
				if share := float64(q.done.Load()) / (capacity * 10_000); share < 0.95 {
					t.Errorf("%g times %g frames/ms in batches of %d ms: %.3f of the capacity was used", times, capacity, every, share)
				}
			}
		}
	}
}

func percentile(waits []int64, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(waits))
	return time.Duration(sorted[(len(sorted)-1)*p/100])
}

// TestBacklogLeavesBurstsAlone: a burst that is done soon is let in, whatever was seen before it; and below the capacity nothing is refused.
func TestBacklogLeavesBurstsAlone(t *testing.T) {
	const target = 400 * time.Millisecond
	q := newQueue(target)
	now := int64(1e18)
	for range 20 {
		q.run(now, now+300*ms, 0.1, 200, 1)
		q.run(now+300*ms, now+310*ms, 1000, 200, 1)
		q.run(now+310*ms, now+500*ms, 0.1, 200, 1)
		now += 500 * ms
	}
	q.run(now, now+5000*ms, 190, 200, 30)
	if q.refused > 0 {
		t.Errorf("%d frames were refused", q.refused)
	}
}

// TestBacklogOfAStall: while nothing at all is done, next to nothing is let in after the target; and afterwards the queue is as before.
func TestBacklogOfAStall(t *testing.T) {
	const target = 400 * time.Millisecond
	q := newQueue(target)
	now := int64(1e18)
	q.run(now, now+1000*ms, 5, 10, 1)
	q.run(now+1000*ms, now+1600*ms, 5, 0, 1)
	before := q.tail.Load()
	q.run(now+1600*ms, now+5000*ms, 5, 0, 1)
	if n := q.tail.Load() - before; n > 1 {
		t.Errorf("%d frames were let in while nothing was done", n)
	}
	if delay := time.Duration(q.delay.Load()); delay < 3*time.Second {
		t.Errorf("a stall of 4 s looks like a delay of %v", delay)
	}
	q.run(now+5000*ms, now+8000*ms, 5, 10, 1)
	refused := q.refused
	q.run(now+8000*ms, now+9000*ms, 5, 10, 1)
	if q.refused > refused {
		t.Errorf("%d frames are refused long after the stall", q.refused-refused)
	}
}

// TestRetriesAreSpread: refused connections come back from half the time to one and a half, evenly, and one connection with all that it
// was refused at a time.
func TestRetriesAreSpread(t *testing.T) {
	const after = time.Second
	var tenths [11]int
	sum := uint64(0)
	for conn := range 10_000 {
		at := int64(1e18) + int64(conn/5000)*5e9
		ms := retryMS(after, connID(conn), at)
		if ms < 500 || ms > 1500 || ms != retryMS(after, connID(conn), at+500_000_000) {
			t.Fatalf("connection %d: %d ms", conn, ms)
		}
		tenths[(ms-500)/100]++
		sum += ms
	}
	for i, n := range tenths[:10] {
		if n < 800 || n > 1200 {
			t.Errorf("%d of 10,000 come back in tenth %d", n, i)
		}
	}
	if mean := sum / 10_000; mean < 980 || mean > 1020 {
		t.Errorf("they come back after %d ms on average", mean)
	}
}

func connID(n int) frame.ConnID { return frame.MakeConnID(0, n%2, n/2, 1) }
