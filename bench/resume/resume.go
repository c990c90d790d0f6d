// Package resume measures how long a server takes to give many clients what they missed, all at once.
//
// Each client, a visitor, has one conversation; all go away, their agents send each of them the same number of messages, and all come back.
// The clock starts when everybody is connected and welcomed again and the first resume is written, and stops when the last missed message
// has arrived: accepting and authenticating connections is another figure, which idle and storm tell.
package resume

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
	URL       string        // ws://HOST:PORT/v1/ws
	Key       *token.Signer // signs the users' tokens; required
	Clients   int           // default 5,000
	Missed    int           // messages that each of them misses; default 20
	Size      int           // bytes of a body; default 128
	Settle    time.Duration // between the last welcome and the resumes; default 1 s
	Within    time.Duration // for each step, and for the resumes; default 60 s
	Threads   int           // event loops; default 1
	PerSource int           // connections on each loopback source address; default 4,000

	Server observe.Source // of the server's figures; nil: none
	Watch  meter.Watch    // gets a sample each second from the goroutine of Run; nil: nobody does
}

// Report is the outcome of a run.
type Report struct {
	Clients int `json:"clients"`
	Missed  int `json:"missed"` // by each
	Size    int `json:"size"`
	crowd.Verdict
	Seconds  float64            `json:"seconds"`   // from the first resume to the last missed message
	Resumed  report.Percentiles `json:"resume_ms"` // from the first resume until a client had everything
	Complete int64              `json:"complete"`  // clients that had everything
	Server   *report.Server     `json:"server,omitempty"`

	curves map[string]*report.Latency
}

// Curves are the times of all clients.
func (r *Report) Curves() map[string]*report.Latency { return r.curves }

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	rows := []report.Row{
		{Name: "clients", Value: fmt.Sprintf("%d resumed, each missed %d messages of %d B", r.Clients, r.Missed, r.Size)},
		{Name: "resumed in", Value: fmt.Sprintf("%.3f s, from the first resume to the last missed message", r.Seconds)},
		{Name: "a client", Value: r.Resumed},
		{Name: "server", Value: r.Server},
	}
	return append(rows, r.Verdict.Rows()...)
}

// OK tells whether everybody got all that was missed, once and in order.
func (r *Report) OK() bool { return r.Verdict.OK() && r.Complete == int64(r.Clients) }

func (c Config) withDefaults() Config {
	c.Clients = cmp.Or(c.Clients, 5000)
	c.Missed = cmp.Or(c.Missed, 20)
	c.Size = cmp.Or(c.Size, 128)
	c.Settle = cmp.Or(c.Settle, time.Second)
	c.Within = cmp.Or(c.Within, time.Minute)
	return c
}

func (c *Config) validate() error {
	switch {
	case c.Clients < 1 || c.Missed < 1:
		return errors.New("clients and missed messages must be positive")
	case c.Size < oracle.MinBody || c.Size > oracle.MaxBody:
		return fmt.Errorf("a size of %d bytes is out of range, use %d to %d", c.Size, oracle.MinBody, oracle.MaxBody)
	case c.Settle < 0 || c.Within < 0:
		return errors.New("durations must not be negative")
	}
	return nil
}

// Run lets the clients go and come back. The error is a run that could not take place.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	rep, err := start(ctx, cfg.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	return rep, nil
}

func start(ctx context.Context, cfg Config) (rep *Report, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	stage := crowd.Config{URL: cfg.URL, Key: cfg.Key, Threads: cfg.Threads, PerSource: cfg.PerSource, Watch: cfg.Watch}
	err = crowd.Play(stage, crowd.Connections(cfg.Clients), func(scene *crowd.Scene) (err error) {
		rep, err = (&run{cfg: cfg, scene: scene}).do(ctx)
		return err
	})
	return rep, err
}

type run struct {
	cfg   Config
	scene *crowd.Scene
	wards *crowd.Wards
	began int64    // when the first resume was written; set while nobody comes back
	times []*times // one for each loop, which owns it until all are back
}

// times is what the guests of one loop took to come back.
type times struct {
	latency *report.Latency
	recent  meter.Interval // of latency, since the last sample
	last    int64
}

func (r *run) do(ctx context.Context) (*Report, error) {
	rep := &Report{Clients: r.cfg.Clients, Missed: r.cfg.Missed, Size: r.cfg.Size}
	if err := r.miss(ctx); err != nil {
		return nil, err
	}
	if err := r.comeBack(ctx); err != nil {
		return nil, err
	}
	if err := r.resume(ctx, rep); err != nil {
		return nil, err
	}
	rep.Verdict = r.wards.Finish()
	return rep, r.scene.Rest(ctx, "closing the conversations", closing)
}

// closing is how long the end of a run waits for the server to close the conversations, which nothing depends on.
const closing = 200 * time.Millisecond

// miss opens everything, lets the guests go and has their messages accepted.
func (r *run) miss(ctx context.Context) (err error) {
	r.wards, err = r.scene.NewWards(r.cfg.Clients, r.cfg.Size, func(w *crowd.Ward) { w.Hold = true })
	if err != nil {
		return err
	}
	r.scene.Show = r.show
	if err := r.wards.Open(ctx, r.cfg.Clients, r.cfg.Within); err != nil {
		return err
	}
	r.wards.Each(func(w *crowd.Ward) {
		for _, g := range w.Guests {
			g.GoAway()
		}
	})
	for n := range int64(r.cfg.Missed) {
		r.wards.Each(func(w *crowd.Ward) {
			now := client.Now()
			for _, g := range w.Guests {
				w.Say(g, now)
			}
		})
		// One message of each conversation at a time, as people write.
		accepted := func(w *crowd.Ward) int64 { return w.Ledger.Accepted }
		if err := r.wards.Wait(ctx, "messages accepted that all will miss", (n+1)*int64(r.cfg.Clients), r.cfg.Within, accepted); err != nil {
			return err
		}
	}
	return nil
}

// show adds to a sample what was sent and delivered, and the times of who came back.
func (r *run) show(s *meter.Sample) {
	r.wards.Show(s, func(loop int) map[string]*report.Latency {
		if loop >= len(r.times) {
			return nil // nobody comes back before the times are there
		}
		return map[string]*report.Latency{"resume": r.times[loop].recent.Take()}
	})
}

// comeBack connects all guests again; they are welcomed, and ask for nothing yet.
func (r *run) comeBack(ctx context.Context) error {
	for range r.scene.Fleet.Loops {
		r.times = append(r.times, &times{latency: report.NewLatency()})
	}
	r.wards.EachOn(func(loop int, w *crowd.Ward) {
		t := r.times[loop]
		w.Back = func(*crowd.Guest) {
			t.last = client.Now()
			t.latency.Record(t.last - r.began)
			t.recent.Record(t.last - r.began)
		}
		for _, g := range w.Guests {
			g.Conn.Dial()
		}
	})
	welcomed := func(w *crowd.Ward) int64 { return w.Welcome }
	if err := r.wards.Wait(ctx, "clients are connected again", int64(r.cfg.Clients), r.cfg.Within, welcomed); err != nil {
		return err
	}
	return r.scene.Rest(ctx, "all are connected again", r.cfg.Settle)
}

// resume has everybody ask at once.
func (r *run) resume(ctx context.Context, rep *Report) error {
	before, err := r.usage(ctx)
	if err != nil {
		return err
	}
	r.began = client.Now()
	r.wards.Each(func(w *crowd.Ward) {
		for _, g := range w.Guests {
			g.Resume()
		}
	})
	live := func(w *crowd.Ward) int64 { return w.Live }
	_, err = r.scene.Until(ctx, "resuming", r.cfg.Within, func() bool {
		rep.Complete = r.wards.Sum(live)
		return rep.Complete == int64(r.cfg.Clients)
	})
	if err != nil {
		return err
	}
	after, err := r.usage(ctx)
	if err != nil {
		return err
	}
	r.tell(rep)
	if r.cfg.Server == nil {
		return nil
	}
	used, err := observe.Between(before, after)
	rep.Server = &report.Server{RSSBytes: used.RSSBytes, CPUSeconds: used.CPUSeconds,
		CPUUSPerMessage: report.PerMessage(used.CPUSeconds, int64(r.cfg.Clients)*int64(r.cfg.Missed))}
	return err
}

func (r *run) usage(ctx context.Context) (observe.Usage, error) {
	if r.cfg.Server == nil {
		return observe.Usage{}, nil
	}
	return r.cfg.Server.Read(ctx)
}

// tell fills in the times, one loop after the other.
func (r *run) tell(rep *Report) {
	all, last := report.NewLatency(), r.began
	for _, t := range r.times {
		all.Merge(t.latency)
		last = max(last, t.last)
	}
	rep.curves = map[string]*report.Latency{"resume": all}
	rep.Resumed, rep.Seconds = all.Percentiles(), float64(last-r.began)/1e9
}
