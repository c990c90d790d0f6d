package million

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	s := &sitters{cfg: cfg, target: target.Tuned(reset), loop: fleet.Loops[0], failed: make(chan error, 1)}
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
	under   int // dialled, not open yet
	again   int // dials that were repeated
	stopped bool
}

// dialsUnder bounds the dials under way, so that an order to stop is obeyed soon.
const dialsUnder = 256

// tellEvery is the time between two lines of a worker that opens.
const tellEvery = 50 * time.Millisecond

func (s *sitters) obey(ctx context.Context, fleet *client.Fleet, orders <-chan byte, out io.Writer) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	told, finished := -1, false
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
			fleet.Each(func(int, *client.Loop) { s.order(order) })
		case <-tick.C:
			var open int
			var done bool
			fleet.Each(func(int, *client.Loop) { open, done = s.open, s.done() })
			if open != told {
				told = open
				fmt.Fprintln(out, open)
			}
			if done && !finished {
				finished = true
				fmt.Fprintln(out, sayDone)
			}
		}
	}
}

func (s *sitters) order(b byte) {
	if b == orderStop {
		s.stopped = true
		return
	}
	s.dial()
}

// done tells whether no more is going to open.
func (s *sitters) done() bool { return s.under == 0 && (s.stopped || s.open == s.cfg.Conns) }

func (s *sitters) dial() {
	for ; s.under < dialsUnder && s.dialled < s.cfg.Conns && !s.stopped; s.dialled++ {
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

// Closed implements client.Handler. A dial that met a full queue is repeated; a connection that was open must stay so.
func (v *sitter) Closed(err error) {
	s := v.all
	remedy, fatal := retry.Hopeless(err)
	if v.open || fatal || retry.Unreachable(err) || s.again > s.cfg.Conns/10 {
		s.fail(fmt.Errorf("connection %d of %d ended: %w%s", s.open, s.cfg.Conns, err, remedy))
		return
	}
	s.again++
	v.conn.Dial()
}
