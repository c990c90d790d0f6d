package desk

// stickyHalf bounds what is remembered of visitors: twice as many; the older half is forgotten at once.
const stickyHalf = 50_000

// sticky remembers who served a visitor last. Not across restarts, unless Remember is called.
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

// Remember tells who served a visitor until when; for a start, when conversations that ended are read from the store.
func (d *Desk) Remember(group, visitor, agent string, endedMS int64) {
	if keep := d.cfg.group(group).StickyMS; keep > 0 {
		d.sticky.put(stickyKey{group, visitor}, lastServed{agent, endedMS + keep})
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
