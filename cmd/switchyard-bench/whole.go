package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/desk"
	"github.com/switchyard-im/switchyard/bench/echo"
	"github.com/switchyard-im/switchyard/bench/history"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
)

// whole is a run of several loads, or of several processes and machines.
type whole struct {
	flags *wholeRun
	loads []jobLoad
	kinds []kind
	url   string       // of the server, which is the first load's
	typ   reflect.Type // one with the figures of the outcome

	// outcome makes the report of those of the loads.
	outcome func(parts []sharedOutcome, server *report.Server, made *chaos.Report) outcome
}

var errCutAway = errors.New("--cut resets connections of this process, and here others have them: leave --cut, or --processes or the controller, out")

// run drives the loads while trouble is made and the server is watched.
func (w *whole) run(ctx context.Context, t *terminal) (err error) {
	if t.agents != nil && w.flags.Processes > 1 {
		return fmt.Errorf("%w: --processes are of this machine, and here agents have the load: leave it out, and name more agents", errUsage)
	}
	away := t.agents != nil || w.flags.Processes > 1
	if away && w.flags.Cut.Every > 0 {
		return fmt.Errorf("%w: %w", errUsage, errCutAway)
	}
	trouble, err := w.flags.trouble(ctx, w.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trouble.end()) }()
	return t.measure(ctx, &w.flags.outputFlags, trouble.watched(w.flags.watched()), w.typ, func(rec *recording) (outcome, error) {
		trouble.rec = rec
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		o := &overseer{ctx: ctx, cancel: cancel, rec: rec, source: trouble.source(w.flags.source()), latest: map[string]meter.Sample{}}
		victims := trouble.Run
		if away { // the loads do not see the trouble, so the overseer looks at it for them
			o.trouble, victims = trouble.Run, nil
		}
		parts, err := t.drive(ctx, w, rec, o.watch, victims)
		if err = errors.Join(err, o.end()); err != nil {
			return nil, err
		}
		return w.outcome(parts, o.server(), trouble.Report()), nil
	})
}

// overseer looks at the samples of all loads: from when the first measures until none does any more, it has the server's use measured, and stands
// for loads in other processes before the trouble. Safe for concurrent use.
type overseer struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	rec     *recording
	source  observe.Source // nil: none
	trouble *chaos.Run     // nil: there is none, or the loads see it themselves

	mu sync.Mutex // guards what follows

	latest   map[string]meter.Sample // of each load
	span     *observe.Span           // nil: not begun
	messages int64                   // during the span; before it, up to its beginning
	used     observe.Used
	ended    bool
	member   *chaos.Member
	failed   error
}

// counted are the counts whose sum is the messages of all loads: accepted, answered, or read.
var counted = []string{"accepted", "echoed", "messages"}

// watch is a meter.Watch.
func (o *overseer) watch(s meter.Sample) {
	o.rec.sample(s)
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Latencies = nil // they are lent
	o.latest[s.Load] = s
	measuring := false
	for _, l := range o.latest {
		measuring = measuring || l.Phase == "measuring"
	}
	switch {
	case o.ended:
	case measuring && o.span == nil:
		span := observe.Begin(o.ctx, o.source)
		o.span, o.messages = &span, -o.total(counted...)
		o.member = o.trouble.Join(func(float64) int { return 0 })
	case measuring:
		if err := o.member.Look(int(o.standing("offline")), o.total(counted...)); err != nil {
			o.failed = err
			o.cancel(err)
		}
	case o.span != nil:
		o.endLocked()
	}
}

// total is the sum of counts of all loads.
func (o *overseer) total(names ...string) (n int64) {
	for _, l := range o.latest {
		for _, name := range names {
			n += l.Counts[name]
		}
	}
	return n
}

// standing is the sum of a gauge of all loads.
func (o *overseer) standing(name string) (v float64) {
	for _, l := range o.latest {
		v += l.Gauges[name]
	}
	return v
}

func (o *overseer) endLocked() {
	o.ended = true
	if o.span == nil {
		return
	}
	o.used = o.span.End(context.WithoutCancel(o.ctx))
	o.messages += o.total(counted...)
	if err := o.member.Leave(); err != nil {
		o.failed = err
	}
}

// end is called when all loads have ended. The error is a server that did not come back.
func (o *overseer) end() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended {
		o.endLocked()
	}
	return o.failed
}

// server is what the server used while it was measured, to the second; nil if that is not known.
func (o *overseer) server() *report.Server {
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.used.Server
	if u == nil {
		return nil
	}
	return &report.Server{RSSBytes: u.RSSBytes, CPUSeconds: u.CPUSeconds, CPUUSPerMessage: report.PerMessage(u.CPUSeconds, o.messages), GCShare: report.Share(u.GCSeconds, u.CPUSeconds)}
}

// complete is the report of a load that was alone, with what its processes could not tell.
func complete(rep sharedOutcome, server *report.Server, made *chaos.Report) outcome {
	switch r := rep.(type) {
	case *chat.Report:
		r.Server, r.Chaos = server, made
	case *desk.Report:
		r.Server = server
	case *echo.Report:
		r.Server = server
	case *history.Report:
		r.Server = server
	}
	return rep
}
