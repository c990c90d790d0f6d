// Package fanout measures what it costs a server to deliver one message to many connections: one conversation, one speaker, and
// thousands of devices that listen. A message is said when everybody has the one before it.
//
// Beside it stands what a delivery cannot cost less than: a bare write(2) of the same bytes, by a thread of this process, to as many sockets
// whose readers drain them in the same loop as the listeners. Rounds of both take turns, so that a busy neighbour disturbs both.
package fanout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/token"
)

// Config of a run. The zero value of a field means its default.
type Config struct {
	URL        string        // ws://HOST:PORT/v1/ws
	Key        *token.Signer // signs the users' tokens; required
	Listeners  int           // default 5,000
	Size       int           // bytes of a body; default 128
	Rounds     int           // of each kind; default 5
	Round      time.Duration // one round of one kind; default 1 s
	OpenWithin time.Duration // for opening all connections; default 60 s
	Patience   time.Duration // how long a message may take to reach everybody before it counts as lost; default 10 s
	PerSource  int           // connections on each loopback source address; default 4,000

	Server observe.Source // of the server's figures; required
	Watch  meter.Watch    // gets a sample each second from the goroutine of Run; nil: nobody does
}

// Report is the outcome of a run.
type Report struct {
	Listeners int `json:"listeners"`
	Size      int `json:"size"`
	WireBytes int `json:"wire_bytes"` // of one delivery, its WebSocket header included
	crowd.Verdict
	Deliver  report.Percentiles `json:"deliver_ms"` // from said to heard, each listener
	All      report.Percentiles `json:"all_ms"`     // from said to heard by the last listener
	ServerUS float64            `json:"server_cpu_us_per_delivery"`
	WriteUS  float64            `json:"write_cpu_us"` // of a bare write
	Ratio    float64            `json:"ratio"`
	RSSBytes int64              `json:"server_rss_bytes"`

	curves map[string]*report.Latency
}

// Curves are all latencies of the rounds.
func (r *Report) Curves() map[string]*report.Latency { return r.curves }

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	rows := []report.Row{
		{Name: "load", Value: fmt.Sprintf("%d listeners to one conversation, %d B, %d B on the wire", r.Listeners, r.Size, r.WireBytes)},
		{Name: "deliver", Value: r.Deliver},
		{Name: "to everybody", Value: r.All},
		{Name: "server", Value: fmt.Sprintf("%.3f us of CPU per delivery, RSS %.1f MB", r.ServerUS, float64(r.RSSBytes)/1e6)},
		{Name: "bare write", Value: fmt.Sprintf("%.3f us of CPU", r.WriteUS)},
		{Name: "ratio", Value: fmt.Sprintf("%.2f", r.Ratio)},
	}
	return append(rows, r.Verdict.Rows()...)
}

func (c Config) withDefaults() Config {
	c.Listeners = cmp.Or(c.Listeners, 5000)
	c.Size = cmp.Or(c.Size, 128)
	c.Rounds = cmp.Or(c.Rounds, 5)
	c.Round = cmp.Or(c.Round, time.Second)
	c.OpenWithin = cmp.Or(c.OpenWithin, time.Minute)
	c.Patience = cmp.Or(c.Patience, 10*time.Second)
	return c
}

func (c *Config) validate() error {
	switch {
	case c.Server == nil:
		return errors.New("fanout: nothing to read the server's CPU from: give --server-pid or --admin")
	case c.Listeners < 1 || c.Rounds < 1 || c.Round < 0:
		return errors.New("fanout: listeners and rounds must be positive")
	case c.Size < oracle.MinBody || c.Size > oracle.MaxBody:
		return fmt.Errorf("fanout: a size of %d bytes is out of range, use %d to %d", c.Size, oracle.MinBody, oracle.MaxBody)
	}
	return nil
}

// Run opens the connections, measures and closes them. The error is a run that could not take place.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	var rep *Report
	stage := crowd.Config{URL: cfg.URL, Key: cfg.Key, PerSource: cfg.PerSource, Watch: cfg.Watch}
	err := crowd.Play(stage, 3*cfg.Listeners+1, func(scene *crowd.Scene) (err error) {
		r := &run{cfg: cfg, scene: scene, all: report.NewLatency(), deliver: report.NewLatency(), arrived: make(chan struct{}, 1)}
		rep, err = r.do(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fanout: %w", err)
	}
	return rep, nil
}

// closing is how long the end of a run waits for the server to close the conversation, which nothing depends on.
const closing = 100 * time.Millisecond

// run is one run, on one loop.
type run struct {
	cfg   Config
	scene *crowd.Scene

	// Owned by the loop.
	audience *crowd.Audience
	speaking bool
	ears     int  // listeners that have the present message
	quiet    bool // nothing is under way
	all      *report.Latency
	deliver  *report.Latency
	recent   meter.Interval // of deliver, since the last sample

	arrived chan struct{} // a bare round's message was read by everybody
}

func (r *run) do(ctx context.Context) (*Report, error) {
	rep := &Report{Listeners: r.cfg.Listeners, Size: r.cfg.Size}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	rep.WireBytes = r.wireBytes()
	bare, err := r.openBare(ctx, rep.WireBytes)
	if err != nil {
		return nil, err
	}
	defer bare.close()
	if err := r.rounds(ctx, bare, rep); err != nil {
		return nil, err
	}
	r.onLoop(func() { r.judge(rep) })
	return rep, r.scene.Rest(ctx, "closing the conversation", closing)
}

func (r *run) onLoop(fn func()) { r.scene.Fleet.Each(func(int, *client.Loop) { fn() }) }

func (r *run) open(ctx context.Context) error {
	var err error
	r.onLoop(func() {
		r.audience, err = r.scene.NewAudience(r.scene.Fleet.Loops[0], 0, r.cfg.Listeners, r.cfg.Size)
		if err == nil {
			r.audience.Heard, r.audience.Acked = r.heard, r.next
			r.audience.Open()
		}
	})
	if err != nil {
		return err
	}
	r.scene.Show = r.show
	return r.scene.Wait(ctx, "listeners are attached", int64(r.cfg.Listeners), r.cfg.OpenWithin, func(int) int64 { return r.audience.Attached })
}

// show adds to a sample what was said and heard.
func (r *run) show(s *meter.Sample) {
	r.onLoop(func() {
		now := r.audience.Sample()
		now.Latencies = map[string]*report.Latency{"deliver": r.recent.Take()}
		s.Add(&now)
	})
}

// heard is called for each delivery.
func (r *run) heard(_ *crowd.Listener, due int64) {
	now := client.Now()
	r.deliver.Record(now - due)
	r.recent.Record(now - due)
	if r.ears++; r.ears == r.cfg.Listeners {
		r.all.Record(now - due)
		r.next()
	}
}

// next says one more message when everybody has the last one and it was accepted.
func (r *run) next() {
	if r.ears < r.cfg.Listeners || r.audience.Under() > 0 {
		return
	}
	if !r.speaking {
		r.quiet = true
		return
	}
	r.ears = 0
	r.audience.Say(client.Now())
}

// speak lets one round of the server run and returns what it used and delivered. ended is false if a message did not reach everybody, so
// that there is no use in going on.
func (r *run) speak(ctx context.Context) (used observe.Usage, delivered int64, ended bool, err error) {
	before, err := r.cfg.Server.Read(ctx)
	if err != nil {
		return used, 0, false, err
	}
	r.onLoop(func() {
		delivered = -r.audience.Ledger.Delivered
		r.speaking, r.quiet, r.ears = true, false, r.cfg.Listeners
		r.next()
	})
	if err = r.scene.Rest(ctx, "the server delivers", r.cfg.Round); err != nil {
		return used, 0, false, err
	}
	r.onLoop(func() { r.speaking = false })
	ended, err = r.scene.Until(ctx, "waiting for the last message", r.cfg.Patience, func() (quiet bool) {
		r.onLoop(func() { quiet = r.quiet })
		return quiet
	})
	if err != nil {
		return used, 0, false, err
	}
	r.onLoop(func() { delivered += r.audience.Ledger.Delivered })
	after, err := r.cfg.Server.Read(ctx)
	if err != nil {
		return used, 0, false, err
	}
	used, err = observe.Between(before, after)
	return used, delivered, ended, err
}

// rounds measures the server and the bare writes in turns.
func (r *run) rounds(ctx context.Context, bare *bare, rep *Report) error {
	var serverCPU, writeCPU float64
	var deliveries, writes int64
	for range r.cfg.Rounds {
		cpu, written, err := bare.run(ctx, r.cfg.Round)
		if err != nil {
			return err
		}
		used, delivered, ended, err := r.speak(ctx)
		if err != nil {
			return err
		}
		writeCPU, writes = writeCPU+cpu, writes+written
		serverCPU, deliveries = serverCPU+used.CPUSeconds, deliveries+delivered
		rep.RSSBytes = used.RSSBytes
		if !ended {
			break
		}
	}
	rep.ServerUS, rep.WriteUS = report.PerMessage(serverCPU, deliveries), report.PerMessage(writeCPU, writes)
	if rep.WriteUS > 0 {
		rep.Ratio = rep.ServerUS / rep.WriteUS
	}
	return nil
}

func (r *run) judge(rep *Report) {
	a := r.audience
	for _, l := range a.Listeners {
		l.Stream.Finish(&a.Ledger, a.Accepted())
	}
	a.CloseConversation()
	rep.Verdict = crowd.Judge(&a.Ledger)
	rep.Deliver, rep.All = r.deliver.Percentiles(), r.all.Percentiles()
	rep.curves = map[string]*report.Latency{"deliver": r.deliver, "to everybody": r.all}
}
