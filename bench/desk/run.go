package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/saturation"
)

// run is one run. Owned by the goroutine of Run.
type run struct {
	cfg    Config
	scene  *crowd.Scene
	shares []*share
	began  time.Time
	shown  time.Time
	phase  string

	trouble *chaos.Member // while it goes on; nil: there is none
}

// Run drives the load and returns the oracle's verdict with the figures; see Report.OK. If ctx ends while the load runs, the run ends early with
// a report. The error is a run that could not take place or could not go on; it says what to do about it.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	rep := newReport(&cfg)
	scene := crowd.Config{URL: cfg.URL, Key: cfg.Key, Threads: cfg.Threads, PerSource: cfg.PerSource}
	err := crowd.Play(scene, (cfg.Agents+cfg.Visitors+cfg.Of-1)/cfg.Of, func(s *crowd.Scene) error {
		r := &run{cfg: cfg, scene: s, began: time.Now()}
		return r.do(ctx, rep)
	})
	if err != nil {
		return nil, err
	}
	return rep, nil
}

func (r *run) do(ctx context.Context, rep *Report) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	if r.cfg.Gate != nil {
		if err := r.cfg.Gate(ctx); err != nil {
			return err
		}
	}
	begin := client.Now()
	r.each(func(s *share) { s.start(begin) })
	if err := r.wait(ctx, "warming up", r.cfg.Warmup, nil); err != nil {
		return err
	}
	if r.cfg.Begin != nil {
		r.cfg.Begin()
	}
	r.trouble = r.cfg.Chaos.Join(r.cut)
	err := r.measure(ctx, rep)
	err = errors.Join(err, r.trouble.Leave())
	if r.trouble = nil; err != nil {
		return err
	}
	r.each((*share).finish)
	all := func() bool { return r.sum((*share).under) == 0 }
	if err := r.wait(context.WithoutCancel(ctx), "draining", r.cfg.Drain, all); err != nil {
		return err
	}
	if r.cfg.Watch != nil {
		r.sample() // the totals
	}
	return r.collect(ctx, rep)
}

// connect makes the groups and gets all agents online.
func (r *run) connect(ctx context.Context) error {
	names := r.cfg.GroupNames
	for n := len(names); n < r.cfg.Groups; n++ {
		names = append(names, fmt.Sprintf("bench-%08x-g%d", r.scene.Run, n))
	}
	for i, l := range r.scene.Fleet.Loops {
		r.shares = append(r.shares, newShare(&r.cfg, r.scene, l, i*r.cfg.Of+r.cfg.Part))
	}
	r.each(func(s *share) {
		if err := s.connect(names); err != nil {
			r.scene.Fail(err)
		}
	})
	agents := r.sum(func(s *share) int64 { return int64(len(s.agents)) })
	online := func() bool { return r.sum(func(s *share) int64 { return s.online }) == agents }
	if err := r.wait(ctx, "connecting", r.cfg.Within, online); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if n := r.sum(func(s *share) int64 { return s.online }); n < agents {
		return fmt.Errorf("desk: only %d of %d agents were online within %s", n, agents, r.cfg.Within)
	}
	return nil
}

// each runs fn on every share's loop and waits.
func (r *run) each(fn func(s *share)) {
	r.scene.Fleet.Each(func(i int, _ *client.Loop) { fn(r.shares[i]) })
}

// sum adds a figure over the shares.
func (r *run) sum(fn func(s *share) int64) int64 {
	return r.scene.Sum(func(i int) int64 { return fn(r.shares[i]) })
}

// wait lets the run go on for d, until done (if any) says so, or until ctx ends, and shows a sample each second.
func (r *run) wait(ctx context.Context, phase string, d time.Duration, done func() bool) error {
	r.phase = phase
	_, err := r.scene.Until(ctx, phase, d, func() bool {
		r.show()
		r.look()
		return done != nil && done()
	})
	if ctx.Err() != nil && err == ctx.Err() {
		return nil
	}
	return err
}

// cut resets a share of the connections.
func (r *run) cut(part float64) int {
	return int(r.sum(func(s *share) int64 { return int64(s.loop.Cut(part, s.random)) }))
}

// look does what the trouble wants to be done to the clients.
func (r *run) look() {
	if r.trouble == nil {
		return
	}
	offline := r.sum((*share).offline)
	accepted := r.sum(func(s *share) int64 { return s.ledger.Accepted })
	if err := r.trouble.Look(int(offline), accepted); err != nil {
		r.scene.Fail(err)
	}
}

// show hands out a sample, once a second.
func (r *run) show() {
	if r.cfg.Watch == nil || time.Since(r.shown) < time.Second {
		return
	}
	r.sample()
}

// sample hands one out.
func (r *run) sample() {
	r.shown = time.Now()
	parts := make([]meter.Sample, len(r.shares))
	r.scene.Fleet.Each(func(i int, _ *client.Loop) {
		s := r.shares[i]
		parts[i] = meter.Sample{Counts: s.counts(), Gauges: s.gauges(), Latencies: s.notes.take()}
	})
	sum := meter.Sample{Phase: r.phase, Seconds: time.Since(r.began).Seconds()}
	for i := range parts {
		sum.Add(&parts[i])
	}
	sum.Note = fmt.Sprintf("%.0f wait, %.0f talk", sum.Gauges["queue"], sum.Gauges["conversations"])
	r.cfg.Watch(sum)
}

// measure lets the load run for the measured window.
func (r *run) measure(ctx context.Context, rep *Report) error {
	span := observe.Begin(ctx, r.cfg.Server)
	loops := saturation.Start(r.scene.Fleet)
	from := client.Now()
	r.each(func(s *share) { s.notes.from, s.notes.to = from, from+int64(r.cfg.Duration) })
	if err := r.wait(ctx, "measuring", r.cfg.Duration, nil); err != nil {
		return err
	}
	window := min(client.Now()-from, int64(r.cfg.Duration))
	generator := loops.Stop()
	used := span.End(context.WithoutCancel(ctx))
	accepted := r.sum(func(s *share) int64 { return s.notes.accept })
	finished := r.sum(func(s *share) int64 { return s.notes.conclude })
	rep.Seconds = float64(window) / 1e9
	if window > 0 {
		rep.MessageRate = float64(accepted) / rep.Seconds
		rep.DeliveryRate = float64(r.sum(func(s *share) int64 { return s.notes.deliver })) / rep.Seconds
		rep.Rate = float64(finished) / rep.Seconds
	}
	rep.Generator = generator
	rep.GeneratorCPUSeconds = used.Self
	rep.GeneratorUSPerMessage = report.PerMessage(used.Self, accepted)
	rep.ServerNote = used.Note
	if used.Server != nil {
		rep.Server = &report.Server{
			RSSBytes: used.Server.RSSBytes, CPUSeconds: used.Server.CPUSeconds, CPUUSPerMessage: report.PerMessage(used.Server.CPUSeconds, accepted),
			GCShare: report.Share(used.Server.GCSeconds, used.Server.CPUSeconds),
		}
		rep.ServerUSPerConversation = report.PerMessage(used.Server.CPUSeconds, finished)
	}
	return nil
}

// collect fills in what the whole run shows, and what the history does.
func (r *run) collect(ctx context.Context, rep *Report) error {
	var past []audit.Conversation
	var ledger oracle.Ledger
	for i := range r.shares { // one after the other, because they add to the same
		done := make(chan struct{})
		s := r.shares[i]
		s.loop.Post(func() {
			defer close(done)
			s.judge()
			ledger.Merge(&s.ledger)
			rep.tallied(s)
			past = append(past, s.past.Conversations()...)
		})
		<-done
	}
	if r.cfg.History != nil {
		cfg := *r.cfg.History
		cfg.Key = r.cfg.Key
		var err error
		if rep.History, err = audit.Check(context.WithoutCancel(ctx), cfg, past, &ledger); err != nil {
			return err
		}
	}
	rep.own(r.shares)
	rep.judged(&ledger)
	return nil
}
