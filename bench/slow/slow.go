// Package slow measures what clients that stop reading do to the others: pairs chat at a rate, first beside some listeners that read what
// they get, then, in a second window of the same run, beside the same listeners after they stopped. It compares the latencies of the two
// windows, follows the server's memory, and tells how the connections of the stalled listeners ended.
//
// Both windows begin with the same flood to the listeners, for a while that is about what the server takes to end those that do not read it; the rest
// of both is without. Else the second window, in which the server is rid of them early, would have less to do than the first. The report tells
// when they were ended: if that was long before the end of the flood, the ratio flatters.
//
// The windows differ by more than that: the machine has noise, and a store that is written to becomes larger. A control run, in which nobody stops, tells by how
// much.
//
// Their sockets have small buffers, so that what they do not read comes back to the server within seconds, as it does over a real network.
package slow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/schedule"
)

// Config of a run. The zero value of a field means its default.
type Config struct {
	Chat chat.Config // of those who chat; Begin and Disturb are the scenario's; default 5,000 pairs, 1,000 messages/s

	Stalled   int           // listeners that stop reading; default 100
	Control   bool          // they go on reading: what the windows differ by when nobody stalls
	FloodSize int           // bytes of a body to them; default 8,192
	FloodRate float64       // messages per second to each of them; default 40
	Flood     time.Duration // how long the flood lasts at the beginning of each window; default 5 s
	Stall     time.Duration // how long they do not read; then they read what is there. Default 8 s
	Ends      time.Duration // how long they may then take to notice their end; default 15 s
	Within    time.Duration // for opening their connections; default 30 s
	Admin     string        // URL of the server's admin address, for the reasons of the ends and their times; empty: not told
}

// Report is the outcome of a run.
type Report struct {
	Chat     *chat.Report     `json:"chat"`
	Stalled  int              `json:"stalled"`
	Control  bool             `json:"control,omitempty"`
	Ratio    float64          `json:"deliver_p99_ratio"` // disturbed to undisturbed
	Flood    [2]int           `json:"flood"`             // messages to each listener in each window; to the stalled until they were ended
	RSSMost  int64            `json:"server_rss_most_bytes"`
	Ends     map[string]int   `json:"ends"`              // as the stalled saw it, when they read again
	Open     int              `json:"open"`              // stalled connections that the server never ended
	Reasons  map[string]int64 `json:"reasons,omitempty"` // as the server counted it
	FirstEnd float64          `json:"first_end_seconds"` // from the stall until the server ended the first of them, to a second
	LastEnd  float64          `json:"last_end_seconds"`
	Wrong    []string         `json:"wrong,omitempty"` // what the stalled got out of order, twice or altered
}

// OK tells whether nothing was lost among those who chat, and all of the stalled were ended.
func (r *Report) OK() bool { return r.Chat.OK() && (r.Open == 0 || r.Control) && len(r.Wrong) == 0 }

// Curves are those of the pairs in both windows.
func (r *Report) Curves() map[string]*report.Latency { return r.Chat.Curves() }

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	d, what := r.Chat.Disturbed, "stopped reading"
	if r.Control {
		what = "went on reading (control)"
	}
	rows := append(r.Chat.Rows(),
		report.Row{Name: "disturbed", Value: fmt.Sprintf("%d listeners %s", r.Stalled, what)},
		report.Row{Name: "accept", Value: d.Accept},
		report.Row{Name: "deliver", Value: d.Deliver},
		report.Row{Name: "", Value: fmt.Sprintf("late for its own schedule by p99 %.3f ms, %.0f accepted/s", d.Late.P99, d.Rate)},
		report.Row{Name: "", Value: fmt.Sprintf("beside %d messages to each listener in the first window, and %d in this one, until it was ended", r.Flood[0], r.Flood[1])},
		report.Row{Name: "", Value: fmt.Sprintf("p99 of the delivery: %.2f of the undisturbed one", r.Ratio)},
		report.Row{Name: "server", Value: d.Server},
		report.Row{Name: "", Value: fmt.Sprintf("RSS at most %.1f MB while they were stalled", float64(r.RSSMost)/1e6)},
		report.Row{Name: "the stalled", Value: fmt.Sprintf("%v, %d never ended", r.Ends, r.Open)})
	if r.Reasons != nil {
		rows = append(rows, report.Row{Name: "", Value: fmt.Sprintf("the server ended them after %.0f to %.0f s: %v", r.FirstEnd, r.LastEnd, r.Reasons)})
	}
	for _, w := range r.Wrong {
		rows = append(rows, report.Row{Name: "violation", Value: w})
	}
	return rows
}

func (c Config) withDefaults() Config {
	c.Chat.Pairs = cmp.Or(c.Chat.Pairs, 5000)
	c.Chat.Rate = cmp.Or(c.Chat.Rate, schedule.MustConstant(1000))
	c.Chat.Duration = cmp.Or(c.Chat.Duration, 12*time.Second)
	c.Stalled = cmp.Or(c.Stalled, 100)
	c.FloodSize = cmp.Or(c.FloodSize, 8<<10)
	c.FloodRate = cmp.Or(c.FloodRate, 40)
	c.Flood = cmp.Or(c.Flood, 5*time.Second)
	c.Stall = cmp.Or(c.Stall, 8*time.Second)
	c.Ends = cmp.Or(c.Ends, 15*time.Second)
	c.Within = cmp.Or(c.Within, 30*time.Second)
	return c
}

func (c *Config) validate() error {
	switch {
	case c.Stalled < 1 || c.FloodRate <= 0 || c.FloodRate > 1e5:
		return errors.New("stalled clients and the rate to them must be positive")
	case c.FloodSize < oracle.MinBody || c.FloodSize > oracle.MaxBody:
		return fmt.Errorf("a size of %d bytes is out of range, use %d to %d", c.FloodSize, oracle.MinBody, oracle.MaxBody)
	case c.Flood < 0 || c.Flood > c.Chat.Duration:
		return fmt.Errorf("a flood of %s is out of range, use up to the length of a window, %s", c.Flood, c.Chat.Duration)
	case c.Stall < 0 || c.Ends < 0 || c.Within < 0:
		return errors.New("durations must not be negative")
	}
	return client.CheckDescriptors(2*c.Chat.Pairs + c.Stalled + 1)
}

// Run lets the pairs chat through both windows. The error is a run that could not take place.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("slow: %w", err)
	}
	r := &run{cfg: cfg, rep: &Report{Stalled: cfg.Stalled, Control: cfg.Control, Ends: map[string]int{}}, started: map[string]int64{}}
	stage := crowd.Config{URL: cfg.Chat.URL, Key: cfg.Chat.Key, Tune: smallBuffers}
	err := crowd.Play(stage, cfg.Stalled+1, func(scene *crowd.Scene) error {
		r.scene = scene
		defer r.watching.Wait()
		return r.do(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("slow: %w", err)
	}
	return r.rep, nil
}

// smallBuffers makes a socket that takes little before its reader does: a small receive buffer, and segments as on Ethernet, by which the
// sender's kernel sizes its own.
func smallBuffers(fd int) error {
	return errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1400))
}

type run struct {
	cfg   Config
	scene *crowd.Scene
	rep   *Report

	// Owned by the scene's loop.
	audience *crowd.Audience
	flood    client.Timer
	next     int64
	until    int64 // when the present flood is over
	said     int   // messages of it
	stalled  bool
	ended    int

	// Owned by the goroutine that watches from the stall on, and by Run after it has ended.
	watching sync.WaitGroup
	started  map[string]int64 // the server's counts when the stall began
}

func (r *run) onLoop(fn func()) { r.scene.Fleet.Each(func(int, *client.Loop) { fn() }) }

func (r *run) do(ctx context.Context) (err error) {
	if err = r.open(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx) // ends the watching if the chat cannot go on
	defer stop()
	r.cfg.Chat.Begin = func() { r.onLoop(r.begin) }
	r.cfg.Chat.Disturb = func(context.Context) error { return r.stall(ctx) }
	if r.rep.Chat, err = chat.Run(ctx, r.cfg.Chat); err != nil {
		return err
	}
	r.watching.Wait()
	if r.cfg.Control {
		r.onLoop(r.judge)
		r.compare()
		return nil
	}
	_, err = r.scene.Until(ctx, "waiting for the ends of the stalled", r.cfg.Ends, func() (all bool) {
		r.onLoop(func() { all = r.ended == r.cfg.Stalled })
		return all
	})
	r.onLoop(r.judge)
	r.compare()
	return err
}

// compare sets the two windows side by side.
func (r *run) compare() {
	if d := r.rep.Chat.Disturbed; d != nil && r.rep.Chat.Deliver.P99 > 0 {
		r.rep.Ratio = d.Deliver.P99 / r.rep.Chat.Deliver.P99
	}
}

// open connects the listeners.
func (r *run) open(ctx context.Context) (err error) {
	r.onLoop(func() {
		if r.audience, err = r.scene.NewAudience(r.scene.Fleet.Loops[0], 0, r.cfg.Stalled, r.cfg.FloodSize); err == nil {
			r.audience.Open()
		}
	})
	if err != nil {
		return err
	}
	if err = r.scene.Wait(ctx, "listeners are attached", int64(r.cfg.Stalled), r.cfg.Within, func(int) int64 { return r.audience.Attached }); err != nil {
		return err
	}
	r.onLoop(func() {
		r.audience.Gone = r.gone
		r.flood.Fire = r.say
	})
	return nil
}

// begin starts the flood of a window.
func (r *run) begin() {
	r.next, r.said = client.Now(), 0
	r.until = r.next + int64(r.cfg.Flood)
	r.scene.Fleet.Loops[0].Arm(&r.flood, r.next)
}

// unacked bounds what the speaker has under way; beyond it messages are left out.
const unacked = 64

// say writes one message to all listeners, stalled or not, until the flood is over.
func (r *run) say() {
	if r.next >= r.until {
		return
	}
	if r.audience.Under() < unacked {
		r.audience.Say(r.next)
		r.said++
	}
	r.next += int64(1e9 / r.cfg.FloodRate)
	r.scene.Fleet.Loops[0].Arm(&r.flood, r.next)
}

// gone is called when the connection of a listener ends, which only the stalled ones may.
func (r *run) gone(l *crowd.Listener, err error) {
	if l == nil || !r.stalled {
		r.scene.Fail(fmt.Errorf("a connection ended before it was stalled, or the speaker's: %w", err))
		return
	}
	r.ended++
	r.rep.Ends[ending(err)]++
}

// ending is how a connection ended, for people.
func ending(err error) string {
	var closed *client.CloseError
	switch {
	case errors.As(err, &closed):
		return fmt.Sprintf("closed with %d %s", closed.Code, closed.Reason)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "cut off"
	}
	return err.Error()
}

// stall makes the listeners stop reading, and has the rest watched from a goroutine of its own, which Run waits for.
func (r *run) stall(ctx context.Context) error {
	if r.cfg.Admin != "" {
		before, err := observe.Closed(ctx, r.cfg.Admin)
		if err != nil {
			return err
		}
		r.started = before
	}
	r.onLoop(func() {
		r.stalled = !r.cfg.Control
		r.rep.Flood[0] = r.said
		if r.stalled {
			for _, l := range r.audience.Listeners {
				l.Conn.Pause()
			}
		}
		r.begin()
	})
	r.watching.Go(func() { r.watch(ctx) })
	return nil
}

// sample is the time between two looks at the server, which counts once a second itself. Each costs it some 3 ms of one processor, which the
// others notice, and there are none in the undisturbed window.
const sample = time.Second

// watch follows the server while the listeners are stalled, and then has them read again.
func (r *run) watch(ctx context.Context) {
	began := time.Now()
	for time.Since(began) < r.cfg.Stall && ctx.Err() == nil {
		r.look(ctx, time.Since(began))
		select {
		case <-ctx.Done():
		case <-time.After(sample):
		}
	}
	r.onLoop(func() {
		if !r.stalled {
			return
		}
		for _, l := range r.audience.Listeners {
			l.Conn.Continue()
		}
	})
}

// look takes one sample. The server counts once a second; a sample that fails leaves a gap.
func (r *run) look(ctx context.Context, at time.Duration) {
	if r.cfg.Chat.Server != nil {
		if u, err := r.cfg.Chat.Server.Read(ctx); err == nil {
			r.rep.RSSMost = max(r.rep.RSSMost, u.RSSBytes)
		}
	}
	if r.cfg.Admin == "" {
		return
	}
	reasons, err := observe.Closed(ctx, r.cfg.Admin)
	if err != nil {
		return
	}
	r.count(reasons, at)
}

// count notes when the server's counts rose.
func (r *run) count(reasons map[string]int64, at time.Duration) {
	total, known := int64(0), int64(0)
	for _, n := range r.rep.Reasons {
		known += n
	}
	since := map[string]int64{}
	for reason, n := range reasons {
		if n -= r.started[reason]; n > 0 {
			since[reason] = n
			total += n
		}
	}
	if r.rep.Reasons = since; total > known {
		r.rep.LastEnd = at.Seconds()
		if known == 0 {
			r.rep.FirstEnd = at.Seconds()
		}
	}
}

// judge looks at what the stalled got. What they never read is not lost: a client that comes back resumes.
func (r *run) judge() {
	r.scene.Fleet.Loops[0].Disarm(&r.flood)
	r.rep.Flood[1] = r.said
	r.rep.Open = r.cfg.Stalled - r.ended
	for _, v := range r.audience.Ledger.Cases {
		r.rep.Wrong = append(r.rep.Wrong, v.String())
	}
	r.audience.CloseConversation()
}
