package million

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/client"
)

// role makes the test binary one of the processes that a run starts.
const role = "SWITCHYARD_MILLION_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "server":
		serve(os.Args[1], math.MaxInt)
	case "mortal":
		serve(os.Args[1], 10)
	case "worker":
		os.Exit(workerMain())
	}
	goleak.VerifyTestMain(m)
}

// serve shares a port and holds what it accepts, each pinged once, until it has as many connections as it can bear.
func serve(address string, most int) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		os.Exit(1)
	}
	var held []net.Conn
	for len(held) < most {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		var answer bytes.Buffer // with the ping, so that a client that is open has answered it
		if _, err := ws.Upgrade(struct {
			io.Reader
			io.Writer
		}{c, &answer}); err == nil {
			ws.MustWriteFrame(&answer, ws.NewPingFrame(nil))
			_, _ = c.Write(answer.Bytes())
			held = append(held, c)
		}
	}
	os.Exit(1)
}

func workerMain() int {
	var cfg WorkerConfig
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	flags.StringVar(&cfg.URL, "url", "", "")
	flags.IntVar(&cfg.First, "first", 0, "")
	flags.IntVar(&cfg.Conns, "conns", 0, "")
	flags.IntVar(&cfg.PerSource, "per-source", 0, "")
	if flags.Parse(os.Args[1:]) != nil || Work(context.Background(), cfg, os.Stdin, os.Stdout) != nil {
		return 1
	}
	return 0
}

func as(what, args string) string {
	return "env " + role + "=" + what + " '" + os.Args[0] + "' " + args
}

func setup(t *testing.T) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := l.Addr().String()
	return Config{URL: "ws://" + address + "/ws", Conns: 300, Processes: 3, Servers: 2, Command: as("server", address), Worker: as("worker", ""),
		MinFree: 1, PerSource: 50, Settle: 10 * time.Millisecond, Hold: 50 * time.Millisecond}
}

func TestManyProcessesAndServers(t *testing.T) {
	rep, err := Run(context.Background(), setup(t))
	if err != nil {
		t.Fatal(err)
	}
	if rep.Conns != 300 || rep.Short != "" || rep.Rate <= 0 || rep.ServerRSS == 0 || rep.Available == 0 || rep.HoldSeconds <= 0 || strings.Contains(fmt.Sprint(rep.Rows()), "waiting") {
		t.Errorf("%+v", rep)
	}
	if rep.Heartbeats != 300 || rep.HoldBeats != 0 {
		t.Errorf("%d heartbeats were answered, %d of them while the connections were held", rep.Heartbeats, rep.HoldBeats)
	}
}

// TestMemoryIsLeftToTheMachine asks that more memory be left than there is.
func TestMemoryIsLeftToTheMachine(t *testing.T) {
	cfg := setup(t)
	cfg.MinFree, cfg.Patience = math.MaxInt64, time.Millisecond
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Conns == 300 || !strings.Contains(rep.Short, "of 300") || !strings.Contains(rep.Short, "--min-free-mb") {
		t.Errorf("%+v", rep)
	}
}

// TestAMomentWithoutMemoryIsWaitedFor has memory short after the first of three workers began.
func TestAMomentWithoutMemoryIsWaitedFor(t *testing.T) {
	cfg := setup(t)
	cfg.MinFree, cfg.Opening, cfg.Patience = 1000, 1, time.Hour
	looks := 0
	cfg.available = func() (int64, error) {
		if looks++; looks > 1 && looks < 8 {
			return 999, nil
		}
		return 1000, nil
	}
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Conns != 300 || rep.Short != "" || looks < 8 || rep.Waited <= 0 || !strings.Contains(fmt.Sprint(rep.Rows()), "waiting for memory") {
		t.Errorf("memory was looked at %d times; %+v", looks, rep)
	}
}

// TestALackOfMemoryInTheKernel: it is waited for, for a while without progress.
func TestALackOfMemoryInTheKernel(t *testing.T) {
	w := &worker{}
	r := &run{cfg: Config{Patience: time.Hour, Conns: 10, available: func() (int64, error) { return 1, nil }}, workers: []*worker{w}}
	watch := func(paused bool, short string) {
		t.Helper()
		if err := r.watchMemory(); err != nil || r.memory.paused != paused || !strings.Contains(r.short, short) {
			t.Fatalf("%v, paused: %v, short: %q", err, r.memory.paused, r.short)
		}
	}
	watch(false, "")
	why := "cannot allocate memory"
	w.lack.Store(&why)
	watch(true, "")
	watch(true, "")
	r.memory.until = time.Now()
	watch(false, "")
	w.lack.Store(&why)
	r.cfg.Patience = 1
	watch(true, why)
}

func TestTheEndOfAServerIsNamed(t *testing.T) {
	cfg := setup(t)
	cfg.Command = as("mortal", strings.TrimSuffix(strings.TrimPrefix(cfg.URL, "ws://"), "/ws"))
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "a server ended by itself") {
		t.Error(err)
	}
}

// TestChildrenAreBatchWork reads the policy and the end of it.
func TestChildrenAreBatchWork(t *testing.T) {
	policy := func() uint32 {
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return attr.Policy
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, inherited := policy(), []byte(nil)
	err := inBatch(func() (err error) {
		inherited, err = exec.Command("cat", "/proc/self/stat").Output()
		return err
	})
	if err != nil || policy() != before {
		t.Errorf("%v; the policy was %d and is %d", err, before, policy())
	}
	if fields := strings.Fields(string(inherited)); len(fields) < 41 || fields[40] != strconv.Itoa(unix.SCHED_BATCH) {
		t.Errorf("a child's state is %q", inherited)
	}
}

func TestRunsThatCannotTakePlaceSayWhy(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"--serve":             func(c *Config) { c.Command = "" },
		"must be positive":    func(c *Config) { c.Conns = -1 },
		"--reuse-port":        func(c *Config) { c.Command = "false" },
		"too many for":        func(c *Config) { c.Processes = 301 },
		"not be negative":     func(c *Config) { c.Hold = -1 },
		"too much else to do": func(c *Config) { c.Within, c.MinFree = 1, math.MaxInt64 },
		"ws://HOST:PORT/PATH": func(c *Config) { c.URL = "ftp://x" },
		"ended by itself":     func(c *Config) { c.Worker, c.Processes = as("worker", "--nonsense"), 1 },
		"descriptors":         func(c *Config) { c.Conns, c.Processes = 1<<40, 1 },
	} {
		cfg := setup(t)
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// output is what a worker says, safe for the worker and the test.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// waitFor waits until the worker said something.
func (o *output) waitFor(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		o.mu.Lock()
		said := strings.Contains(o.text.String(), want)
		o.mu.Unlock()
		if said {
			return
		}
	}
	t.Fatalf("the worker did not say %q but %q", want, o.text.String())
}

func TestAWorkerObeys(t *testing.T) {
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	in, orders := io.Pipe()
	var out output
	ended := make(chan error, 1)
	go func() {
		ended <- Work(context.Background(), WorkerConfig{URL: server.URL(), First: 100, Conns: 20, PerSource: 7}, in, &out)
	}()
	out.waitFor(t, "0\n")
	fmt.Fprintf(orders, "%c", orderOpen)
	out.waitFor(t, "20\n")
	fmt.Fprintf(orders, "%c%c", orderCount, orderStop)
	out.waitFor(t, sayPings+"0\n"+sayStopped)
	orders.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAWorkerWhoseServerIsGoneSaysSo(t *testing.T) {
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	in, orders := io.Pipe()
	defer orders.Close()
	var out output
	ended := make(chan error, 1)
	go func() {
		ended <- Work(context.Background(), WorkerConfig{URL: server.URL(), Conns: 5, PerSource: 7}, in, &out)
	}()
	fmt.Fprintf(orders, "%c", orderOpen)
	out.waitFor(t, "5\n")
	server.Close()
	if err := <-ended; err == nil {
		t.Error("the worker ended well")
	}
	out.waitFor(t, sayError+"connection 5 of 5 ended")
}

// sitting makes the connections of a worker, on a loop that act is called on; the caller waits for what it wants to see there.
func sitting(t *testing.T, conns int, tune func(fd int) error) (s *sitters, act func(func()), wait func(what string, seen func() bool)) {
	t.Helper()
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	target, err := client.ParseTarget(server.URL(), "")
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := client.NewFleet(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	act = func(fn func()) { fleet.Each(func(int, *client.Loop) { fn() }) }
	wait = func(what string, seen func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			ok := false
			if act(func() { ok = seen() }); ok {
				return
			}
		}
		t.Fatalf("not %s: %d of %d are open, %d under way", what, s.open, conns, s.under)
	}
	s = newSitters(WorkerConfig{Conns: conns, PerSource: 4000}, target.Tuned(tune), fleet.Loops[0])
	return s, act, wait
}

func TestAPauseLetsTheWindowEnd(t *testing.T) {
	const more = 50
	s, act, wait := sitting(t, window+more, reset)
	act(func() {
		s.order(orderOpen)
		s.order(orderPause)
	})
	wait("paused after one window", func() bool { return s.under == 0 && s.open == window && s.progress().idle })
	act(func() { s.order(orderOpen) })
	wait("all open after the pause", func() bool { return s.open == window+more && s.progress().idle })
}

func TestADialWithoutMemoryIsDialledAgain(t *testing.T) {
	sockets := 0
	s, act, wait := sitting(t, 3, func(int) error {
		if sockets++; sockets == 2 {
			return syscall.ENOBUFS
		}
		return nil
	})
	act(func() { s.order(orderOpen) })
	wait("one dial held back", func() bool { return s.open == 2 && len(s.held) == 1 && s.progress().idle })
	act(func() { s.order(orderOpen) })
	wait("all open", func() bool { return s.open == 3 && len(s.held) == 0 })
}
