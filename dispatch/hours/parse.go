package hours

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of what Parse takes; a schedule beyond them is a mistake.
const (
	maxText  = 64 << 10 // bytes
	maxDates = 1000     // exceptions, each day of a range is one
)

const closed = "closed"

// week are the weekdays as they are written, in the order of ranges.
var week = []struct {
	name string
	day  time.Weekday
}{
	{"Mo", time.Monday}, {"Tu", time.Tuesday}, {"We", time.Wednesday}, {"Th", time.Thursday},
	{"Fr", time.Friday}, {"Sa", time.Saturday}, {"Su", time.Sunday},
}

// Parse reads a schedule, rules with ';' between them:
//
//	Mo-Fr 09:00-18:00; Sa 10:00-14:00; zone Europe/Berlin; 2026-12-24 closed; 2026-12-31 10:00-14:00
//
// A rule is days and hours, or the zone (exactly one, an IANA name). Days are weekdays (Mo Tu We Th Fr Sa Su), one, a range (Sa-Mo) or several
// (Mo,We-Fr); or a date, or a range of dates (2026-12-24..2027-01-01), whose hours take the place of the weekday's. Hours are times of the
// day, one or several (09:00-12:00,13:00-18:00), or "closed"; those that end at or before their begin end on the next day (22:00-06:00). Days not
// named are closed. An error names the rule and what to write.
func Parse(text string) (*Hours, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("hours: %d bytes of text, %d are allowed: is this a schedule?", len(text), maxText)
	}
	p := parser{hours: Hours{dates: map[day][]span{}}}
	for rule := range strings.SplitSeq(text, ";") {
		if rule = strings.TrimSpace(rule); rule == "" {
			continue
		}
		if err := p.rule(rule); err != nil {
			return nil, fmt.Errorf("hours: %q: %w", rule, err)
		}
	}
	return p.finish()
}

type parser struct {
	hours Hours
	named [7]bool // weekdays that have a rule
	rules int
}

func (p *parser) finish() (*Hours, error) {
	h := &p.hours
	if h.zone == nil {
		return nil, errors.New(`hours: no time zone: add one by its IANA name, as in "zone Europe/Berlin"`)
	}
	if p.rules == 0 {
		return nil, errors.New(`hours: no hours: add some, as in "Mo-Fr 09:00-18:00", or "Mo-Su 00:00-24:00" for always`)
	}
	for d := range h.dates {
		h.order = append(h.order, d)
	}
	slices.Sort(h.order)
	return h, nil
}

func (p *parser) rule(rule string) error {
	days, rest, _ := strings.Cut(rule, " ")
	rest = strings.TrimSpace(rest)
	if days == "zone" {
		return p.zone(rest)
	}
	p.rules++
	spans, err := parseSpans(rest)
	if err != nil {
		return err
	}
	if days[0] >= '0' && days[0] <= '9' {
		return p.dates(days, spans)
	}
	for part := range strings.SplitSeq(days, ",") {
		if err := p.weekdays(part, spans); err != nil {
			return err
		}
	}
	return nil
}

// zone takes the names of the IANA database, and UTC. "Local" is none: the hours would depend on the machine.
func (p *parser) zone(name string) error {
	if p.hours.zone != nil {
		return errors.New("a schedule has one zone: remove the other, or make a schedule for each")
	}
	if name == "" || name == "Local" {
		return errors.New("name the zone by its IANA name, such as Europe/Berlin or America/New_York")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return fmt.Errorf("no time zone %q: use an IANA name, such as Europe/Berlin or America/New_York", name)
	}
	p.hours.zone = zone
	return nil
}

func (p *parser) weekdays(part string, spans []span) error {
	from, to, isRange := strings.Cut(part, "-")
	if !isRange {
		to = from
	}
	i, j := weekdayIndex(from), weekdayIndex(to)
	if i < 0 || j < 0 {
		return fmt.Errorf("%q is no day: write Mo, Tu, We, Th, Fr, Sa or Su, a range such as Mo-Fr, or a date such as 2026-12-24", part)
	}
	for {
		d := week[i].day
		if p.named[d] {
			return fmt.Errorf("%s has hours already: write all of them in one rule, as in \"%s 09:00-12:00,13:00-18:00\"", week[i].name, week[i].name)
		}
		p.named[d] = true
		p.hours.week[d] = spans
		if i == j {
			return nil
		}
		i = (i + 1) % len(week)
	}
}

func weekdayIndex(name string) int {
	for i, w := range week {
		if w.name == name {
			return i
		}
	}
	return -1
}

func (p *parser) dates(text string, spans []span) error {
	from, to, isRange := strings.Cut(text, "..")
	if !isRange {
		to = from
	}
	first, err := parseDay(from)
	if err != nil {
		return err
	}
	last, err := parseDay(to)
	if err != nil {
		return err
	}
	if last < first {
		return fmt.Errorf("%s is before %s: write the earlier date first", last, first)
	}
	if len(p.hours.dates)+int(last-first) >= maxDates {
		return fmt.Errorf("more than %d days of exceptions: remove those that are over", maxDates)
	}
	for d := first; d <= last; d++ {
		if _, twice := p.hours.dates[d]; twice {
			return fmt.Errorf("%s is named twice: write all its hours in one rule", d)
		}
		p.hours.dates[d] = spans
	}
	return nil
}

func parseDay(text string) (day, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, fmt.Errorf("%q is no date: write YYYY-MM-DD, such as 2026-12-24, and .. between the first and the last of a range", text)
	}
	h := Hours{zone: time.UTC}
	d, _ := h.clock(t)
	return d, nil
}

// parseSpans reads the hours of a day; nil is closed.
func parseSpans(text string) ([]span, error) {
	if text == closed {
		return nil, nil
	}
	if text == "" {
		return nil, errors.New(`hours are missing: write days, a space and hours, as in "Mo-Fr 09:00-18:00", or "closed"`)
	}
	var spans []span
	for part := range strings.SplitSeq(text, ",") {
		s, err := parseSpan(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		spans = append(spans, s)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return nil, fmt.Errorf("%s and %s overlap: write one", spans[i-1], spans[i])
		}
	}
	return spans, nil
}

func parseSpan(text string) (span, error) {
	a, b, ok := strings.Cut(text, "-")
	if !ok {
		return span{}, fmt.Errorf("%q are no hours: write from and to, as in 09:00-18:00, or \"closed\"", text)
	}
	from, err := parseClock(a)
	if err != nil {
		return span{}, err
	}
	to, err := parseClock(b)
	if err != nil {
		return span{}, err
	}
	switch {
	case from == secondsPerDay:
		return span{}, fmt.Errorf("%q begins when the day is over: write 00:00-... for the next day", text)
	case from == to:
		return span{}, fmt.Errorf("%q is nothing or a whole day: write \"closed\" or 00:00-24:00", text)
	case to < from:
		to += secondsPerDay
	}
	return span{from, to}, nil
}

// parseClock reads HH:MM, 24:00 included.
func parseClock(text string) (int, error) {
	digit := func(i int) int { return int(text[i] - '0') }
	ok := len(text) == len("HH:MM") && text[2] == ':'
	for _, i := range []int{0, 1, 3, 4} {
		ok = ok && text[i] >= '0' && text[i] <= '9'
	}
	if ok {
		hour, minute := 10*digit(0)+digit(1), 10*digit(3)+digit(4)
		if minute < 60 && 60*hour+minute <= 24*60 {
			return (60*hour + minute) * 60, nil
		}
	}
	return 0, fmt.Errorf("%q is no time of day: write HH:MM from 00:00 to 24:00, such as 09:00", text)
}
