package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// recentMessage remembers a message for deduplication.
type recentMessage struct {
	seq    uint64
	timeMS uint64
	id     frame.ID
	member int8
}

// The window for deduplication holds between half of recentMax and recentMax messages; for wideMS after a lookup up to recentMax more than
// Config.LookbackMax.
const (
	recentMax = 256
	wideMS    = 10_000
)

// window is the last messages of a conversation, ascending up to its head. It has a place of its own, since an idle conversation has none.
type window struct{ messages []recentMessage }

// recent returns what is in the window.
func (c *conversation) recent() []recentMessage {
	if c.window == nil {
		return nil
	}
	return c.window.messages
}

// setRecent replaces what is in the window.
func (c *conversation) setRecent(messages []recentMessage) {
	if c.window == nil {
		c.window = &window{}
	}
	c.window.messages = messages
}

// remember adds a message to the window and cuts a full one to its newest messages.
func (m *Machine) remember(c *conversation, r recentMessage) {
	if n := len(c.recent()); n >= recentMax && n >= m.windowMax(c) {
		c.narrow()
	}
	c.setRecent(append(c.recent(), r))
}

// windowMax is how many messages the window of a conversation may hold now.
func (m *Machine) windowMax(c *conversation) int {
	if c.trouble != nil && m.now < c.trouble.wideMS {
		return m.cfg.LookbackMax + recentMax
	}
	return recentMax
}

// narrow cuts the window to half of recentMax, and gives the memory of a wide one back.
func (c *conversation) narrow() {
	recent := c.recent()
	kept := recent[len(recent)-recentMax/2:]
	if cap(recent) > 2*recentMax {
		c.setRecent(slices.Clone(kept))
	} else {
		c.setRecent(recent[:copy(recent, kept)])
	}
	c.notWide()
}

// widen puts the messages before the window into it.
func (c *conversation) widen(seen []Seen, untilMS int64) {
	wide := make([]recentMessage, 0, len(seen)+len(c.recent())+recentMax)
	for _, s := range seen {
		r := recentMessage{seq: s.Seq, timeMS: s.TimeMS, id: s.ID, member: -1}
		if s.Sender != "" {
			r.member = c.memberOf(s.Sender)
		}
		wide = append(wide, r)
	}
	c.setRecent(append(wide, c.recent()...))
	c.troubled().wideMS = untilMS
}

func (c *conversation) notWide() {
	if c.trouble != nil {
		c.trouble.wideMS = 0
		c.settle()
	}
}

// find looks for an earlier copy of (member, id) after base in the window.
func (c *conversation) find(member int8, id frame.ID, base uint64) (recentMessage, bool) {
	recent := c.recent()
	for i := len(recent) - 1; i >= 0 && recent[i].seq > base; i-- {
		if recent[i].member == member && recent[i].id == id {
			return recent[i], true
		}
	}
	return recentMessage{}, false
}

// forgetRecent gives the window's memory back.
func (c *conversation) forgetRecent() {
	c.window = nil
	c.notWide()
}

// floor is the sequence after which every message is in the window.
func (c *conversation) floor() uint64 { return c.head - uint64(len(c.recent())) }
