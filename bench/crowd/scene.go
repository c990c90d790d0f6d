// Package crowd is what the scenarios with many clients have in common: a Scene, which is a fleet of loops that can fail and be waited
// for, and a User, which is one connection of one user that says hello and hands over the frames that come.
package crowd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/token"
)

// Subprotocol is what the users ask for.
const Subprotocol = "switchyard.v1.msgpack"

// look is how often a wait looks for its end. No result depends on it: what is measured is timed where it happens.
const look = 20 * time.Millisecond

// Config of a scene. The zero value of a field means its default.
type Config struct {
	URL       string        // ws://HOST:PORT/v1/ws
	Key       *token.Signer // signs the users' tokens; required
	Run       uint32        // names users, groups and bodies; default at random, so that no other run has met them
	Threads   int           // event loops; default 1
	PerSource int           // connections on each loopback source address; default 4,000

	Tune  func(fd int) error // prepares each socket before it connects; nil: nothing
	Watch meter.Watch        // gets a sample each second of a wait from the goroutine that waits; nil: nobody does
}

// Scene is the stage of one run. Its methods belong to the goroutine that made it, but for Fail. Its fields are fixed, but for what
// says otherwise.
type Scene struct {
	Fleet  *client.Fleet
	Target *client.Target
	Run    uint32 // names the run in users, groups and bodies; never 0

	// Show, if any, adds to a sample what the scenario has to show. Set it before the waits during which it is to be called, by who waits.
	Show func(*meter.Sample)

	cfg    Config
	failed chan error // holds the first failure that ends the run; later ones are dropped
	began  time.Time
	told   time.Time // of the last progress
}

// Play makes a scene for so many connections at most, lets run go on it, and ends it.
func Play(cfg Config, conns int, run func(*Scene) error) error {
	s, err := newScene(cfg, conns)
	if err != nil {
		return err
	}
	err = run(s)
	return errors.Join(err, s.stop())
}

// newScene starts the loops; stop ends them.
func newScene(cfg Config, conns int) (*Scene, error) {
	if cfg.Threads == 0 {
		cfg.Threads = 1
	}
	if cfg.PerSource == 0 {
		cfg.PerSource = 4000
	}
	if cfg.Key == nil {
		return nil, errors.New("no key to sign tokens with: give the server's key file")
	}
	if cfg.Threads < 0 || cfg.PerSource < 0 {
		return nil, errors.New("threads and connections per source must be positive")
	}
	if err := client.CheckDescriptors(conns); err != nil {
		return nil, err
	}
	target, err := client.ParseTarget(cfg.URL, Subprotocol)
	if err == nil {
		err = target.CheckPorts(conns, cfg.PerSource)
	}
	if err != nil {
		return nil, err
	}
	if cfg.Tune != nil {
		target = target.Tuned(cfg.Tune)
	}
	fleet, err := client.NewFleet(cfg.Threads)
	if err != nil {
		return nil, err
	}
	return &Scene{Fleet: fleet, Target: target, Run: cmp.Or(cfg.Run, rand.Uint32()|1), cfg: cfg, failed: make(chan error, 1), began: time.Now()}, nil
}

// stop closes all connections and waits for the loops.
func (s *Scene) stop() error { return s.Fleet.Stop() }

// Fail ends the run. Safe from any goroutine.
func (s *Scene) Fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Failed is the failure that ends the run, if nothing has waited since it happened.
func (s *Scene) Failed() error {
	select {
	case err := <-s.failed:
		return err
	default:
		return nil
	}
}

// Sum adds a figure over the loops, each asked on its own goroutine.
func (s *Scene) Sum(figure func(loop int) int64) int64 {
	parts := make([]int64, len(s.Fleet.Loops))
	s.Fleet.Each(func(i int, _ *client.Loop) { parts[i] = figure(i) })
	total := int64(0)
	for _, n := range parts {
		total += n
	}
	return total
}

// Wait lets the run go on until the figure has come to want. What names the figure to a person: "connections welcomed".
func (s *Scene) Wait(ctx context.Context, what string, want int64, within time.Duration, figure func(loop int) int64) error {
	have := int64(0)
	done, err := s.wait(ctx, within, func() bool {
		have = s.Sum(figure)
		s.tell(what, func() string { return fmt.Sprintf("%d of %d", have, want) })
		return have >= want
	})
	if err == nil && !done {
		err = fmt.Errorf("only %d of %d %s within %s", have, want, what, within)
	}
	return err
}

// Rest lets the run go on for a time.
func (s *Scene) Rest(ctx context.Context, what string, d time.Duration) error {
	_, err := s.wait(ctx, d, func() bool {
		s.tell(what, nil)
		return false
	})
	return err
}

// Until lets the run go on until done says so, at most for a time. The error is a failure of the run.
func (s *Scene) Until(ctx context.Context, what string, within time.Duration, done func() bool) (bool, error) {
	return s.wait(ctx, within, func() bool {
		s.tell(what, nil)
		return done()
	})
}

func (s *Scene) wait(ctx context.Context, within time.Duration, done func() bool) (bool, error) {
	end := time.NewTimer(within)
	defer end.Stop()
	again := time.NewTicker(look)
	defer again.Stop()
	for {
		select {
		case err := <-s.failed:
			return false, err
		case <-ctx.Done():
			return false, ctx.Err()
		case <-end.C:
			return done(), nil
		case <-again.C:
			if done() {
				return true, nil
			}
		}
	}
}

// tell shows a sample, once a second.
func (s *Scene) tell(phase string, note func() string) {
	if s.cfg.Watch == nil || time.Since(s.told) < time.Second {
		return
	}
	s.told = time.Now()
	sample := meter.Sample{Seconds: time.Since(s.began).Seconds(), Phase: phase, Counts: map[string]int64{}, Gauges: map[string]float64{}, Latencies: map[string]*report.Latency{}}
	if note != nil {
		sample.Note = note()
	}
	if s.Show != nil {
		s.Show(&sample)
	}
	s.cfg.Watch(sample)
}
