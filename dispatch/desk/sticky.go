package desk

import "maps"

// StickyMost bounds what is remembered of visitors; the older half is forgotten at once.
const (
	StickyMost = 100_000
	stickyHalf = StickyMost / 2
)

// sticky remembers who served a visitor last. After a restart it knows what Remember is told.
type sticky struct{ young, old map[stickyKey]lastServed }

type stickyKey struct{ group, visitor string }

type lastServed struct {
	agent   string
	untilMS int64
}

func (s *sticky) put(k stickyKey, v lastServed) {
	if len(s.young) >= stickyHalf {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = make(map[stickyKey]lastServed)
	}
	s.young[k] = v
}

// get returns the agent, empty if nobody served the visitor or it is too long ago.
func (s *sticky) get(k stickyKey, now int64) string {
	v, ok := s.young[k]
	if !ok {
		v = s.old[k]
	}
	if v.untilMS <= now {
		return ""
	}
	return v.agent
}

// Remember tells who served a visitor until when; at a start, what was remembered before, the oldest first.
func (d *Desk) Remember(group, visitor, agent string, endedMS int64) {
	if d.cfg.Remembers(group, endedMS, d.now) {
		d.sticky.put(stickyKey{group, visitor}, lastServed{agent, endedMS + d.cfg.group(group).StickyMS})
	}
}

// Remembers tells whether what ended then still counts in the group.
func (c Config) Remembers(group string, endedMS, nowMS int64) bool {
	keep := c.group(group).StickyMS
	return keep > 0 && endedMS+keep > nowMS
}

// ForgetUser forgets who served the visitor, and whom the agent served, of this name, and what was said of that agent unless it is there.
func (d *Desk) ForgetUser(name string) {
	of := func(k stickyKey, v lastServed) bool { return k.visitor == name || v.agent == name }
	maps.DeleteFunc(d.sticky.young, of)
	maps.DeleteFunc(d.sticky.old, of)
	if a := d.agents[name]; a != nil && !a.up {
		a.manual, a.said = false, 0
		d.dropAgent(a)
	}
}

// lastAgent returns the free agent who served the visitor last and may serve it again, nil if there is none.
func (d *Desk) lastAgent(c *conversation) *seat {
	if c.group.cfg.StickyMS == 0 {
		return nil
	}
	a := d.agents[d.sticky.get(stickyKey{c.group.name, c.visitor}, d.now)]
	if a == nil || !a.offered || !c.mayGoTo(a) {
		return nil
	}
	return a.seat(c.lane)
}
