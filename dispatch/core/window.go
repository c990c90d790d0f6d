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

// remember adds a message to the window and cuts a full one to its newest messages.
func (m *Machine) remember(c *conversation, r recentMessage) {
	if len(c.recent) >= recentMax && len(c.recent) >= m.windowMax(c) {
		c.narrow()
	}
	c.recent = append(c.recent, r)
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
	kept := c.recent[len(c.recent)-recentMax/2:]
	if cap(c.recent) > 2*recentMax {
		c.recent = slices.Clone(kept)
	} else {
		c.recent = c.recent[:copy(c.recent, kept)]
	}
	c.notWide()
}

// widen puts the messages before the window into it.
func (c *conversation) widen(seen []Seen, untilMS int64) {
	wide := make([]recentMessage, 0, len(seen)+len(c.recent)+recentMax)
	for _, s := range seen {
		r := recentMessage{seq: s.Seq, timeMS: s.TimeMS, id: s.ID, member: -1}
		if s.Sender != "" {
			r.member = c.memberOf(s.Sender)
		}
		wide = append(wide, r)
	}
	c.recent = append(wide, c.recent...)
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
	for i := len(c.recent) - 1; i >= 0 && c.recent[i].seq > base; i-- {
		if c.recent[i].member == member && c.recent[i].id == id {
			return c.recent[i], true
		}
	}
	return recentMessage{}, false
}

// forgetRecent gives the window's memory back.
func (c *conversation) forgetRecent() {
	c.recent = nil
	c.notWide()
}

// floor is the sequence after which every message is in the window.
func (c *conversation) floor() uint64 { return c.head - uint64(len(c.recent)) }
