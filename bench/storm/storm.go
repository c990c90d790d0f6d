// Package storm measures a reconnect storm: many clients are connected and get messages, the server goes away and comes back, and so do
// all the clients, each as the protocol's reconnect policy tells it. It says how long that took until the last one had all that it
// had missed, and whether any message was lost, duplicated or reordered over the outage.
//
// The scenario starts and restarts the server itself if it is given its command; else it waits for the operator to do so.
package storm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/spawn"
	"github.com/switchyard-im/switchyard/bench/token"
)

// Config of a run. The zero value of a field means its default.
type Config struct {
	URL       string                        // ws://HOST:PORT/v1/ws
	Key       func() (*token.Signer, error) // signs the users' tokens; called when the server runs, which may have made it; required
	Clients   int                           // each with a conversation; default 15,000
	Rate      float64                       // messages per second to all of them, as long as their agents are connected; default 1,000
	Size      int                           // bytes of a body; default 128
	Before    time.Duration                 // load before the outage; default 3 s
	After     time.Duration                 // load after everybody is back; default 2 s
	Drain     time.Duration                 // how long to wait at the end for what is under way; default 10 s
	Within    time.Duration                 // for opening everything, for the outage to begin, and for everybody to be back; default 120 s
	Retry     retry.Policy                  // of the clients; what it leaves open the server says
	Threads   int                           // event loops; default 1
	PerSource int                           // connections on each loopback source address; default 4,000

	Command   string         // starts the server, by the shell; empty: it runs, and the operator restarts it
	Signal    syscall.Signal // ends it; default SIGKILL
	ServerLog io.Writer      // gets the server's output; nil: nobody
	Watch     meter.Watch    // gets a sample each second from the goroutine of Run; nil: nobody does
}

// Report is the outcome of a run.
type Report struct {
	Clients int `json:"clients"`
	crowd.Verdict
	Complete     int64              `json:"complete"`      // clients that came back and had everything
	FirstSeconds float64            `json:"first_seconds"` // from the beginning of the outage until the first client was back
	Seconds      float64            `json:"seconds"`       // ... until the last was
	UpSeconds    float64            `json:"up_seconds"`    // ... until the server listened again; 0 if the operator restarted it
	Back         report.Percentiles `json:"back_ms"`       // ... until a client was back
	Dropped      int64              `json:"dropped"`       // ends of clients' connections, failed dials included
	ServerCPU    float64            `json:"server_cpu_s"`  // of the new server until everybody was back
	ServerRSS    int64              `json:"server_rss"`    // when everybody was back

	curves map[string]*report.Latency
}

// Curves are the times of all clients.
func (r *Report) Curves() map[string]*report.Latency { return r.curves }

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	up, server := "", "not measured (the scenario did not start it)"
	if r.UpSeconds > 0 {
		up = fmt.Sprintf("the server listened after %.2f s, ", r.UpSeconds)
		server = fmt.Sprintf("%.2f s of CPU until all were back (%.0f us each), RSS %.1f MB", r.ServerCPU, r.ServerCPU*1e6/float64(r.Clients), float64(r.ServerRSS)/1e6)
	}
	rows := []report.Row{
		{Name: "clients", Value: fmt.Sprintf("%d, of which %d came back and have everything", r.Clients, r.Complete)},
		{Name: "outage", Value: fmt.Sprintf("%sthe first client was back after %.2f s, the last after %.2f s", up, r.FirstSeconds, r.Seconds)},
		{Name: "a client", Value: r.Back},
		{Name: "dials", Value: fmt.Sprintf("%d connections ended or did not come about", r.Dropped)},
		{Name: "server", Value: server},
	}
	return append(rows, r.Verdict.Rows()...)
}

// OK tells whether everybody came back and nothing was lost.
func (r *Report) OK() bool { return r.Verdict.OK() && r.Complete == int64(r.Clients) }

func (c Config) withDefaults() Config {
	c.Clients = cmp.Or(c.Clients, 15_000)
	c.Rate = cmp.Or(c.Rate, 1000)
	c.Size = cmp.Or(c.Size, 128)
	c.Before = cmp.Or(c.Before, 3*time.Second)
	c.After = cmp.Or(c.After, 2*time.Second)
	c.Drain = cmp.Or(c.Drain, 10*time.Second)
	c.Within = cmp.Or(c.Within, 2*time.Minute)
	c.Signal = cmp.Or(c.Signal, syscall.SIGKILL)
	return c
}

func (c *Config) validate() error {
	switch {
	case c.Key == nil:
		return errors.New("no key to sign tokens with: give the server's key file")
	case c.Clients < 1:
		return errors.New("clients must be positive")
	case c.Rate <= 0 || c.Rate > 1e6:
		return fmt.Errorf("a rate of %g messages/s is out of range, use up to 1e6", c.Rate)
	case c.Size < oracle.MinBody || c.Size > oracle.MaxBody:
		return fmt.Errorf("a size of %d bytes is out of range, use %d to %d", c.Size, oracle.MinBody, oracle.MaxBody)
	case c.Before < 0 || c.After < 0 || c.Drain < 0 || c.Within < 0:
		return errors.New("durations must not be negative")
	}
	return nil
}

// Run drives the clients through an outage. The error is a run that could not take place.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	r := &run{cfg: cfg}
	rep, err := r.withServer(ctx)
	if err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	return rep, nil
}

type run struct {
	cfg    Config
	server *spawn.Server
	scene  *crowd.Scene
	wards  *crowd.Wards
	speak  []*speaker // one for each ward
	recent []*recent  // one for each loop, which owns it
}

// withServer starts the server if it is ours, and ends it.
func (r *run) withServer(ctx context.Context) (rep *Report, err error) {
	target, err := client.ParseTarget(r.cfg.URL, crowd.Subprotocol)
	if err != nil {
		return nil, err
	}
	if r.cfg.Command != "" {
		r.server = &spawn.Server{Command: r.cfg.Command, Address: target.Addr().String(), Log: r.cfg.ServerLog}
		if err := r.server.Start(ctx); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, r.server.Kill()) }()
	}
	key, err := r.cfg.Key()
	if err != nil {
		return nil, err
	}
	stage := crowd.Config{URL: r.cfg.URL, Key: key, Threads: r.cfg.Threads, PerSource: r.cfg.PerSource, Watch: r.cfg.Watch}
	err = crowd.Play(stage, crowd.Connections(r.cfg.Clients), func(scene *crowd.Scene) (err error) {
		r.scene = scene
		rep, err = r.do(ctx)
		return err
	})
	return rep, err
}

func (r *run) do(ctx context.Context) (*Report, error) {
	rep := &Report{Clients: r.cfg.Clients}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if err := r.scene.Rest(ctx, "load before the outage", r.cfg.Before); err != nil {
		return nil, err
	}
	if err := r.outage(ctx, rep); err != nil {
		return nil, err
	}
	if err := r.scene.Rest(ctx, "load after the outage", r.cfg.After); err != nil {
		return nil, err
	}
	return rep, r.finish(ctx, rep)
}

// open connects everybody and begins the load.
func (r *run) open(ctx context.Context) (err error) {
	r.wards, err = r.scene.NewWards(r.cfg.Clients, r.cfg.Size, func(w *crowd.Ward) { w.Retry = r.cfg.Retry })
	if err != nil {
		return err
	}
	for range r.scene.Fleet.Loops {
		r.recent = append(r.recent, &recent{})
	}
	r.scene.Show = r.show
	if err = r.wards.Open(ctx, r.cfg.Clients, r.cfg.Within); err != nil {
		return err
	}
	for range r.wards.Len() {
		r.speak = append(r.speak, nil)
	}
	r.wards.EachOn(func(loop int, w *crowd.Ward) {
		w.Redial = true
		w.Heard = func(_ *crowd.Guest, due int64) { r.recent[loop].deliver.Record(client.Now() - due) }
		r.speak[w.Number] = newSpeaker(w, r.recent[loop], r.cfg.Rate*float64(len(w.Guests))/float64(r.cfg.Clients))
	})
	return nil
}

// recent is what one loop has since the last sample.
type recent struct{ deliver, back meter.Interval }

// show adds to a sample what was sent and delivered, from when it was due, and the times of who came back.
func (r *run) show(s *meter.Sample) {
	r.wards.Show(s, func(loop int) map[string]*report.Latency {
		return map[string]*report.Latency{"deliver": r.recent[loop].deliver.Take(), "back": r.recent[loop].back.Take()}
	})
}

// outage ends the server, has it started again, and waits until everybody is back.
func (r *run) outage(ctx context.Context, rep *Report) error {
	if r.cfg.Command != "" {
		if err := r.restart(ctx, rep); err != nil {
			return err
		}
	}
	_, err := r.scene.Until(ctx, r.waiting(), r.cfg.Within, func() bool {
		rep.Complete = r.wards.Sum(func(w *crowd.Ward) int64 { return r.speak[w.Number].complete() })
		return rep.Complete == int64(r.cfg.Clients)
	})
	if err != nil {
		return err
	}
	r.tell(rep)
	if r.cfg.Command == "" {
		return nil
	}
	used, err := observe.New(r.server.Process().PID(), "").Read(ctx)
	rep.ServerCPU, rep.ServerRSS = used.CPUSeconds, used.RSSBytes
	return err
}

func (r *run) waiting() string {
	if r.cfg.Command == "" {
		return "restart the server now; waiting until all clients have lost their connection and are back"
	}
	return "waiting until all clients are back"
}

// restart ends the server and starts it again. The outage begins with the signal.
func (r *run) restart(ctx context.Context, rep *Report) error {
	began := client.Now()
	r.wards.Each(func(w *crowd.Ward) { r.speak[w.Number].outage = began })
	if err := r.server.End(ctx, r.cfg.Signal, r.cfg.Within); err != nil {
		return err
	}
	if err := r.server.Start(ctx); err != nil {
		return err
	}
	rep.UpSeconds = float64(client.Now()-began) / 1e9
	return nil
}

// tell fills in the times, one ward after the other.
func (r *run) tell(rep *Report) {
	all, first, last := report.NewLatency(), int64(0), int64(0)
	r.wards.OneByOne(func(w *crowd.Ward) {
		s := r.speak[w.Number]
		all.Merge(s.back)
		rep.Dropped += s.dropped
		if last = max(last, s.last); first == 0 || s.first > 0 && s.first < first {
			first = s.first
		}
	})
	rep.curves = map[string]*report.Latency{"back": all}
	rep.Back, rep.FirstSeconds, rep.Seconds = all.Percentiles(), float64(first)/1e9, float64(last)/1e9
}

// finish ends the load, waits for what is under way, and judges.
func (r *run) finish(ctx context.Context, rep *Report) error {
	r.wards.Each(func(w *crowd.Ward) { r.speak[w.Number].stop() })
	_, err := r.scene.Until(ctx, "draining", r.cfg.Drain, func() bool {
		return r.wards.Sum(func(w *crowd.Ward) int64 { return w.Under + w.Ledger.Sent - w.Ledger.Delivered }) == 0
	})
	if err != nil {
		return err
	}
	rep.Verdict = r.wards.Finish()
	return r.scene.Rest(ctx, "closing the conversations", closing)
}

// closing is how long the end of a run waits for the server to close the conversations, which nothing depends on.
const closing = 200 * time.Millisecond
