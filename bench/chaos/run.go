package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/spawn"
)

// Config of a Run. The zero value of a field means none.
type Config struct {
	Plan Plan
	Seed uint64 // of the moments and of what is cut; 0: a random one, see Report

	URL       string    // ws://HOST:PORT/PATH where the server listens
	Serve     string    // the command that starts the server, by the shell; without it the server runs already, and all that can be done is to cut
	ServerLog io.Writer // gets the server's output

	ClickHouse    string // the command that starts ClickHouse, by the shell
	ClickHousePID int    // or the process that is it; then it can be paused, and not killed

	Event    func(name string) // told what begins; from any goroutine, as the next; nil: nobody
	Progress func(line string) // told what happens; it must not call the Run; nil: nobody
}

func (c *Config) check() error {
	if err := c.Plan.Check(); err != nil {
		return err
	}
	switch p := c.Plan; {
	case p.ofServer() && c.Serve == "":
		return errors.New("chaos: the server that is killed, drained or paused must be started by the run: give its command with --serve, and leave --server-pid out")
	case c.ClickHouse != "" && c.ClickHousePID != 0:
		return errors.New("chaos: ClickHouse is either started by its command or there already: give --clickhouse or --clickhouse-pid")
	case p.ClickHouse.Every > 0 && c.ClickHouse == "" && c.ClickHousePID == 0:
		return errors.New("chaos: which ClickHouse is stopped? Give its command with --clickhouse, or its process with --clickhouse-pid")
	case c.ClickHousePID != 0 && p.ClickHouse.Mode != "pause" && p.ClickHouse.Mode != "":
		return errors.New("chaos: a ClickHouse that the run has not started can only be paused: use mode=pause, or --clickhouse COMMAND")
	}
	return nil
}

// Run is the trouble of one run, or none: its methods do nothing for a nil Run.
type Run struct {
	// Fixed after construction.
	cfg     Config
	seed    uint64
	server  *spawn.Server // owned by the server's goroutine while there are members; nil: not ours
	history *warehouse    // owned by ClickHouse's goroutine while there are members; nil: none

	stop context.CancelFunc // ends the goroutines; of the goroutine that joins and leaves
	work sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	began   time.Time // the first member joined; zero: none did
	members map[*Member]bool
	journal journal
	failed  error // ends the run
}

// New checks the configuration.
func New(cfg Config) (*Run, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.ClickHousePID != 0 {
		cfg.Plan.ClickHouse.Mode = "pause"
	}
	target, err := client.ParseTarget(cfg.URL, "")
	if err != nil {
		return nil, err
	}
	cfg.Plan = cfg.Plan.withDefaults()
	r := &Run{cfg: cfg, seed: cfg.Seed, members: map[*Member]bool{}, journal: newJournal()}
	for r.seed == 0 {
		r.seed = rand.Uint64() >> 11 // exact in JSON
	}
	if cfg.Serve != "" {
		r.server = &spawn.Server{Command: cfg.Serve, Address: target.Addr().String(), Log: cfg.ServerLog}
	}
	if cfg.ClickHouse != "" || cfg.ClickHousePID != 0 {
		r.history = &warehouse{command: cfg.ClickHouse, pid: cfg.ClickHousePID, log: cfg.ServerLog}
	}
	return r, nil
}

// Start starts ClickHouse and the server, as far as they are ours. Close ends them, also after a Start that failed.
func (r *Run) Start(ctx context.Context) error {
	if r == nil {
		return nil
	}
	if r.history != nil {
		if err := r.history.start(); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
	}
	if r.server == nil {
		return nil
	}
	if err := r.server.Start(ctx); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return nil
}

// Close ends what Start started. All members have left.
func (r *Run) Close() error {
	if r == nil {
		return nil
	}
	var err error
	if r.server != nil {
		err = r.server.Kill()
	}
	if r.history != nil {
		err = errors.Join(err, r.history.end())
	}
	return err
}

// Source observes the server over its restarts; nil if the run does not start it.
func (r *Run) Source() observe.Source {
	if r == nil || r.server == nil {
		return nil
	}
	return r.server
}

// begin starts the trouble.
func (r *Run) begin() {
	if r.began.IsZero() {
		r.began = time.Now()
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	plan := &r.cfg.Plan
	if r.server != nil {
		r.work.Go(func() { r.follow(ctx, r.onServer, r.random(1), plan, Kill, Drain, Pause) })
	}
	if r.history != nil {
		r.work.Go(func() { r.follow(ctx, r.onClickHouse, r.random(2), plan, ClickHouse) })
	}
	if plan.Cut.Every > 0 {
		r.work.Go(func() { r.follow(ctx, r.onClients, r.random(3), plan, Cut) })
	}
}

// random is one of the sources that the seed stands for.
func (r *Run) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, stream)) }

// victim does one trouble, or looks after the victim while e is nil. It returns when the trouble is over; at the end of ctx soon.
type victim func(ctx context.Context, random *rand.Rand, e *entry) error

// follow does what is due to a victim until ctx ends.
func (r *Run) follow(ctx context.Context, do victim, random *rand.Rand, plan *Plan, kinds ...Kind) {
	table, began := newTimetable(random, plan, kinds...), time.Now()
	for pause(ctx, table.wait(time.Since(began))) {
		e := table.due(time.Since(began))
		if err := do(ctx, random, e); err != nil {
			r.fail(fmt.Errorf("chaos: %w", err))
			return
		}
		if e != nil {
			table.advance(e, time.Since(began))
		}
	}
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// fail ends the run at the next look.
func (r *Run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
}

// say tells a line.
func (r *Run) say(format string, args ...any) {
	if r.cfg.Progress != nil {
		r.cfg.Progress(fmt.Sprintf(format, args...))
	}
}
