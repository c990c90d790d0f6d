package desk

// enqueue puts the conversation into its group's queue; false if there is no room, which force overrides.
func (d *Desk) enqueue(c *conversation, why Reason, force bool) bool {
	g := c.group
	if !force && !g.hasRoom() {
		return false
	}
	if c.lane = d.lane(g, c.need, force); c.lane == nil {
		return false
	}
	c.explainWaiting(why)
	if g.queue.len() == 0 {
		g.busySinceMS = d.now
	}
	g.queue.insert(&c.inGroup)
	c.lane.waiting.insert(&c.inLane)
	if d.telling && len(g.fresh) < maxFresh {
		g.fresh = append(g.fresh, c)
	}
	d.changed(c, Added)
	d.schedule(c)
	return true
}

func (g *group) hasRoom() bool { return g.cfg.MaxQueue == 0 || g.queue.len() < g.cfg.MaxQueue }

func (d *Desk) dequeue(c *conversation) {
	g := c.group
	g.queue.remove(&c.inGroup)
	c.lane.waiting.remove(&c.inLane)
	if g.queue.len() == 0 {
		g.busyMS += d.now - g.busySinceMS
	}
	c.lane, c.told = nil, 0
	d.changed(c, Removed)
}

func (c *conversation) queued() bool { return c.inGroup.in() }

// changed notes a change of a queue.
func (d *Desk) changed(c *conversation, op Op) {
	g := c.group
	g.version++
	g.unseen = g.queue.len()
	d.moved[g.name] = struct{}{}
	if g.watchers > 0 {
		d.deltas = append(d.deltas, Delta{Group: g.name, Version: g.version, Op: op, Total: g.queue.len(), Entry: c.entry()})
	}
}
