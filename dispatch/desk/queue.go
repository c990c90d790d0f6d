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
	g.queue.insert(&c.inGroup)
	if opens := g.opensFor(c.atMS, d.now); opens == 0 {
		d.waitForAgent(c)
	} else if d.waitForOpening(c, opens); why == NobodyFree {
		why = OutOfHours
	}
	c.explainWaiting(why)
	if d.telling && len(g.fresh) < maxFresh {
		g.fresh = append(g.fresh, c)
	}
	d.changed(c, Added)
	d.schedule(c)
	return true
}

func (g *group) hasRoom() bool { return g.cfg.MaxQueue == 0 || g.queue.len() < g.cfg.MaxQueue }

// ready is how many wait for an agent.
func (g *group) ready() int { return g.queue.len() - g.early.len() }

// waitForAgent puts a conversation that is in its group's queue where agents find it.
func (d *Desk) waitForAgent(c *conversation) {
	if c.group.ready() == 1 {
		c.group.busySinceMS = d.now
	}
	c.lane.waiting.insert(&c.inLane)
}

func (d *Desk) dequeue(c *conversation) {
	g := c.group
	g.queue.remove(&c.inGroup)
	if c.early {
		d.stopWaitingForOpening(c)
	} else if c.lane.waiting.remove(&c.inLane); g.ready() == 0 {
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
