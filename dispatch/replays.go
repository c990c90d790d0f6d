package dispatch

import (
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// replays is what is to be replayed to one connection, piece by piece: the first is under way. The next one is read when the kernel has
// taken the one before, so that a client that missed much and reads slowly neither fills memory nor is closed as a slow consumer.
// Owned by the connection's loop. Bounded by Config.AttachMax: who asks for more at a time without reading is closed as a slow consumer.
type replays struct{ jobs []core.Job }

// pace puts a replay behind the others of its connection. On its loop.
func (js *jobs) pace(c Conn, j core.Job) {
	s := c.Data().(*session)
	r := &s.rarely().replays
	if len(r.jobs) > js.center.cfg.AttachMax {
		c.Close(frame.CloseSlowConsumer, "too many replays wait")
		return
	}
	r.jobs = append(r.jobs, j)
	if len(r.jobs) == 1 {
		js.nextReplay(c, r)
	}
}

func (js *jobs) nextReplay(c Conn, r *replays) {
	c.AfterWriting(func() { js.queue(r.jobs[0]) })
}

// paced goes on after a piece was written to its connection, or given up. On its loop.
func (js *jobs) paced(c Conn) {
	s := c.Data().(*session)
	r := &s.rare.replays
	if r.jobs = r.jobs[1:]; len(r.jobs) == 0 {
		s.tidy()
		return
	}
	js.nextReplay(c, r)
}
