package desk

import "fmt"

// Check verifies the invariants; tests call it after every step.
func (d *Desk) Check() error {
	loads := map[*agent]int{}
	for id, c := range d.convs {
		if (c.index >= 0) == (c.agent != nil) {
			return fmt.Errorf("invariant 3: conversation %s is queued (%d) and has an agent (%v)", id, c.index, c.agent)
		}
		if c.agent != nil {
			loads[c.agent]++
		}
	}
	for name, a := range d.agents {
		if a.load != loads[a] {
			return fmt.Errorf("invariant 1: agent %s has load %d, %d conversations name it", name, a.load, loads[a])
		}
	}
	for name, g := range d.groups {
		for i, c := range g.queue {
			if c.index != i || d.convs[c.id] != c {
				return fmt.Errorf("invariant 3: group %s: entry %d of the queue is astray", name, i)
			}
			if a := d.best(g, c.visitor); a != nil {
				return fmt.Errorf("invariant 4: group %s: %s waits although agent %s is free", name, c.id, a.name)
			}
		}
	}
	return nil
}
