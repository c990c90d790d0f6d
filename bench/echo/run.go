package echo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/saturation"
)

// Run opens the connections, runs the load and returns what it measured. Wrong answers are counted in the report; the error is a run that
// could not take place.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	target, err := client.ParseTarget(cfg.URL, "")
	if err == nil {
		err = target.CheckPorts(cfg.Conns, cfg.PerSource)
	}
	if err != nil {
		return nil, err
	}
	fleet, err := client.NewFleet(cfg.Threads)
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, target: target, fleet: fleet, opened: make(chan struct{}, cfg.own()), failed: make(chan error, 1), began: time.Now()}
	rep, err := r.do(ctx)
	return rep, errors.Join(err, fleet.Stop())
}

// run is one run. Its fields are set before the loops see it.
type run struct {
	cfg    Config
	target *client.Target
	fleet  *client.Fleet
	shares []*share
	opened chan struct{} // one element for each connection that opens
	failed chan error    // the first failure of a dial
	began  time.Time
}

func (r *run) do(ctx context.Context) (*Report, error) {
	for _, l := range r.fleet.Loops {
		r.shares = append(r.shares, newShare(r, l))
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if r.cfg.Gate != nil {
		if err := r.cfg.Gate(ctx); err != nil {
			return nil, err
		}
	}
	begin := client.Now()
	r.fleet.Each(func(i int, _ *client.Loop) { r.shares[i].start(begin) })
	r.watch(ctx, "warming up", r.cfg.Warmup, nil)
	before, cpu, began, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	loops := saturation.Start(r.fleet)
	r.fleet.Each(func(i int, _ *client.Loop) { r.shares[i].measure(began) })
	r.watch(ctx, "measuring", r.cfg.Duration, nil)
	after, cpuAfter, ended, err := r.read(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	r.fleet.Each(func(i int, _ *client.Loop) { r.shares[i].finish(ended) })
	generator := loops.Stop()
	r.watch(context.WithoutCancel(ctx), "draining", r.cfg.Drain, r.drained)
	rep := r.collect()
	rep.Seconds = float64(ended-began) / 1e9
	rep.Rate = float64(rep.Messages) / rep.Seconds
	rep.ClientCPUSeconds = cpuAfter - cpu
	rep.ClientCPUUS = report.PerMessage(rep.ClientCPUSeconds, rep.Messages)
	rep.Generator = generator
	rep.Generator.Judge(rep.RTT, rep.Late)
	if r.cfg.Server != nil {
		used, err := observe.Between(before, after)
		if err != nil {
			return nil, err
		}
		rep.Server = &report.Server{RSSBytes: used.RSSBytes, CPUSeconds: used.CPUSeconds, CPUUSPerMessage: report.PerMessage(used.CPUSeconds, rep.Messages), GCShare: report.Share(used.GCSeconds, used.CPUSeconds)}
	}
	return rep, nil
}

// drained tells whether everything that was due, or sent, is answered.
func (r *run) drained() bool {
	done := make([]bool, len(r.shares))
	r.fleet.Each(func(i int, _ *client.Loop) { done[i] = r.shares[i].admitted() && r.shares[i].unanswered() == 0 })
	return !slices.Contains(done, false)
}

// open dials everything and waits until all are open.
func (r *run) open(ctx context.Context) error {
	r.fleet.Each(func(i int, _ *client.Loop) {
		for n := i*r.cfg.Of + r.cfg.Part; n < r.cfg.Conns; n += len(r.fleet.Loops) * r.cfg.Of {
			r.shares[i].add(n)
		}
	})
	late := time.NewTimer(r.cfg.OpenWithin)
	defer late.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; n < r.cfg.own(); {
		select {
		case <-r.opened:
			n++
		case <-tick.C:
			r.show("connecting")
		case err := <-r.failed:
			return fmt.Errorf("echo: cannot connect to %s (is the server running?): %w", r.cfg.URL, err)
		case <-late.C:
			return fmt.Errorf("echo: only %d of %d connections opened within %s", n, r.cfg.own(), r.cfg.OpenWithin)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// look is how often a wait looks for its end, which no result depends on.
const look = 20 * time.Millisecond

// watch lets the run go on for d, until done (if any) says so, or until ctx ends, and shows a sample each second.
func (r *run) watch(ctx context.Context, phase string, d time.Duration, done func() bool) {
	end := time.NewTimer(d)
	defer end.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	again := time.NewTicker(look)
	defer again.Stop()
	for done == nil || !done() {
		select {
		case <-end.C:
			return
		case <-ctx.Done():
			return
		case <-second.C:
			r.show(phase)
		case <-again.C:
		}
	}
}

func (r *run) show(phase string) {
	if r.cfg.Watch == nil {
		return
	}
	parts := make([]meter.Sample, len(r.shares))
	r.fleet.Each(func(i int, _ *client.Loop) { parts[i] = r.shares[i].sample() })
	sum := meter.Sample{Phase: phase, Seconds: time.Since(r.began).Seconds()}
	for i := range parts {
		sum.Add(&parts[i])
	}
	r.cfg.Watch(sum)
}

// read takes the server's usage, this process's CPU and the time.
func (r *run) read(ctx context.Context) (server observe.Usage, cpu float64, at int64, err error) {
	if r.cfg.Server != nil {
		server, err = r.cfg.Server.Read(ctx)
	}
	return server, observe.Self(), client.Now(), err
}

// stop ends the load, and tells whether everything that was due has been admitted.
func (r *run) stop() bool {
	done := make([]bool, len(r.shares))
	r.fleet.Each(func(i int, _ *client.Loop) {
		done[i] = r.shares[i].admitted()
		r.shares[i].stop()
	})
	return !slices.Contains(done, false)
}

func (r *run) collect() *Report {
	cfg := &r.cfg
	rep := &Report{Conns: cfg.own(), Active: cfg.ownActive(), Inflight: cfg.Inflight, Size: cfg.Size}
	part := report.Share(float64(rep.Active), float64(cfg.Active))
	if !cfg.Rate.Never() {
		rep.Target = cfg.Rate.Mean(cfg.Warmup, cfg.Warmup+max(cfg.Duration, 1)) * part
	}
	if len(cfg.Rate.Points()) > 1 {
		rep.Ramp = cfg.Rate.String()
	}
	rtt, late := report.NewLatency(), report.NewLatency()
	admitted := r.stop()
	for _, s := range r.shares {
		rep.Messages += s.echoed
		rep.Errors += s.errors
		rep.Unanswered += s.unanswered()
		if rep.FirstError == "" {
			rep.FirstError = s.firstError
		}
		rtt.Merge(s.rtt)
		late.Merge(s.late)
	}
	if !admitted { // hopelessly behind: those that were never looked at are counted by their rate
		due := int64(cfg.Rate.Count(time.Duration(r.shares[0].end-r.shares[0].begin)) * part)
		for _, s := range r.shares {
			due -= s.slot
		}
		rep.Unanswered += max(due, 0)
	}
	if rep.Errors += rep.Unanswered; rep.Unanswered > 0 && rep.FirstError == "" {
		rep.FirstError = fmt.Sprintf("%d messages were due and not answered within %s after the end", rep.Unanswered, cfg.Drain)
	}
	rep.RTT, rep.Late, rep.curves = rtt.Percentiles(), late.Percentiles(), map[string]*report.Latency{"rtt": rtt}
	if late.Count() > 0 {
		rep.curves["late"] = late
	}
	return rep
}
