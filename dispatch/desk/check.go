package desk

import "fmt"

// Check verifies the invariants; tests call it after every step.
func (d *Desk) Check() error {
	if d.came-d.went != uint64(len(d.convs)) {
		return fmt.Errorf("invariant 6: %d came, %d went, %d are open", d.came, d.went, len(d.convs))
	}
	waiting, served := 0, 0
	for id, c := range d.convs {
		if err := d.checkConversation(c); err != nil {
			return fmt.Errorf("%w: conversation %s", err, id)
		}
	}
	for name, a := range d.agents {
		if err := d.checkAgent(a); err != nil {
			return fmt.Errorf("%w: agent %s", err, name)
		}
		served += a.load()
	}
	for name, g := range d.groups {
		if err := d.checkGroup(g); err != nil {
			return fmt.Errorf("%w: group %s", err, name)
		}
		waiting += g.queue.len()
	}
	if waiting+served != len(d.convs) {
		return fmt.Errorf("invariant 3: %d wait, %d are served, %d are open", waiting, served, len(d.convs))
	}
	return nil
}

func (d *Desk) checkConversation(c *conversation) error {
	var set int64
	if c.rare != nil && c.rare.deadline.in() {
		set = c.rare.deadline.atMS
	}
	if due := c.dueMS(); set != due || due != 0 && due <= d.now {
		return fmt.Errorf("invariant 7: due at %d, set to %d, now %d", due, set, d.now)
	}
	switch {
	case c.queued() == (c.agent != nil) || c.queued() != c.inLane.in():
		return fmt.Errorf("invariant 3: queued %v, in a lane %v, agent %v", c.queued(), c.inLane.in(), c.agent)
	case c.agent != nil && (int(c.slot) >= c.agent.load() || c.agent.convs[c.slot] != c || d.agents[c.agent.name] != c.agent):
		return fmt.Errorf("invariant 1: not in slot %d of agent %s", c.slot, c.agent.name)
	case c.queued() && c.lane.group != c.group || d.groups[c.group.name] != c.group:
		return fmt.Errorf("invariant 3: astray from group %s", c.group.name)
	case c.early != (c.queued() && d.tooEarly(c)):
		return fmt.Errorf("invariant 8: it waits for the opening %v, too early %v", c.early, d.tooEarly(c))
	}
	return nil
}

func (d *Desk) checkAgent(a *agent) error {
	if a.offered != d.free(a) {
		return fmt.Errorf("invariant 5: offered %v, free %v", a.offered, d.free(a))
	}
	for _, s := range a.seats {
		if s.in() != a.offered {
			return fmt.Errorf("invariant 5: offered %v, in the lane %q %v", a.offered, s.lane.key, s.in())
		}
	}
	if a.grace.in() && (a.up || a.grace.atMS <= d.now) || !a.up && a.load() > 0 && !a.grace.in() && d.cfg.OfflineGraceMS > 0 {
		return fmt.Errorf("invariant 7: connected %v, serves %d, grace %v until %d, now %d", a.up, a.load(), a.grace.in(), a.grace.atMS, d.now)
	}
	if c := a.next(); c != nil && d.free(a) {
		return fmt.Errorf("invariant 4: it is free although %s waits", c.id)
	}
	return nil
}

func (d *Desk) checkGroup(g *group) error {
	waiting, convs, early := 0, 0, 0
	for _, c := range d.convs {
		if c.group == g {
			convs++
		}
	}
	for _, l := range g.lanes {
		waiting += l.waiting.len() + l.early
		early += l.early
		seats := 0
		for a := range g.agents {
			for _, s := range a.seats {
				if s.lane == l {
					seats++
				}
			}
		}
		if seats != l.seats {
			return fmt.Errorf("invariant 5: lane %q has %d seats, its agents have %d", l.key, l.seats, seats)
		}
	}
	if waiting != g.queue.len() || convs != g.convs {
		return fmt.Errorf("invariant 3: %d wait, %d in lanes; %d are open, %d counted", g.queue.len(), waiting, convs, g.convs)
	}
	if early != g.early.len() {
		return fmt.Errorf("invariant 8: %d wait for the opening, %d in lanes", g.early.len(), early)
	}
	if due := g.opening.in(); due && (early == 0 || g.opening.atMS <= d.now) {
		return fmt.Errorf("invariant 7: %d wait for the opening at %d, now %d", early, g.opening.atMS, d.now)
	}
	return nil
}
