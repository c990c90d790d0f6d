// Package million opens more idle connections than one process may have descriptors for: from several processes of the generator, with
// several source addresses, to several server processes that share one port. It starts all of them, and tells what a connection costs
// the servers, the generator and the kernel, which keeps both ends.
//
// It watches the memory that is left and stops opening before the machine has none; the figures are then of what is open.
package million

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/spawn"
)

// Config of a run. The zero value of a field means its default.
type Config struct {
	URL       string // ws://127.0.0.1:PORT/PATH of the servers
	Conns     int    // connections; default 1,000,000
	Processes int    // of the generator; default: one for each 18,000 connections
	Servers   int    // default: one for each 16,500 connections, since the kernel spreads them by hash, unevenly
	Command   string // starts one server, by the shell; required
	Worker    string // starts one process of the generator, by the shell: the command line whose further words are those of WorkerArgs; required

	Opening   int           // processes of the generator that open at a time; default: as many as there are processors, at least 2
	PerSource int           // connections on each loopback source address; default 4,000
	MinFree   int64         // bytes of memory that are left to the machine; default 3 GiB
	Patience  time.Duration // how long to wait when less is left, before the run goes on with what is open; default 30 s
	Settle    time.Duration // from the last connection to the reading of memory; default 5 s
	Hold      time.Duration // how long to stay idle after that, to measure CPU; default 10 s
	Within    time.Duration // for opening everything; default 10 min

	ServerLog io.Writer   // gets the output of the servers; nil: nobody
	Watch     meter.Watch // gets a sample each second from the goroutine of Run; nil: nobody does

	available func() (int64, error) // bytes that the machine has left; observe.MemAvailable but in tests
}

// The most connections of one process, below a limit of 20,000 descriptors.
const (
	perWorker = 18_000
	perServer = 16_500
)

func (c Config) withDefaults() Config {
	c.Conns = cmp.Or(c.Conns, 1_000_000)
	c.Processes = cmp.Or(c.Processes, (c.Conns+perWorker-1)/perWorker)
	c.Servers = cmp.Or(c.Servers, (c.Conns+perServer-1)/perServer)
	c.Opening = cmp.Or(c.Opening, max(2, runtime.NumCPU()))
	c.PerSource = cmp.Or(c.PerSource, 4000)
	c.MinFree = cmp.Or(c.MinFree, 3<<30)
	c.Patience = cmp.Or(c.Patience, 30*time.Second)
	if c.available == nil {
		c.available = observe.MemAvailable
	}
	c.Settle = cmp.Or(c.Settle, 5*time.Second)
	c.Hold = cmp.Or(c.Hold, 10*time.Second)
	c.Within = cmp.Or(c.Within, 10*time.Minute)
	return c
}

func (c *Config) validate() error {
	switch {
	case c.Command == "":
		return errors.New("no command that starts a server: give --serve")
	case c.Conns < 1 || c.Processes < 1 || c.Servers < 1 || c.Opening < 1 || c.PerSource < 1:
		return errors.New("connections, processes, servers and connections per source must be positive")
	case c.Processes > c.Conns:
		return fmt.Errorf("%d processes are too many for %d connections", c.Processes, c.Conns)
	case c.Settle < 0 || c.Hold < 0 || c.Within < 0 || c.Patience < 0 || c.MinFree < 0:
		return errors.New("durations and memory must not be negative")
	}
	return nil
}

// Run opens the connections, measures and ends all processes. The error is a run that could not take place.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("idle: %w", err)
	}
	target, err := client.ParseTarget(cfg.URL, "")
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, target: target, began: time.Now()}
	rep, err := r.do(ctx)
	if err = errors.Join(err, r.end()); err != nil {
		return nil, fmt.Errorf("idle: %w", err)
	}
	return rep, nil
}

// run is one run, on the goroutine of Run.
type run struct {
	cfg     Config
	target  *client.Target
	servers []*spawn.Process
	workers []*worker
	began   time.Time
	told    time.Time
	memory  memory
	short   string // why fewer connections were opened than asked for; empty: all were
}

func (r *run) do(ctx context.Context) (*Report, error) {
	if err := r.startServers(ctx); err != nil {
		return nil, err
	}
	if err := r.startWorkers(ctx); err != nil {
		return nil, err
	}
	if err := pause(ctx, time.Second); err != nil {
		return nil, err
	}
	before, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	from := time.Now()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	seconds := (time.Since(from) - r.memory.waited).Seconds()
	opened, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.stay(ctx, "settling", r.cfg.Settle); err != nil {
		return nil, err
	}
	settled, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	from = time.Now()
	if err := r.stay(ctx, "holding", r.cfg.Hold); err != nil {
		return nil, err
	}
	held, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	return r.report(before, opened, settled, held, seconds, time.Since(from).Seconds()), nil
}

// listenWithin is how long all servers may take to start.
const listenWithin = time.Minute

// startServers runs the servers and waits until each listens.
func (r *run) startServers(ctx context.Context) error {
	err := inBatch(func() error {
		for range r.cfg.Servers {
			p, err := spawn.Start(r.cfg.Command, r.cfg.ServerLog)
			if err != nil {
				return err
			}
			r.servers = append(r.servers, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for end := time.Now().Add(listenWithin); ; {
		n, err := observe.Listeners(r.target.Addr().Port())
		if err != nil {
			return err
		}
		if n >= r.cfg.Servers {
			return nil
		}
		if slices.ContainsFunc(r.servers, (*spawn.Process).Ended) || time.Now().After(end) {
			return fmt.Errorf("only %d of %d servers listen on port %d: do they share the port (--reuse-port)? --server-log shows what they say",
				n, r.cfg.Servers, r.target.Addr().Port())
		}
		r.tell("%d of %d servers listen", n, r.cfg.Servers)
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// startWorkers runs the generator's processes, which wait to be told to open.
func (r *run) startWorkers(ctx context.Context) error {
	err := inBatch(func() error {
		for i := range r.cfg.Processes {
			from, to := i*r.cfg.Conns/r.cfg.Processes, (i+1)*r.cfg.Conns/r.cfg.Processes
			w, err := startWorker(r.cfg.Worker+WorkerArgs(r.cfg.URL, from, to-from, r.cfg.PerSource), to-from)
			if err != nil {
				return err
			}
			r.workers = append(r.workers, w)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, w := range r.workers { // each says 0 when it runs, so that its own memory is in the first reading
		if err := w.await(ctx, listenWithin); err != nil {
			return err
		}
	}
	return nil
}

// look is the time between two looks at the workers and at the memory that is left.
const look = 50 * time.Millisecond

// open has the workers open their connections, a few workers at a time, until all are open or memory stays short.
func (r *run) open(ctx context.Context) error {
	end := time.Now().Add(r.cfg.Within)
	for {
		opening, waiting := r.state()
		if opening == 0 && (waiting == 0 || r.short != "") {
			return nil
		}
		if err := r.watchMemory(); err != nil {
			return err
		}
		for i := 0; !r.memory.paused && opening < r.cfg.Opening && waiting > 0; i++ {
			if w := r.workers[i]; !w.told {
				w.order(orderOpen)
				opening, waiting = opening+1, waiting-1
			}
		}
		if err := r.failure(); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("only %d of %d connections were open within %s: the machine has too few processors for them, or too much else to do",
				r.opened(), r.cfg.Conns, r.cfg.Within)
		}
		r.tellOpening(opening)
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
}

func (r *run) tellOpening(opening int) {
	if !r.memory.paused {
		r.tell("%d of %d connections open, %d processes opening", r.opened(), r.cfg.Conns, opening)
	} else {
		r.tell("%d of %d connections open, waiting for memory", r.opened(), r.cfg.Conns)
	}
}

// state counts the workers that are opening and those that were not told to yet.
func (r *run) state() (opening, waiting int) {
	for _, w := range r.workers {
		switch {
		case !w.told:
			waiting++
		case !w.done():
			opening++
		}
	}
	return opening, waiting
}

func (r *run) opened() (n int) {
	for _, w := range r.workers {
		n += int(w.open.Load())
	}
	return n
}

// failure is a server that has ended, or the first worker that cannot go on.
func (r *run) failure() error {
	if r.serverEnded() {
		return r.serverLost()
	}
	for i, w := range r.workers {
		if err := w.failure(); err != nil {
			return r.blame(fmt.Errorf("process %d of the generator: %w", i, err))
		}
	}
	return nil
}

func (r *run) serverEnded() bool { return slices.ContainsFunc(r.servers, (*spawn.Process).Ended) }

// serverLost names the likely reason that its log does not.
func (r *run) serverLost() error {
	return fmt.Errorf("a server ended by itself when %d connections were open: --server-log shows what it said; if the kernel killed it for want of memory (dmesg), open fewer connections (--conns) or leave more to the machine (--min-free-mb)", r.opened())
}

// blameWithin is how long the end of a server may show later than the end of its connections.
const blameWithin = time.Second

// blame takes the end of a server for the reason of a worker's failure, if there is one.
func (r *run) blame(err error) error {
	for end := time.Now().Add(blameWithin); time.Now().Before(end); time.Sleep(look) {
		if r.serverEnded() {
			return r.serverLost()
		}
	}
	return err
}

// stay does nothing for d. A connection that ends meanwhile ends the run.
func (r *run) stay(ctx context.Context, phase string, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := r.failure(); err != nil {
			return err
		}
		r.tell("%s, %d connections open", phase, r.opened())
		if err := pause(ctx, min(look, time.Until(end))); err != nil {
			return err
		}
	}
	return r.failure()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// tell shows a sample, once a second.
func (r *run) tell(format string, args ...any) {
	if r.cfg.Watch == nil || time.Since(r.told) < time.Second {
		return
	}
	r.told = time.Now()
	r.cfg.Watch(meter.Sample{Seconds: time.Since(r.began).Seconds(), Note: fmt.Sprintf(format, args...), Gauges: map[string]float64{"connections": float64(r.opened())}})
}
