// Package idle measures what a connection costs a server that has nothing to do with it: it opens many connections, lets them be, and
// compares the server's memory and CPU with those before.
package idle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
)

// State is how far connections are taken before they are left alone.
type State string

// The states.
const (
	Upgraded      State = "upgraded"      // a WebSocket and nothing more, for any server
	Authenticated State = "authenticated" // hello and welcome
	Attached      State = "attached"      // and one conversation of its own, opened or found again
)

// Config of a run. The zero value of a field means its default.
type Config struct {
	URL        string        // ws://HOST:PORT/v1/ws
	State      State         // default Authenticated
	Key        *token.Signer // signs the visitors' tokens; required unless the state is Upgraded
	Conns      int           // connections; default 1,000
	Ramp       schedule.Rate // connections to open per second; zero: as fast as it goes
	Settle     time.Duration // from the last welcome to the reading of memory; default 3 s
	Hold       time.Duration // how long to stay idle after that, to measure CPU; default 10 s
	OpenWithin time.Duration // for opening all connections, after the last one's turn on the ramp; default 60 s
	Threads    int           // event loops; default 1
	PerSource  int           // connections on each loopback source address; default 4,000
	Admin      string        // URL of the server's admin address; if given, the server collects garbage before each reading, and tells its heap
	Burst      int           // bytes of one message that every connection sends after that, all at once; 0: none
	Return     time.Duration // how long to watch the server's memory return afterwards; default 60 s

	// A load may be shared by several processes with the same configuration but for Part: each has the connections whose number is Part modulo Of. Default: all.
	Part, Of int
	// Gate, if any, is called before the first connection is opened. So the parts of a load begin together.
	Gate func(context.Context) error

	Server observe.Source // of the server's figures; required unless there is a Gate: then whoever opens it may look at the server
	Watch  meter.Watch    // gets a sample each second from the goroutine of Run; nil: nobody does
}

// Report is the outcome of a run.
type Report struct {
	State        State   `json:"state"`
	Conns        int     `json:"conns"`
	Ramp         string  `json:"ramp,omitempty"`           // connections per second that were asked for; none: as fast as it went
	OpenSeconds  float64 `json:"open_seconds" merge:"max"` // from the first dial to the last connection in its state
	OpenCPUUS    float64 `json:"open_cpu_us"`              // server CPU per connection for accepting and what follows
	RSSBefore    int64   `json:"rss_before_bytes"`
	RSSAfter     int64   `json:"rss_after_bytes"`
	BytesPerConn float64 `json:"rss_bytes_per_conn"`
	HeapPerConn  float64 `json:"heap_bytes_per_conn,omitempty"`   // without what lies free between the objects
	ObjsPerConn  float64 `json:"heap_objects_per_conn,omitempty"` // both only with an admin address
	HoldSeconds  float64 `json:"hold_seconds" merge:"max"`
	IdleCPUUS    float64 `json:"idle_cpu_us"` // server CPU per connection and second while idle

	Burst *Burst `json:"burst,omitempty"`
}

// OK is true: a connection that ends, ends the run.
func (r *Report) OK() bool { return true }

// Curves are none: nothing is asked that is answered.
func (r *Report) Curves() map[string]*report.Latency { return nil }

// Merged ends report.Merge of reports of processes that had parts of the same load.
func (r *Report) Merged(map[string]*report.Latency) {}

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	rows := []report.Row{
		{Name: "connections", Value: fmt.Sprintf("%d %s and idle", r.Conns, r.State)},
	}
	if r.RSSAfter == 0 { // somebody else looked at the server
		return append(rows, report.Row{Name: "opened in", Value: fmt.Sprintf("%.2f s%s, held for %.1f s", r.OpenSeconds, r.onRamp(), r.HoldSeconds)})
	}
	rows = append(rows, []report.Row{
		{Name: "opened in", Value: fmt.Sprintf("%.2f s%s, %.1f us of server CPU each", r.OpenSeconds, r.onRamp(), r.OpenCPUUS)},
		{Name: "server RSS", Value: fmt.Sprintf("%.1f MB before, %.1f MB after: %.0f B per connection", float64(r.RSSBefore)/1e6, float64(r.RSSAfter)/1e6, r.BytesPerConn)},
		{Name: "server CPU", Value: fmt.Sprintf("%.3f us per connection and second over %.1f s", r.IdleCPUUS, r.HoldSeconds)},
	}...)
	if r.ObjsPerConn != 0 {
		rows = append(rows, report.Row{Name: "server heap", Value: fmt.Sprintf("%.0f B in %.2f objects per connection", r.HeapPerConn, r.ObjsPerConn)})
	}
	if r.Burst != nil {
		rows = append(rows, report.Row{Name: "burst", Value: r.Burst})
	}
	return rows
}

func (r *Report) onRamp() string {
	if r.Ramp == "" {
		return ""
	}
	return fmt.Sprintf(" at %s/s", r.Ramp)
}

func (c Config) withDefaults() Config {
	c.State = cmp.Or(c.State, Authenticated)
	c.Conns = cmp.Or(c.Conns, 1000)
	c.Settle = cmp.Or(c.Settle, 3*time.Second)
	c.Hold = cmp.Or(c.Hold, 10*time.Second)
	c.OpenWithin = cmp.Or(c.OpenWithin, time.Minute)
	c.Threads = cmp.Or(c.Threads, 1)
	c.PerSource = cmp.Or(c.PerSource, 4000)
	c.Of = cmp.Or(c.Of, 1)
	c.Return = cmp.Or(c.Return, time.Minute)
	return c
}

func (c *Config) validate() error {
	switch {
	case c.State != Upgraded && c.State != Authenticated && c.State != Attached:
		return fmt.Errorf("idle: no state %q; it is upgraded, authenticated or attached", c.State)
	case c.Key == nil && c.State != Upgraded:
		return errors.New("idle: no key to sign tokens with: give the server's key file, or --state upgraded for a server that takes none")
	case c.Server == nil && (c.Gate == nil || c.Burst != 0):
		return errors.New("idle: nothing to read the server's memory from: give --server-pid or --admin")
	case c.Conns < 1 || c.Threads < 1 || c.PerSource < 1:
		return errors.New("idle: conns, threads and connections per source must be positive")
	case c.Part < 0 || c.Part >= c.Of || c.Of > c.Conns:
		return fmt.Errorf("idle: no part %d of %d in %d connections: each process needs one", c.Part, c.Of, c.Conns)
	case c.Burst != 0 && (c.State == Authenticated || c.Burst < minBurst || c.Burst > maxBurst):
		return fmt.Errorf("idle: a burst is of %d to %d bytes, and of connections that are upgraded (to an echo server) or attached", minBurst, maxBurst)
	case c.Settle < 0 || c.Hold < 0 || c.Return < 0:
		return errors.New("idle: durations must not be negative")
	}
	if _, ends := c.Ramp.Due(int64(c.Conns - 1)); !ends && !c.Ramp.Never() {
		return fmt.Errorf("idle: the ramp %s never comes to %d connections", c.Ramp, c.Conns)
	}
	return client.CheckDescriptors(c.own())
}

// own is how many connections this process has.
func (c *Config) own() int { return (c.Conns - c.Part + c.Of - 1) / c.Of }

// Run opens the connections, measures and closes them. The error is a run that could not take place.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	protocol := "switchyard.v1.msgpack"
	if cfg.State == Upgraded {
		protocol = ""
	}
	target, err := client.ParseTarget(cfg.URL, protocol)
	if err == nil {
		err = target.CheckPorts(cfg.own(), cfg.PerSource)
	}
	if err != nil {
		return nil, err
	}
	fleet, err := client.NewFleet(min(cfg.Threads, cfg.own()))
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, target: target, fleet: fleet, ready: make(chan struct{}, 2*cfg.own()), failed: make(chan error, 1), began: time.Now()}
	r.visitors = make([][]*visitor, len(fleet.Loops))
	rep, err := r.do(ctx)
	if err = errors.Join(err, fleet.Stop()); err != nil {
		return nil, err
	}
	return rep, nil
}

// run is one run. Its fields are fixed before the loops see it, but for open, which the goroutine of Run owns.
type run struct {
	cfg    Config
	target *client.Target
	fleet  *client.Fleet
	ready  chan struct{} // one element for each connection that has reached its state, and again when its part of the burst is answered
	failed chan error    // the first connection that ended
	began  time.Time
	open   int

	visitors [][]*visitor // by loop, which alone uses its own
}

func (r *run) do(ctx context.Context) (*Report, error) {
	rep := &Report{State: r.cfg.State, Conns: r.cfg.own()}
	if !r.cfg.Ramp.Never() {
		rep.Ramp = r.cfg.Ramp.String()
	}
	before, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	if r.cfg.Gate != nil {
		if err := r.cfg.Gate(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.openAll(ctx, rep); err != nil {
		return nil, err
	}
	opened, err := r.usage(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.rest(ctx, "settling", r.cfg.Settle); err != nil {
		return nil, err
	}
	settled, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	from := client.Now()
	if err := r.rest(ctx, "holding", r.cfg.Hold); err != nil {
		return nil, err
	}
	held, err := r.usage(ctx)
	if err != nil {
		return nil, err
	}
	conns := float64(rep.Conns)
	rep.HeapPerConn = float64(settled.heap.Bytes-before.heap.Bytes) / conns
	rep.ObjsPerConn = float64(settled.heap.Objects-before.heap.Objects) / conns
	rep.OpenCPUUS = (opened.CPUSeconds - before.CPUSeconds) * 1e6 / conns
	rep.RSSBefore, rep.RSSAfter = before.RSSBytes, settled.RSSBytes
	rep.BytesPerConn = float64(rep.RSSAfter-rep.RSSBefore) / conns
	rep.HoldSeconds = float64(client.Now()-from) / 1e9
	if rep.HoldSeconds > 0 {
		rep.IdleCPUUS = (held.CPUSeconds - settled.CPUSeconds) * 1e6 / conns / rep.HoldSeconds
	}
	if r.cfg.Burst > 0 {
		rep.Burst, err = r.burst(ctx, settled.RSSBytes)
	}
	return rep, err
}

// usage is a reading of the server; without an admin address the heap is zero.
type usage struct {
	observe.Usage
	heap observe.Heap
}

// read takes the server's usage after it collected its garbage, if it has an admin address to be asked at.
func (r *run) read(ctx context.Context) (u usage, err error) {
	if r.cfg.Admin != "" {
		if err := collect(ctx, r.cfg.Admin); err != nil {
			return u, err
		}
		if u.heap, err = observe.ReadHeap(ctx, r.cfg.Admin); err != nil {
			return u, err
		}
	}
	u.Usage, err = r.usage(ctx)
	return u, err
}

// usage takes the server's usage, if this is who does.
func (r *run) usage(ctx context.Context) (observe.Usage, error) {
	if r.cfg.Server == nil {
		return observe.Usage{}, nil
	}
	return r.cfg.Server.Read(ctx)
}

// collect makes the server collect its garbage and give free memory back.
func collect(ctx context.Context, admin string) error {
	url := strings.TrimSuffix(admin, "/") + "/debug/collect"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return fmt.Errorf("idle: %w", err)
	}
	c := http.Client{Timeout: 10 * time.Second}
	defer c.CloseIdleConnections()
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("idle: %w (is --admin the server's admin address?)", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("idle: %s answered %s", url, resp.Status)
	}
	return nil
}

// rest does nothing for d. A connection that ends meanwhile ends the run, because the figures would be of fewer.
func (r *run) rest(ctx context.Context, phase string, d time.Duration) error {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return nil
		case err := <-r.failed:
			return fmt.Errorf("idle: a connection ended while %s: %w", phase, err)
		case <-tick.C:
			r.show(phase)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *run) show(phase string) {
	if r.cfg.Watch != nil {
		r.cfg.Watch(meter.Sample{
			Seconds: time.Since(r.began).Seconds(), Phase: phase, Note: fmt.Sprintf("%d/%d connections", r.open, r.cfg.own()),
			Counts: map[string]int64{"opened": int64(r.open)}, Gauges: map[string]float64{"connections": float64(r.open)},
		})
	}
}

// fail ends the run. Safe from any loop.
func (r *run) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}
