// Package hours tells when a group is open: hours by weekday, exceptions by date, in a time zone. Nothing is ever switched: whether it is open
// is computed from the time that is asked for, so no timer can be missed, and a restart, midnight and a change of the clocks need no
// care. Package dispatch asks it before it queues a conversation, and for what it tells a visitor who comes outside the hours.
//
// No I/O and no clock, but that Parse looks up the zone: in the files of the system if there are any, else in the copy that is built in, so that
// the binary needs nothing on the machine.
//
// The clock on the wall decides. Hours that the clock skips do not take place that day; hours that it shows twice take place twice: until 02:30, in
// the night in which 03:00 becomes 02:00, is open at 02:15 both times and closed at 02:45 between. This is what a visitor reads from a sign on
// the door, and it makes the answer depend on nothing but the date and the time that the clock shows.
//
// Hours past midnight belong to the day on which they begin: "Fr 22:00-06:00" is open early on Saturday, also if that Saturday is closed as an
// exception, and not if the Friday was.
package hours

import (
	"slices"
	"time"
	_ "time/tzdata" // the static binary runs where no zones are installed
)

// Hours is a parsed schedule. It never changes, so it is safe for concurrent use.
type Hours struct {
	zone  *time.Location
	week  [7][]span      // by time.Weekday, spans in order and apart
	dates map[day][]span // in place of the weekday's; none: closed
	order []day          // the keys of dates, ascending
}

// span is a time of a day in seconds of its clock, from <= t < to. One past midnight has a to of more than a day.
type span struct{ from, to int }

// day counts from 1970-01-01, in the zone's calendar.
type day int

const secondsPerDay = 24 * 60 * 60

// Open tells whether it is open at that time.
func (h *Hours) Open(at time.Time) bool {
	d, second := h.clock(at)
	return covered(h.spans(d), second) || covered(h.spans(d-1), second+secondsPerDay)
}

// Next returns when it is open next: from opens, which is at itself if it is open then, until closes. Both are in the schedule's zone. opens is the
// zero time if it never opens again, closes if it never closes again.
func (h *Hours) Next(at time.Time) (opens, closes time.Time) {
	opens = at.In(h.zone)
	if !h.Open(at) {
		opens = h.change(at)
	}
	if opens.IsZero() {
		return opens, closes
	}
	return opens, h.change(opens)
}

// repeats is a number of days in which everything that the week has shows itself, even if a change of the clocks hides it once.
const repeats = 15

// change returns the first time after at when Open answers otherwise, the zero time if there is none. It goes from one time at which something may
// change to the next; from one exception to the next where only the same week comes again.
func (h *Hours) change(at time.Time) time.Time {
	was := h.Open(at)
	t := time.Unix(at.Unix(), 0).In(h.zone)
	last, _ := h.clock(t) // the last day that was not just like the same day a week before
	for {
		t = h.edge(t)
		if h.Open(t) != was {
			return t
		}
		d, _ := h.clock(t)
		next, _ := slices.BinarySearch(h.order, d+1) // the first exception after d
		if next > 0 {
			last = max(last, h.order[next-1])
		}
		if d <= last+repeats {
			continue
		}
		if next == len(h.order) {
			return time.Time{}
		}
		// Two days before it, as the day before reaches past midnight and a zone is up to a day away from UTC.
		if jump := time.Unix(int64(h.order[next]-2)*secondsPerDay, 0); jump.After(t) {
			t = jump.In(h.zone)
		}
	}
}

// edge returns the next time after t at which a span may begin or end: the clock shows one's begin or end, or midnight, or is changed.
func (h *Hours) edge(t time.Time) time.Time {
	d, now := h.clock(t)
	next := secondsPerDay
	for _, s := range h.spans(d) {
		next = sooner(now, sooner(now, next, s.from), s.to)
	}
	for _, s := range h.spans(d - 1) {
		next = sooner(now, next, s.to-secondsPerDay)
	}
	at := t.Add(time.Duration(next-now) * time.Second)
	// Where a zone's rules are computed, package time ends a period after 365 days, so on the last day of a leap year the end is past.
	if _, end := t.ZoneBounds(); end.After(t) && end.Before(at) {
		at = end
	}
	return at
}

// sooner returns candidate if it lies between now and next, else next.
func sooner(now, next, candidate int) int {
	if now < candidate && candidate < next {
		return candidate
	}
	return next
}

// clock returns what calendar and clock of the zone show.
func (h *Hours) clock(at time.Time) (day, int) {
	_, offset := at.In(h.zone).Zone()
	local := at.Unix() + int64(offset)
	second := local % secondsPerDay
	if second < 0 {
		second += secondsPerDay
	}
	return day((local - second) / secondsPerDay), int(second)
}

// spans returns the hours that begin on that day.
func (h *Hours) spans(d day) []span {
	if s, ok := h.dates[d]; ok {
		return s
	}
	return h.week[d.weekday()]
}

func covered(spans []span, second int) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.from <= second && second < s.to })
}

// weekday returns the day's; 1970-01-01 was a Thursday.
func (d day) weekday() time.Weekday {
	return time.Weekday(((int(d)+int(time.Thursday))%7 + 7) % 7)
}

func (d day) String() string { return time.Unix(int64(d)*secondsPerDay, 0).UTC().Format(time.DateOnly) }
