package escalate

// clock counts the milliseconds in which somebody could have acked: those of the clock on the wall, but for its jumps. A clock that is set back
// stands still until the next event; of one that jumps ahead, because it was set or the machine was suspended, only gap counts.
type clock struct {
	wall  int64 // of the last event, Unix
	awake int64
	gap   int64
}

func (c *clock) advance(wall int64) {
	c.awake += min(max(wall-c.wall, 0), c.gap)
	c.wall = wall
}
