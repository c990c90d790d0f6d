package idle

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
)

// openAll dials everything and waits until all have reached their state.
func (r *run) openAll(ctx context.Context, rep *Report) error {
	from := client.Now()
	r.fleet.Each(func(i int, l *client.Loop) {
		o := &opener{run: r, loop: l, next: i*r.cfg.Of + r.cfg.Part, from: from}
		o.timer.Fire = o.open
		o.open()
	})
	ramp, _ := r.cfg.Ramp.Due(int64(r.cfg.Conns - 1))
	late := time.NewTimer(time.Duration(ramp) + r.cfg.OpenWithin)
	defer late.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for r.open < r.cfg.own() {
		select {
		case <-r.ready:
			r.open++
		case err := <-r.failed:
			return fmt.Errorf("idle: cannot open %d connections to %s (is the server running, and does it allow as many?): %w", r.cfg.Conns, r.cfg.URL, err)
		case <-late.C:
			return fmt.Errorf("idle: only %d of %d connections were ready within %s", r.open, r.cfg.own(), r.cfg.OpenWithin)
		case <-tick.C:
			r.show("connecting")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	rep.OpenSeconds = float64(client.Now()-from) / 1e9
	return nil
}

// tick is the least time between two wake-ups of an opener, in nanoseconds.
const tick = 1_000_000

// opener dials the connections of one loop, at once or as the ramp says. Owned by the loop.
type opener struct {
	run   *run
	loop  *client.Loop
	next  int   // the next connection; the loops of all processes take them in turn
	from  int64 // when the ramp began
	timer client.Timer
}

func (o *opener) open() {
	now := client.Now()
	for ; o.next < o.run.cfg.Conns; o.next += len(o.run.fleet.Loops) * o.run.cfg.Of {
		if at, ok := o.run.cfg.Ramp.Due(int64(o.next)); ok && o.from+at > now {
			o.loop.Arm(&o.timer, max(o.from+at, now+tick))
			return
		}
		if err := o.run.dial(o.loop, o.next); err != nil {
			o.run.fail(err)
			return
		}
	}
}
