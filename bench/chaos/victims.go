package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/switchyard-im/switchyard/bench/spawn"
)

// endWithin is how long a server may take to end after SIGTERM, for which its own limits are shorter.
const endWithin = time.Minute

// serverTroubles are what charts and lines call them.
var serverTroubles = map[Kind]string{Kill: "kill -9", Drain: "drain", Pause: "pause"}

// onServer is the victim of kills, drains and pauses. A server that ends by itself is a failure; it is started again, so that the run shows what that does.
func (r *Run) onServer(ctx context.Context, _ *rand.Rand, e *entry) error {
	if r.server.Process().Ended() {
		r.server.Ended()
		r.failure(fmt.Sprintf("the server ended by itself: %s", r.server.Process().State()))
		return r.restart(context.WithoutCancel(ctx))
	}
	if e == nil {
		return nil
	}
	o := r.happens(e.kind, serverTroubles[e.kind])
	err := r.harm(ctx, e)
	r.over(o)
	return err
}

// harm does one trouble to the server and undoes it. What was begun is ended whatever happens to ctx.
func (r *Run) harm(ctx context.Context, e *entry) error {
	lasting := context.WithoutCancel(ctx)
	switch e.kind {
	case Pause:
		return stand(ctx, r.server.Process(), e.For)
	case Kill:
		if err := r.server.Kill(); err != nil {
			return err
		}
	default:
		if err := r.drain(lasting); err != nil {
			return err
		}
	}
	return r.restart(lasting)
}

// restart starts the server again, which must come back.
func (r *Run) restart(ctx context.Context) error {
	if err := r.server.Start(ctx); err != nil {
		return fmt.Errorf("the server does not come back: %w", err)
	}
	return nil
}

// drain ends the server with SIGTERM, after which it must exit with 0.
func (r *Run) drain(ctx context.Context) error {
	if err := r.server.End(ctx, syscall.SIGTERM, endWithin); err != nil {
		r.failure(err.Error())
		return r.server.Kill()
	}
	if state := r.server.Process().State(); !state.Success() {
		r.failure(fmt.Sprintf("the server did not end in order after SIGTERM: %s", state))
	}
	return nil
}

// stand stops a process for a while.
func stand(ctx context.Context, p *spawn.Process, d time.Duration) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, d)
	return p.Signal(syscall.SIGCONT)
}

// onClients is the victim of cuts: each member resets its own connections at its next look.
func (r *Run) onClients(_ context.Context, _ *rand.Rand, e *entry) error {
	if e == nil {
		return nil
	}
	o := r.happens(Cut, string(Cut))
	r.mu.Lock()
	defer r.mu.Unlock()
	o.waiting = len(r.members)
	for m := range r.members {
		m.cuts = append(m.cuts, o)
	}
	return nil
}

// warehouse is the ClickHouse of a run.
type warehouse struct {
	command string
	pid     int // of one that was there already; 0: ours
	log     io.Writer
	process *spawn.Process
}

func (w *warehouse) start() (err error) {
	if w.pid != 0 {
		return syscall.Kill(w.pid, 0) // whether it is there
	}
	w.process, err = spawn.Start(w.command, w.log)
	return err
}

func (w *warehouse) end() error {
	if w.process == nil {
		return nil
	}
	return w.process.Kill()
}

// again is how long a ClickHouse that ended by itself stays away.
const again = time.Second

// onClickHouse is the victim of outages of the history. A ClickHouse that ends by itself is started again, and that is told: it is not what is tested.
func (r *Run) onClickHouse(ctx context.Context, random *rand.Rand, e *entry) error {
	w := r.history
	if w.process != nil && w.process.Ended() {
		r.say("ClickHouse ended by itself (%s); it is started again", w.process.State())
		pause(ctx, again)
		return w.start()
	}
	if e == nil {
		return nil
	}
	kill := e.Mode == "kill" || e.Mode == "any" && random.IntN(2) == 0
	o := r.happens(ClickHouse, map[bool]string{false: "clickhouse pause", true: "clickhouse kill"}[kill])
	err := w.harm(ctx, kill, e.For)
	r.over(o)
	return err
}

// harm takes ClickHouse away for a while.
func (w *warehouse) harm(ctx context.Context, kill bool, d time.Duration) error {
	switch {
	case !kill && w.process != nil:
		return stand(ctx, w.process, d)
	case !kill:
		if err := syscall.Kill(w.pid, syscall.SIGSTOP); err != nil {
			return fmt.Errorf("chaos: ClickHouse, process %d: %w", w.pid, err)
		}
		pause(ctx, d)
		return syscall.Kill(w.pid, syscall.SIGCONT)
	}
	if err := w.process.Kill(); err != nil {
		return err
	}
	pause(ctx, d)
	return w.start()
}
