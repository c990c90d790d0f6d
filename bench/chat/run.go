package chat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/saturation"
	"github.com/switchyard-im/switchyard/frame"
)

// subprotocol is what the clients ask for.
const subprotocol = "switchyard.v1.msgpack"

// run is one run. Its fields are fixed before the loops see it, but for what says otherwise.
type run struct {
	cfg     Config
	id      uint32 // names the run in groups, users and bodies; never 0
	target  *client.Target
	fleet   *client.Fleet
	shares  []*share
	audited []bool     // by pair, whether it is read back; nil: none
	failed  chan error // holds the first failure that ends the run; later ones are dropped

	// Owned by the goroutine of Run.
	phase   string
	began   time.Time
	shown   time.Time     // when the last sample was taken
	trouble *chaos.Member // while it goes on; nil: there is none
}

// Run drives the load and returns the oracle's verdict with the figures; see Report.OK. If ctx ends while the load runs, the run ends early with
// a report. The error is a run that could not take place or could not go on; it says what to do about it.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	target, err := client.ParseTarget(cfg.URL, subprotocol)
	if err == nil {
		err = target.CheckPorts(2*cfg.own(), cfg.PerSource)
	}
	if err != nil {
		return nil, err
	}
	fleet, err := client.NewFleet(min(cfg.Threads, cfg.own()))
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, id: rand.Uint32() | 1, target: target, fleet: fleet, failed: make(chan error, 1), began: time.Now()}
	if cfg.History != nil {
		r.audited = cfg.History.Chosen(cfg.Pairs, cfg.Part, cfg.Of)
	}
	for _, l := range fleet.Loops {
		r.shares = append(r.shares, newShare(r, l))
	}
	rep, err := r.do(ctx)
	if err = errors.Join(err, fleet.Stop()); err != nil {
		return nil, err
	}
	return rep, nil
}

// fail ends the run. Safe from any loop.
func (r *run) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// each runs fn on every share's loop and waits.
func (r *run) each(fn func(s *share)) {
	r.fleet.Each(func(i int, _ *client.Loop) { fn(r.shares[i]) })
}

// sum adds a figure over the shares.
func (r *run) sum(fn func(s *share) int) int {
	parts := make([]int, len(r.shares))
	r.fleet.Each(func(i int, _ *client.Loop) { parts[i] = fn(r.shares[i]) })
	total := 0
	for _, n := range parts {
		total += n
	}
	return total
}

// openKey is the visitor's own id for the conversation of its pair.
func (r *run) openKey(p *pair) (key frame.ID) {
	binary.BigEndian.PutUint32(key[:], r.id)
	binary.BigEndian.PutUint32(key[4:], uint32(p.number))
	return key
}

func (r *run) do(ctx context.Context) (*Report, error) {
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if r.cfg.Gate != nil {
		if err := r.cfg.Gate(ctx); err != nil {
			return nil, err
		}
	}
	begin := client.Now()
	r.each(func(s *share) { s.start(begin) })
	if err := r.wait(ctx, "warming up", r.cfg.Warmup, nil); err != nil {
		return nil, err
	}
	if r.cfg.Begin != nil {
		r.cfg.Begin()
	}
	rep := newReport(&r.cfg)
	if err := r.windows(ctx, rep); err != nil {
		return nil, err
	}
	r.each(func(s *share) { s.finish(client.Now()) })
	if err := r.wait(context.WithoutCancel(ctx), "draining", r.cfg.Drain, r.drained); err != nil {
		return nil, err
	}
	r.each((*share).judge)
	r.closeConversations()
	var ledger oracle.Ledger
	if err := r.audit(ctx, rep, &ledger); err != nil {
		return nil, err
	}
	r.collect(rep, &ledger)
	return rep, nil
}

// connect gets all pairs ready.
func (r *run) connect(ctx context.Context) error {
	r.each(func(s *share) {
		if err := s.connect(); err != nil {
			r.fail(err)
		}
	})
	all := func() bool { return r.sum(func(s *share) int { return s.ready }) == r.cfg.own() }
	if err := r.wait(ctx, "connecting", r.cfg.OpenWithin, all); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if n := r.sum(func(s *share) int { return s.ready }); n < r.cfg.own() {
		return fmt.Errorf("chat: only %d of %d pairs were ready within %s; %s", n, r.cfg.own(), r.cfg.OpenWithin, r.firstUnready())
	}
	return nil
}

// firstUnready describes a pair that is not ready.
func (r *run) firstUnready() string {
	found := make([]string, len(r.shares))
	r.fleet.Each(func(i int, _ *client.Loop) { found[i] = r.shares[i].unready() })
	for _, text := range found {
		if text != "" {
			return text
		}
	}
	return "the last became ready just now"
}

// windows measures, and has trouble made meanwhile.
func (r *run) windows(ctx context.Context, rep *Report) error {
	r.trouble = r.cfg.Chaos.Join(r.cut)
	err := r.measure(ctx, "measuring", 0, &rep.Window)
	if err == nil {
		err = r.disturb(ctx, rep)
	}
	err = errors.Join(err, r.trouble.Leave())
	r.trouble = nil
	return err
}

// cut resets a share of the connections.
func (r *run) cut(part float64) int {
	return r.sum(func(s *share) int { return s.loop.Cut(part, s.random) })
}

// look does what the trouble wants to be done to the clients.
func (r *run) look() error {
	if r.trouble == nil {
		return nil
	}
	offline := r.sum(func(s *share) int { return s.offline })
	accepted := r.sum(func(s *share) int { return int(s.ledger.Accepted) })
	return r.trouble.Look(offline, int64(accepted))
}

// disturb measures a second window while what the caller does goes on.
func (r *run) disturb(ctx context.Context, rep *Report) error {
	if r.cfg.Disturb == nil {
		return nil
	}
	if err := r.cfg.Disturb(ctx); err != nil {
		return err
	}
	rep.Disturbed = &Window{}
	return r.measure(ctx, "measuring, disturbed", 1, rep.Disturbed)
}

// measure lets the load run for one measured window and fills in what it shows but latencies.
func (r *run) measure(ctx context.Context, phase string, i int, w *Window) error {
	before, noServer := r.usage(ctx)
	cpu, from := observe.Self(), client.Now()
	loops := saturation.Start(r.fleet)
	r.each(func(s *share) { s.windows[i].from, s.windows[i].to = from, from+int64(r.cfg.Duration) })
	if err := r.wait(ctx, phase, r.cfg.Duration, nil); err != nil {
		return err
	}
	to := client.Now()
	w.Generator = loops.Stop()
	after, err := r.usage(context.WithoutCancel(ctx))
	window := min(to-from, int64(r.cfg.Duration))
	accepted := int64(r.sum(func(s *share) int { return int(s.windows[i].accepted) }))
	delivered := int64(r.sum(func(s *share) int { return int(s.windows[i].delivered) }))
	w.Seconds = float64(window) / 1e9
	if window > 0 {
		w.Rate, w.DeliveryRate = float64(accepted)/w.Seconds, float64(delivered)/w.Seconds
	}
	w.GeneratorCPUSeconds = observe.Self() - cpu
	w.GeneratorUSPerMessage = report.PerMessage(w.GeneratorCPUSeconds, accepted)
	if r.cfg.Server == nil {
		return nil
	}
	used, differ := observe.Between(before, after)
	if err := errors.Join(noServer, err, differ); err != nil {
		w.ServerNote = err.Error()
		return nil
	}
	w.Server = &report.Server{RSSBytes: used.RSSBytes, CPUSeconds: used.CPUSeconds, CPUUSPerMessage: report.PerMessage(used.CPUSeconds, accepted), GCShare: report.Share(used.GCSeconds, used.CPUSeconds)}
	return nil
}

func (r *run) usage(ctx context.Context) (observe.Usage, error) {
	if r.cfg.Server == nil {
		return observe.Usage{}, nil
	}
	return r.cfg.Server.Read(ctx)
}

// often is how often a wait looks for its end and at the trouble, which no result but the trouble's depends on.
const often = 20 * time.Millisecond

// wait lets the run go on for d, until done (if any) says so, or until ctx ends, and shows a sample each second.
func (r *run) wait(ctx context.Context, phase string, d time.Duration, done func() bool) error {
	r.phase = phase
	end := time.NewTimer(d)
	defer end.Stop()
	again := time.NewTicker(often)
	defer again.Stop()
	for {
		select {
		case err := <-r.failed:
			return err
		case <-end.C:
			return nil
		case <-ctx.Done():
			return nil
		case <-again.C:
			r.show()
			if err := r.look(); err != nil {
				return err
			}
			if done != nil && done() {
				return nil
			}
		}
	}
}

// show hands out a sample, once a second.
func (r *run) show() {
	if r.cfg.Watch == nil || time.Since(r.shown) < time.Second {
		return
	}
	r.shown = time.Now()
	parts := make([]meter.Sample, len(r.shares))
	r.fleet.Each(func(i int, _ *client.Loop) { parts[i] = r.shares[i].sample() })
	sum := meter.Sample{Phase: r.phase, Seconds: time.Since(r.began).Seconds()}
	for i := range parts {
		sum.Add(&parts[i])
	}
	sum.Note = fmt.Sprintf("%.0f/%d pairs", sum.Gauges["pairs"], r.cfg.own())
	r.cfg.Watch(sum)
}

func (r *run) drained() bool {
	return r.sum(func(s *share) int {
		if s.settled() {
			return 0
		}
		return 1
	}) == 0
}

// collect fills in what the whole run shows; the ledger has what was found besides. The shares are finished, so that nothing changes what it reads.
func (r *run) collect(rep *Report, ledger *oracle.Ledger) {
	windows, away := newWindows(&r.cfg), report.NewLatency()
	for i := range r.shares { // one after the other, because they add to the same
		done := make(chan struct{})
		s := r.shares[i]
		s.loop.Post(func() {
			defer close(done)
			ledger.Merge(&s.ledger)
			for i := range windows {
				windows[i].merge(&s.windows[i])
			}
			rep.Reconnects += s.lost
			rep.Resent += s.resent
			rep.Refusals += s.refusals
			rep.Marks += s.marks
			away.Merge(s.away)
		})
		<-done
	}
	rep.judged(ledger)
	rep.latencies("", &rep.Window, &windows[0])
	rep.Away = away.Percentiles()
	if rep.Disturbed != nil {
		rep.latencies("disturbed ", rep.Disturbed, &windows[1])
	}
}

// closeWithin is how long the end of a run waits for the server to close the conversations, which nothing depends on.
const closeWithin = 2 * time.Second

// closeConversations leaves no open conversations behind for the next run on this server.
func (r *run) closeConversations() {
	waiting := r.sum((*share).closeConversations)
	_ = r.wait(context.Background(), "closing", closeWithin, func() bool {
		return r.sum(func(s *share) int { return s.closed }) >= waiting
	})
}
