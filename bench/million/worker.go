package million

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/retry"
)

// WorkerConfig is one process's part of a run.
type WorkerConfig struct {
	URL       string
	First     int // the number of its first connection among all, which decides its source address
	Conns     int
	PerSource int
}

// WorkerArgs are the words that make a command line one of a worker.
func WorkerArgs(url string, first, conns, perSource int) string {
	return fmt.Sprintf(" --url '%s' --first %d --conns %d --per-source %d", url, first, conns, perSource)
}

// Work is the life of a worker: it opens its connections when in says so, tells out how far it is, and holds them until in ends. Connections
// end with a reset, so that a million of them leave no sockets behind that wait for late packets.
func Work(ctx context.Context, cfg WorkerConfig, in io.Reader, out io.Writer) error {
	if err := work(ctx, cfg, in, out); err != nil {
		fmt.Fprintln(out, sayError+err.Error())
		return err
	}
	return nil
}

func work(ctx context.Context, cfg WorkerConfig, in io.Reader, out io.Writer) error {
	if err := client.CheckDescriptors(cfg.Conns); err != nil {
		return err
	}
	target, err := client.ParseTarget(cfg.URL, "")
	if err != nil {
		return err
	}
	fleet, err := client.NewFleet(1)
	if err != nil {
		return err
	}
	s := newSitters(cfg, target.Tuned(reset), fleet.Loops[0])
	orders := make(chan byte)
	go readOrders(in, orders) // ends with in, of which the process's own end is the latest
	err = s.obey(ctx, fleet, orders, out)
	return errors.Join(err, fleet.Stop())
}

func reset(fd int) error {
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func readOrders(in io.Reader, orders chan<- byte) {
	defer close(orders)
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		orders <- b[0]
	}
}

// sitters are the connections of a worker. Owned by its loop; others look at it through the fleet.
type sitters struct {
	cfg     WorkerConfig
	target  *client.Target
	loop    *client.Loop
	failed  chan error
	dialled int
	open    int
	under   int            // dialled, not open yet
	again   int            // dials that were repeated
	held    []*client.Conn // whose dial met a lack of memory
	lack    error          // what it met, until it is told
	dialing bool           // ordered to open
	stopped bool
}

func newSitters(cfg WorkerConfig, target *client.Target, loop *client.Loop) *sitters {
	return &sitters{cfg: cfg, target: target, loop: loop, failed: make(chan error, 1)}
}

// window is how many dials are under way at once; they are begun in halves of it, so that the servers, which share few processors, find several requests
// whenever they run: waking a process costs more than what it does for one connection. It is half of an accept queue of the default length
// (net.core.somaxconn), and there is a server for each worker.
const window = 2048

// tellEvery is the time between two lines of a worker that opens. One that does not is silent, and sleeps.
const tellEvery = 50 * time.Millisecond

func (s *sitters) obey(ctx context.Context, fleet *client.Fleet, orders <-chan byte, out io.Writer) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	told := -1
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case order, more := <-orders:
			if !more {
				return nil
			}
			var pings int64
			fleet.Each(func(int, *client.Loop) { pings = s.order(order) })
			if order == orderCount {
				fmt.Fprintln(out, sayPings+strconv.FormatInt(pings, 10))
			} else {
				tick.Reset(tellEvery)
			}
		case <-tick.C:
			var now progress
			fleet.Each(func(int, *client.Loop) { now = s.progress() })
			now.tell(out, told)
			told = now.open
			if now.idle {
				tick.Stop()
			}
		}
	}
}

// progress is what a worker tells of itself.
type progress struct {
	open    int
	lack    error // of memory, met since the last progress
	stopped bool
	idle    bool // nothing is going to change without an order
}

// tell says what is new since the worker said how many were open.
func (p *progress) tell(out io.Writer, told int) {
	if p.lack != nil {
		fmt.Fprintln(out, sayLack+p.lack.Error())
	}
	if p.open != told {
		fmt.Fprintln(out, p.open)
	}
	if p.stopped {
		fmt.Fprintln(out, sayStopped)
	}
}

func (s *sitters) progress() progress {
	p := progress{open: s.open, lack: s.lack, stopped: s.stopped && s.under == 0}
	p.idle = s.under == 0 && (!s.dialing || s.open == s.cfg.Conns)
	s.lack = nil
	return p
}

// order obeys, and returns how many pings were answered.
func (s *sitters) order(b byte) (pings int64) {
	switch b {
	case orderOpen:
		s.dialing = !s.stopped
		s.dial()
	case orderPause:
		s.dialing = false
	case orderStop:
		s.dialing, s.stopped = false, true
	}
	return s.loop.Pings()
}

// dial fills the window when half of it is free.
func (s *sitters) dial() {
	if !s.dialing || s.under > window/2 {
		return
	}
	for ; len(s.held) > 0; s.held = s.held[1:] {
		s.under++
		s.held[0].Dial()
	}
	s.loop.AllowDials(window)
	for ; s.under < window && s.dialled < s.cfg.Conns; s.dialled++ {
		v := &sitter{all: s}
		v.conn = s.loop.NewConn(s.target, s.target.SourceFor(s.cfg.First+s.dialled, s.cfg.PerSource), v)
		s.under++
		v.conn.Dial()
	}
}

func (s *sitters) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// sitter is one connection that does nothing but answer pings, which its connection does.
type sitter struct {
	all  *sitters
	conn *client.Conn
	open bool
}

// Opened implements client.Handler.
func (v *sitter) Opened() {
	v.open = true
	v.all.open++
	v.all.under--
	v.all.dial()
}

// Flush implements client.Handler.
func (*sitter) Flush() {}

// Message implements client.Handler.
func (*sitter) Message(ws.OpCode, []byte) {}

// Closed implements client.Handler. A dial that met a full queue is repeated, one that met a lack of memory waits for the next order to open; a
// connection that was open must stay so.
func (v *sitter) Closed(err error) {
	s := v.all
	remedy, fatal := retry.Hopeless(err)
	switch {
	case v.open || fatal || retry.Unreachable(err) || s.again > s.cfg.Conns/10:
		s.fail(fmt.Errorf("connection %d of %d ended: %w%s", s.open, s.cfg.Conns, err, remedy))
	case lacksMemory(err):
		s.under--
		s.dialing, s.lack = false, err
		s.held = append(s.held, v.conn)
	default:
		s.again++
		v.conn.Dial()
	}
}

// lacksMemory tells whether the kernel had no memory for a connection.
func lacksMemory(err error) bool {
	return errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOBUFS)
}
