package chaos

import (
	"math/rand/v2"
	"time"
)

// timetable is when the troubles of one victim are due. A trouble of a kind is due at every multiple of Every, and up to Jitter later. One after the
// other: what became due while another one went on is done right after that, and once if it became due several times. Owned by one goroutine.
type timetable struct {
	random  *rand.Rand
	entries []entry
}

type entry struct {
	kind Kind
	Trouble
	turn int64         // how many multiples of Every have passed
	at   time.Duration // when it is due, since the beginning
}

func newTimetable(random *rand.Rand, plan *Plan, kinds ...Kind) *timetable {
	t := &timetable{random: random}
	for _, k := range kinds {
		if trouble := plan.of(k); trouble.Every > 0 {
			t.entries = append(t.entries, entry{kind: k, Trouble: *trouble})
			t.advance(&t.entries[len(t.entries)-1], 0)
		}
	}
	return t
}

// next is what is due first; nil if nothing ever is.
func (t *timetable) next() (first *entry) {
	for i := range t.entries {
		if e := &t.entries[i]; first == nil || e.at < first.at {
			first = e
		}
	}
	return first
}

// due is what is due now, or nil.
func (t *timetable) due(now time.Duration) *entry {
	if e := t.next(); e != nil && e.at <= now {
		return e
	}
	return nil
}

// watch is how often somebody looks whether the victim still runs.
const watch = 100 * time.Millisecond

// wait is how long nothing is due, and at most watch.
func (t *timetable) wait(now time.Duration) time.Duration {
	if e := t.next(); e != nil {
		return min(watch, e.at-now)
	}
	return watch
}

// advance sets the next time of an entry, after now.
func (t *timetable) advance(e *entry, now time.Duration) {
	e.turn = max(e.turn, int64(now/e.Every)) + 1
	e.at = time.Duration(e.turn) * e.Every
	if e.Jitter > 0 {
		e.at += time.Duration(t.random.Int64N(int64(e.Jitter)))
	}
}
