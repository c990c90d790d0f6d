package main

import (
	"context"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/record"
)

// recording watches a run: it takes the samples of its scenario, adds what the processes use, shows them and keeps them. Safe for concurrent use, since a
// mixed run has several scenarios.
type recording struct {
	// Fixed after construction.
	t     *terminal
	began time.Time
	usage *usage
	page  *metrics // nil: none

	// Fixed after construction, for a part of a larger run.
	forward  meter.Watch                 // takes the samples; nil: this is the whole run, which keeps them
	part, of int                         // which part; 0 of 0: all
	gate     func(context.Context) error // where all parts begin together; nil: at once

	lost error // of the goroutine that runs: why the figures are of a part of the run: a member is gone, or a signal came

	mu     sync.Mutex
	series meter.Series  // guarded by mu
	events []meter.Event // guarded by mu; for the next sample
}

// newRecording begins one; stop ends it.
func newRecording(ctx context.Context, t *terminal, f *outputFlags, server watched) (*recording, error) {
	r := &recording{t: t, began: time.Now()}
	if f.Listen != "" {
		var err error
		if r.page, err = serveMetrics(f.Listen); err != nil {
			return nil, err
		}
	}
	r.usage = watchUsage(ctx, server)
	return r, nil
}

// stop ends the watching, and waits.
func (r *recording) stop() {
	r.usage.stop()
	if r.page != nil {
		r.page.close()
	}
}

// sample is a meter.Watch.
func (r *recording) sample(s meter.Sample) {
	if r.forward != nil {
		r.forward(s)
		return
	}
	s.Gauges = maps.Clone(s.Gauges)
	if s.Gauges == nil {
		s.Gauges = map[string]float64{}
	}
	r.usage.add(s.Gauges)
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Events = append(s.Events, r.events...)
	r.events = nil
	r.series.Add(&s)
	r.t.progress.show(&s)
	if r.page != nil {
		r.page.show(&s)
	}
}

// text is a sample of a scenario that has nothing but words.
func (r *recording) text(line string) {
	r.sample(meter.Sample{Seconds: time.Since(r.began).Seconds(), Note: line})
}

// own is how many of so many clients this process has.
func (r *recording) own(n int) int {
	return (n + max(r.of, 1) - 1) / max(r.of, 1)
}

// event notes something that is done to the server.
func (r *recording) event(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, meter.Event{Seconds: time.Since(r.began).Seconds(), Name: name})
}

// line tells something that happens once.
func (r *recording) line(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.progress.line(text)
}

// run is what was recorded.
func (r *recording) run() *record.Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &record.Run{
		Bench: record.Bench{
			Version: version, Scenario: r.t.scenario, Arguments: r.t.args, Started: r.began.UTC(), Seconds: time.Since(r.began).Seconds(), Machine: observe.ReadFacts(),
		},
		Samples: r.series.Points, Events: append(r.series.Events, r.events...),
	}
}

// watched is a server that is looked at while a scenario runs. The zero value: none.
type watched struct {
	source observe.Source
	every  time.Duration
}

// usage reads each second what the server and this process use, on a goroutine of its own, since the server may take its time to answer.
type usage struct {
	end  context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	gauges map[string]float64 // guarded by mu
}

// watchUsage starts the goroutine; stop ends it and waits.
func watchUsage(ctx context.Context, server watched) *usage {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx)) // an interrupted run drains first
	u := &usage{end: end, done: make(chan struct{}), gauges: map[string]float64{}}
	go u.watch(ctx, server)
	return u
}

func (u *usage) stop() {
	u.end()
	<-u.done
}

// add copies the latest figures.
func (u *usage) add(gauges map[string]float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, v := range u.gauges { // other processes of the generator may have theirs in it
		gauges[name] += v
	}
}

func (u *usage) watch(ctx context.Context, server watched) {
	defer close(u.done)
	probes := []*probe{{name: "generator", source: observe.New(os.Getpid(), "")}}
	if server.source != nil {
		probes = append(probes, &probe{name: "server", source: server.source, every: server.every})
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, p := range probes {
			if time.Since(p.at) >= p.every {
				p.read(ctx, u)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// probe is one process that is watched.
type probe struct {
	name   string
	source observe.Source
	every  time.Duration
	at     time.Time // of the last reading
	last   observe.Usage
}

// read takes a reading. A process that cannot be read has no figures until it can.
func (p *probe) read(ctx context.Context, u *usage) {
	now, err := p.source.Read(ctx)
	at := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	cpu, rss := p.name+"_cpu_cores", p.name+"_rss_bytes"
	delete(u.gauges, cpu)
	delete(u.gauges, rss)
	if err != nil {
		p.at = time.Time{}
		return
	}
	u.gauges[rss] = float64(now.RSSBytes)
	if used, err := observe.Between(p.last, now); err == nil && !p.at.IsZero() {
		u.gauges[cpu] = used.CPUSeconds / at.Sub(p.at).Seconds()
	}
	p.at, p.last = at, now
}
