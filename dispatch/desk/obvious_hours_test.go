package desk

import (
	"slices"
	"time"
)

// next is when the conversation's group opens for it, 0 if it was open when it came, or never opens.
func (o *obvious) next(c *plainConv) int64 {
	h := o.cfg.Groups[c.Group].Hours
	if h == nil {
		return 0
	}
	opens, _ := h.Next(time.UnixMilli(c.AtMS))
	if opens.IsZero() {
		return 0
	}
	return opens.UnixMilli()
}

// shut tells whether the conversation has to wait for its group to open.
func (o *obvious) shut(c *plainConv) bool {
	h := o.cfg.Groups[c.Group].Hours
	return h != nil && !h.Open(time.UnixMilli(c.AtMS)) && (o.next(c) == 0 || o.next(c) > o.now)
}

// opens is what is said of that.
func (o *obvious) opens(c *plainConv) int64 {
	if !c.early {
		return 0
	}
	return o.next(c)
}

// queue notes that it waits, and for what.
func (o *obvious) queue(c *plainConv, why Reason) {
	c.why = why
	if c.early = o.shut(c); !c.early {
		return
	}
	if why == NobodyFree {
		c.why = OutOfHours
	}
	if at := o.next(c); at != 0 {
		o.openings[c.Group] = at
	}
}

// forgetOpenings drops those that nobody waits for.
func (o *obvious) forgetOpenings() {
	for name := range o.openings {
		if !slices.ContainsFunc(o.convs, func(c *plainConv) bool { return c.early && c.Group == name }) {
			delete(o.openings, name)
		}
	}
}

// opening gives those who waited for it to whoever is the best for each.
func (o *obvious) opening(name string) {
	delete(o.openings, name)
	var waiting []*plainConv
	for _, c := range o.convs {
		if c.early && c.Group == name {
			waiting = append(waiting, c)
		}
	}
	slices.SortFunc(waiting, func(x, y *plainConv) int {
		if o.before(x, y) {
			return -1
		}
		return 1
	})
	for _, c := range waiting {
		c.early = false
		if c.why == OutOfHours {
			c.why = NobodyFree
		}
		if list := o.candidates(c); len(list) > 0 {
			o.note(c, NextInQueue, list[0], list[:1])
			o.give(c, list[0], NextInQueue)
		}
	}
}

// shift is open in the first part of each period.
type shift struct{ open, period int64 }

func (s shift) Open(at time.Time) bool { return at.UnixMilli()%s.period < s.open }

func (s shift) Next(at time.Time) (opens, closes time.Time) {
	ms := at.UnixMilli()
	begin := ms - ms%s.period
	switch {
	case s.open == 0:
		return opens, closes
	case s.Open(at):
		return at, time.UnixMilli(begin + s.open)
	}
	return time.UnixMilli(begin + s.period), time.UnixMilli(begin + s.period + s.open)
}
