package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/meter"
)

// jobLoad is a load as it is handed to those who drive it.
type jobLoad struct {
	Name  string        `json:"name"`
	Start time.Duration `json:"start"`
	Args  []string      `json:"args"`          // scenario and flags
	Key   []byte        `json:"key,omitempty"` // of tokens; the text of the file that the flag --key names on the machine of the controller
}

// place is where loads are driven: all of them, or a part of each.
type place struct {
	index, of int
	gate      func(ctx context.Context, name string) error // opens when all places are at it; nil: there is only this
	watch     meter.Watch                                  // may be called from several goroutines
	chaos     *chaos.Run                                   // has the loads for victims; nil: none
}

// mix drives loads beside each other. Safe for concurrent use.
type mix struct {
	place
	began time.Time
	gates map[time.Duration]*gate // by start; fixed
	zero  chan struct{}           // closed at the beginning of the run, from which the starts count
}

// gate holds the loads of one start until all are ready.
type gate struct {
	mu      sync.Mutex
	missing int           // guarded by mu
	open    chan struct{} // closed when err is set
	err     error
}

// run drives all loads, in parallel, until the last has ended. The first that cannot go on ends all. The reports are in the order of the loads.
func (p place) run(ctx context.Context, all []jobLoad) ([]sharedOutcome, error) {
	m := &mix{place: p, began: time.Now(), gates: map[time.Duration]*gate{}, zero: make(chan struct{})}
	for _, l := range all {
		if m.gates[l.Start] == nil {
			m.gates[l.Start] = &gate{open: make(chan struct{})}
		}
		m.gates[l.Start].missing++
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	if m.gates[0] == nil {
		running.Go(func() { // ends when all places have begun, or with ctx
			if err := m.begin(ctx); err != nil {
				cancel(err)
			}
		})
	}
	found, errs := make([]sharedOutcome, len(all)), make([]error, len(all))
	for i, l := range all {
		running.Go(func() {
			if found[i], errs[i] = m.load(ctx, l); errs[i] != nil {
				if len(all) > 1 {
					errs[i] = fmt.Errorf("load %s: %w", l.Name, errs[i])
				}
				cancel(errs[i])
			}
		})
	}
	running.Wait()
	if errors.Join(errs...) != nil {
		return nil, context.Cause(ctx) // the first; others were cancelled by it
	}
	return found, nil
}

// load drives one.
func (m *mix) load(ctx context.Context, l jobLoad) (sharedOutcome, error) {
	if l.Start > 0 {
		if err := m.await(ctx, l.Start); err != nil {
			return nil, err
		}
	}
	command, err := parseLoad(l.Args)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	*command.server() = serverFlags{} // the server is watched by whoever runs the whole
	if len(l.Key) > 0 {
		file, err := hidden(l.Key)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		*command.keyFile() = file.Name()
	}
	p := &part{index: m.index, of: m.of, chaos: m.chaos, gate: func(ctx context.Context) error { return m.pass(ctx, l.Start) }, watch: func(s meter.Sample) {
		s.Load, s.Seconds = l.Name, time.Since(m.began).Seconds()
		m.watch(s)
	}}
	if err := command.Run(ctx, &terminal{part: p}); err != nil {
		return nil, err
	}
	return p.found, nil
}

// await waits for a time after the beginning.
func (m *mix) await(ctx context.Context, start time.Duration) error {
	select {
	case <-m.zero:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-time.After(start):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pass waits at the gate of a start.
func (m *mix) pass(ctx context.Context, start time.Duration) error {
	g := m.gates[start]
	g.mu.Lock()
	g.missing--
	last := g.missing == 0
	g.mu.Unlock()
	if last {
		g.err = m.through(ctx, start)
		close(g.open)
	}
	select {
	case <-g.open:
		return g.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// through waits for the other places, and begins the run if this is the first start.
func (m *mix) through(ctx context.Context, start time.Duration) error {
	if start == 0 {
		return m.begin(ctx)
	}
	if m.gate == nil {
		return nil
	}
	return m.gate(ctx, start.String())
}

func (m *mix) begin(ctx context.Context) error {
	if m.gate != nil {
		if err := m.gate(ctx, time.Duration(0).String()); err != nil {
			return err
		}
	}
	close(m.zero)
	return nil
}
