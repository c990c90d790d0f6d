// Package echo measures a WebSocket echo server: any server that sends every binary message back. Every answer is checked against what was sent.
//
// Closed loop: each active connection keeps a number of messages in flight. Open loop: messages have a time at which they are due, and latency counts
// from there, also while there is no room for them on their connection, so that a stall of the server cannot hide its own cost.
package echo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/saturation"
	"github.com/switchyard-im/switchyard/bench/schedule"
)

// Config of a run.
type Config struct {
	URL        string        // ws://HOST:PORT/PATH
	Conns      int           // connections; default 100
	Active     int           // connections that send, spread evenly over all; default all
	Rate       schedule.Rate // messages per second over all connections since the beginning of the warm-up (open loop); zero: closed loop
	Inflight   int           // messages in flight on each active connection, in the open loop at most; default 1 in the closed loop, 256 in the open
	Burst      bool          // closed loop: send them in one write, when all before are answered; default: each as soon as there is room
	Size       int           // bytes of a message, at least 8; default 128
	Warmup     time.Duration // before the measured window; default none
	Duration   time.Duration // the measured window; default 10 s
	Drain      time.Duration // how long to wait at the end for what is under way; default 10 s
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
	Inflight         int                `json:"inflight" merge:"keep"`
	Size             int                `json:"size" merge:"keep"`
	Target           float64            `json:"target_rate"`    // messages per second asked for in the measured window; 0: closed loop
	Ramp             string             `json:"ramp,omitempty"` // the rate over time; none if it is constant
	Messages         int64              `json:"messages"`       // echoed in the measured window
	Seconds          float64            `json:"seconds" merge:"max"`
	Rate             float64            `json:"rate"`       // messages per second
	Errors           int64              `json:"errors"`     // wrong answers, lost connections, and messages without an answer
	Unanswered       int64              `json:"unanswered"` // due in the run, or in the closed loop sent, and not answered when it ended
	FirstError       string             `json:"first_error,omitempty"`
	RTT              report.Percentiles `json:"rtt_ms"`  // closed loop: from sent to answered; open: from due to answered
	Late             report.Percentiles `json:"late_ms"` // open loop: how late the generator itself was, which is part of that
	Server           *report.Server     `json:"server,omitempty"`
	ClientCPUSeconds float64            `json:"client_cpu_seconds"`
	ClientCPUUS      float64            `json:"generator_cpu_us_per_message" merge:"keep"`
	Generator        saturation.Report  `json:"generator"`

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
	if l := curves["late"]; l != nil {
		r.Late = l.Percentiles()
	}
	r.ClientCPUUS = report.PerMessage(r.ClientCPUSeconds, r.Messages)
}

// Limits say why the generator, and not the server, set the figures; none if it did not.
func (r *Report) Limits() []string { return r.Generator.Limits() }

func (c Config) withDefaults() Config {
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orInt(&c.Conns, 100)
	orInt(&c.Active, c.Conns)
	if !c.Rate.Never() {
		orInt(&c.Inflight, 256)
	}
	orInt(&c.Inflight, 1)
	orInt(&c.Size, 128)
	orInt(&c.Threads, 1)
	orInt(&c.PerSource, 4000)
	orInt(&c.Of, 1)
	if c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	if c.Drain == 0 {
		c.Drain = 10 * time.Second
	}
	if c.OpenWithin == 0 {
		c.OpenWithin = time.Minute
	}
	return c
}

func (c *Config) validate() error {
	if err := c.options(); err != nil {
		return err
	}
	if c.Part < 0 || c.Part >= c.Of || c.Of > c.Conns {
		return fmt.Errorf("echo: no part %d of %d in %d connections: each process needs one", c.Part, c.Of, c.Conns)
	}
	return client.CheckDescriptors(c.own())
}

// Check tells what is wrong with the options alone, before there is a server, and for all parts of the load.
func (c Config) Check() error {
	c = c.withDefaults()
	return c.options()
}

func (c *Config) options() error {
	switch {
	case c.Conns < 1 || c.Inflight < 1 || c.Threads < 1 || c.PerSource < 1 || c.Duration < 0 || c.Warmup < 0 || c.Drain < 0:
		return errors.New("echo: conns, inflight, threads and durations must be positive")
	case c.Active < 0 || c.Active > c.Conns:
		return fmt.Errorf("echo: %d active of %d connections is out of range", c.Active, c.Conns)
	case c.Inflight > 4096:
		return fmt.Errorf("echo: %d in flight on a connection is too many, the limit is 4096", c.Inflight)
	case c.Burst && !c.Rate.Never():
		return errors.New("echo: a burst belongs to the closed loop: leave it or the rate out")
	case c.Size < minSize || c.Size > maxSize:
		return fmt.Errorf("echo: a size of %d bytes is out of range, use %d to %d", c.Size, minSize, maxSize)
	}
	return nil
}

// own is how many connections this process has.
func (c *Config) own() int { return (c.Conns - c.Part + c.Of - 1) / c.Of }

// ownActive is how many of them send.
func (c *Config) ownActive() (n int) {
	for i := c.Part; i < c.Conns; i += c.Of {
		if c.sends(i) {
			n++
		}
	}
	return n
}

// sends tells whether connection n is one of the active ones.
func (c *Config) sends(n int) bool {
	return (n+1)*c.Active/c.Conns != n*c.Active/c.Conns
}

// OK tells whether every answer was right and every connection stayed.
func (r *Report) OK() bool { return r.Errors == 0 }

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	load := fmt.Sprintf("closed loop, %d in flight on each", r.Inflight)
	switch {
	case r.Ramp != "":
		load = fmt.Sprintf("open loop at %s messages/s, %.0f on average", r.Ramp, r.Target)
	case r.Target > 0:
		load = fmt.Sprintf("open loop at %.0f messages/s", r.Target)
	}
	rows := []report.Row{
		{Name: "connections", Value: fmt.Sprintf("%d, %d of them active", r.Conns, r.Active)},
		{Name: "load", Value: fmt.Sprintf("%s, %d B", load, r.Size)},
		{Name: "messages", Value: fmt.Sprintf("%d in %.1f s", r.Messages, r.Seconds)},
		{Name: "rate", Value: fmt.Sprintf("%.0f messages/s", r.Rate)},
		{Name: "round trip", Value: r.Generator.Beside(r.RTT)},
		{Name: "errors", Value: fmt.Sprintf("%d %s", r.Errors, r.FirstError)},
		{Name: "server", Value: r.Server},
		{Name: "generator", Value: fmt.Sprintf("%.2f us of CPU per message; %v", r.ClientCPUUS, &r.Generator)},
	}
	if r.Target > 0 {
		rows = append(rows, report.Row{Name: "", Value: fmt.Sprintf("late for its own schedule by p50 %.3f  p99 %.3f  max %.3f ms", r.Late.P50, r.Late.P99, r.Late.Max)})
	}
	return rows
}
