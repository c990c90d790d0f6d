package hours

import (
	"fmt"
	"slices"
	"strings"
)

// String returns the schedule in the form that Parse reads: weekdays, zone, dates; what is alike and follows one another as a range.
func (h *Hours) String() string {
	var rules []string
	for i := 0; i < len(week); {
		j := i + 1
		for j < len(week) && slices.Equal(h.week[week[j].day], h.week[week[i].day]) {
			j++
		}
		rules = append(rules, between(week[i].name, "-", week[j-1].name)+" "+text(h.week[week[i].day]))
		i = j
	}
	rules = append(rules, "zone "+h.zone.String())
	for i := 0; i < len(h.order); {
		j := i + 1
		for j < len(h.order) && h.order[j] == h.order[j-1]+1 && slices.Equal(h.dates[h.order[j]], h.dates[h.order[i]]) {
			j++
		}
		rules = append(rules, between(h.order[i].String(), "..", h.order[j-1].String())+" "+text(h.dates[h.order[i]]))
		i = j
	}
	return strings.Join(rules, "; ")
}

func between(first, sep, last string) string {
	if first == last {
		return first
	}
	return first + sep + last
}

func text(spans []span) string {
	if len(spans) == 0 {
		return closed
	}
	var parts []string
	for _, s := range spans {
		parts = append(parts, s.String())
	}
	return strings.Join(parts, ",")
}

func (s span) String() string {
	clock := func(second int) string { return fmt.Sprintf("%02d:%02d", second/3600, second/60%60) }
	if s.to > secondsPerDay {
		return clock(s.from) + "-" + clock(s.to-secondsPerDay)
	}
	return clock(s.from) + "-" + clock(s.to)
}
