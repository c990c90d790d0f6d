package core

import (
	"fmt"
	"math/bits"
	"slices"
)

// check verifies the invariants that conversation lists.
func (c *conversation) check() error {
	if len(c.waiting()) > 0 && c.load == loaded {
		return c.broken(6, "events wait although it is loaded")
	}
	if t := c.trouble; t != nil && len(t.waiting)+len(t.barriers) == 0 && !t.resync && t.wideMS == 0 {
		return c.broken(7, "it holds a record of no trouble")
	}
	if c.load != loaded && c.load != looking || len(c.members) == 0 {
		return nil
	}
	if int(c.agent) >= len(c.members) || c.areNotes() && (c.agent >= 0 || c.state != stateNotes) {
		return c.broken(1, "the agent is no member")
	}
	if (c.state == 1 && c.agent >= 0) || (c.state == 2 && c.agent < 0) {
		return c.broken(2, "state and agent do not fit")
	}
	return c.checkParts()
}

func (c *conversation) checkParts() error {
	if uint64(len(c.recent())) > c.head {
		return c.broken(3, "the window holds more messages than there are")
	}
	for i, r := range c.recent() {
		if r.seq != c.floor()+1+uint64(i) {
			return c.broken(3, "the window has a hole")
		}
	}
	seen := map[uint64]bool{}
	for _, a := range c.attached {
		if seen[uint64(a.conn)] || int(a.member) >= len(c.members) {
			return c.broken(4, "an attachment is double or astray")
		}
		seen[uint64(a.conn)] = true
	}
	for _, m := range c.members {
		if m.read > m.delivered || m.delivered > c.head {
			return c.broken(5, "the marks of "+m.user+" do not fit")
		}
	}
	return nil
}

// check verifies the invariant of chunks, when so many conversations are in use and at least one chunk has room.
func (s *chunks) check(inUse int) error {
	room := 0
	for i, k := range s.open {
		if k.used == allUsed || slices.Contains(s.open[:i], k) {
			return fmt.Errorf("BUG: core: a chunk of conversations is full or twice among those with room")
		}
		room += chunkSize - bits.OnesCount64(k.used)
	}
	if (inUse+room)%chunkSize != 0 {
		return fmt.Errorf("BUG: core: %d conversations and %d free places do not make whole chunks: one is lost", inUse, room)
	}
	return nil
}

func (c *conversation) broken(n int, what string) error {
	return fmt.Errorf("BUG: core: conversation %s breaks invariant %d: %s", c.id, n, what)
}
