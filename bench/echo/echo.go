// Package echo measures a WebSocket echo server: any server that sends every binary message back. Each active connection keeps a number
// of messages in flight; every answer is checked against what was sent.
package echo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
)

// Config of a run.
type Config struct {
	URL        string        // ws://HOST:PORT/PATH
	Conns      int           // connections; default 100
	Active     int           // connections that send, spread evenly over all; default all
	Inflight   int           // messages in flight on each active connection; default 1
	Burst      bool          // send them in one write, when all before are answered; default: each as soon as there is room
	Size       int           // bytes of a message, at least 8; default 128
	Warmup     time.Duration // before the measured window; default none
	Duration   time.Duration // the measured window; default 10 s
	OpenWithin time.Duration // for opening all connections; default 60 s
	Threads    int           // event loops; default 1
	PerSource  int           // connections on each loopback source address; default 4,000

	// A load may be shared by several processes with the same configuration but for Part: each has the connections whose number is Part modulo Of. Default: all.
	Part, Of int
	// Gate, if any, is called when all connections are open; the load begins when it returns. So the parts of a load begin together.
	Gate func(context.Context) error

	Server observe.Source // of the server's figures; nil: none
	Watch  meter.Watch    // gets a sample each second from the goroutine of Run; nil: nobody does
}

// Report is the outcome of a run.
type Report struct {
	Conns            int                `json:"conns"`
	Active           int                `json:"active"`
	Messages         int64              `json:"messages"` // echoed in the measured window
	Seconds          float64            `json:"seconds" merge:"max"`
	Rate             float64            `json:"rate"`   // messages per second
	Errors           int64              `json:"errors"` // wrong answers and lost connections
	FirstError       string             `json:"first_error,omitempty"`
	RTT              report.Percentiles `json:"rtt_ms"`
	Server           *report.Server     `json:"server,omitempty"`
	ClientCPUSeconds float64            `json:"client_cpu_seconds"`

	curves map[string]*report.Latency
}

// Curves are the latencies of the measured window, all of them.
func (r *Report) Curves() map[string]*report.Latency { return r.curves }

// Merged makes the figures of a report whole to which those of others were added that drove parts of the same load (report.Merge); the curves are those of all together.
func (r *Report) Merged(curves map[string]*report.Latency) {
	r.curves = curves
	if l := curves["rtt"]; l != nil {
		r.RTT = l.Percentiles()
	}
}

func (c Config) withDefaults() Config {
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orInt(&c.Conns, 100)
	orInt(&c.Active, c.Conns)
	orInt(&c.Inflight, 1)
	orInt(&c.Size, 128)
	orInt(&c.Threads, 1)
	orInt(&c.PerSource, 4000)
	orInt(&c.Of, 1)
	if c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	if c.OpenWithin == 0 {
		c.OpenWithin = time.Minute
	}
	return c
}

func (c *Config) validate() error {
	switch {
	case c.Conns < 1 || c.Inflight < 1 || c.Threads < 1 || c.PerSource < 1 || c.Duration < 0 || c.Warmup < 0:
		return errors.New("echo: conns, inflight, threads and durations must be positive")
	case c.Part < 0 || c.Part >= c.Of || c.Of > c.Conns:
		return fmt.Errorf("echo: no part %d of %d in %d connections: each process needs one", c.Part, c.Of, c.Conns)
	case c.Active < 0 || c.Active > c.Conns:
		return fmt.Errorf("echo: %d active of %d connections is out of range", c.Active, c.Conns)
	case c.Inflight > 4096:
		return fmt.Errorf("echo: %d in flight on a connection is too many, the limit is 4096", c.Inflight)
	case c.Size < minSize || c.Size > maxSize:
		return fmt.Errorf("echo: a size of %d bytes is out of range, use %d to %d", c.Size, minSize, maxSize)
	}
	return client.CheckDescriptors(c.own())
}

// own is how many connections this process has.
func (c *Config) own() int { return (c.Conns - c.Part + c.Of - 1) / c.Of }

// sends tells whether connection n is one of the active ones.
func (c *Config) sends(n int) bool {
	return (n+1)*c.Active/c.Conns != n*c.Active/c.Conns
}

// OK tells whether every answer was right and every connection stayed.
func (r *Report) OK() bool { return r.Errors == 0 }

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	return []report.Row{
		{Name: "connections", Value: fmt.Sprintf("%d, %d of them active", r.Conns, r.Active)},
		{Name: "messages", Value: fmt.Sprintf("%d in %.1f s", r.Messages, r.Seconds)},
		{Name: "rate", Value: fmt.Sprintf("%.0f messages/s", r.Rate)},
		{Name: "round trip", Value: r.RTT},
		{Name: "errors", Value: fmt.Sprintf("%d %s", r.Errors, r.FirstError)},
		{Name: "server", Value: r.Server},
		{Name: "generator", Value: fmt.Sprintf("%.2f us of CPU per message", report.PerMessage(r.ClientCPUSeconds, r.Messages))},
	}
}

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
	r := &run{cfg: cfg, target: target, fleet: fleet, opened: make(chan struct{}, cfg.Conns), failed: make(chan error, 1), began: time.Now()}
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
	for range r.fleet.Loops {
		r.shares = append(r.shares, &share{run: r, rtt: report.NewLatency(), filler: bytes.Repeat([]byte{'x'}, r.cfg.Size-minSize)})
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if r.cfg.Gate != nil {
		if err := r.cfg.Gate(ctx); err != nil {
			return nil, err
		}
	}
	r.fleet.Each(func(i int, _ *client.Loop) { r.shares[i].start() })
	r.watch(ctx, "warming up", r.cfg.Warmup)
	before, cpu, began, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	r.fleet.Each(func(i int, _ *client.Loop) { r.shares[i].measure() })
	r.watch(ctx, "measuring", r.cfg.Duration)
	after, cpuAfter, ended, err := r.read(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	rep := r.collect()
	rep.Seconds = float64(ended-began) / 1e9
	rep.Rate = float64(rep.Messages) / rep.Seconds
	rep.ClientCPUSeconds = cpuAfter - cpu
	if r.cfg.Server != nil {
		used, err := observe.Between(before, after)
		if err != nil {
			return nil, err
		}
		rep.Server = &report.Server{RSSBytes: used.RSSBytes, CPUSeconds: used.CPUSeconds, CPUUSPerMessage: report.PerMessage(used.CPUSeconds, rep.Messages), GCShare: report.Share(used.GCSeconds, used.CPUSeconds)}
	}
	return rep, nil
}

// open dials everything and waits until all are open.
func (r *run) open(ctx context.Context) error {
	r.fleet.Each(func(i int, l *client.Loop) {
		for n := i*r.cfg.Of + r.cfg.Part; n < r.cfg.Conns; n += len(r.fleet.Loops) * r.cfg.Of {
			r.shares[i].add(l, r.target, r.target.SourceFor(n, r.cfg.PerSource), r.cfg.sends(n))
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

// watch lets the run go on for d, or until ctx ends, and shows a sample each second.
func (r *run) watch(ctx context.Context, phase string, d time.Duration) {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			r.show(phase)
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

func (r *run) collect() *Report {
	rep := &Report{Conns: r.cfg.own()}
	for n := r.cfg.Part; n < r.cfg.Conns; n += r.cfg.Of {
		if r.cfg.sends(n) {
			rep.Active++
		}
	}
	rtt := report.NewLatency()
	r.fleet.Each(func(i int, _ *client.Loop) { r.shares[i].stop() })
	for _, s := range r.shares {
		rep.Messages += s.echoed
		rep.Errors += s.errors
		if rep.FirstError == "" {
			rep.FirstError = s.firstError
		}
		rtt.Merge(s.rtt)
	}
	rep.RTT, rep.curves = rtt.Percentiles(), map[string]*report.Latency{"rtt": rtt}
	return rep
}
