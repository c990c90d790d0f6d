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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
)

// role makes the test binary one of the processes that a run starts.
const role = "SWITCHYARD_MILLION_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "server":
		serve(os.Args[1])
	case "worker":
		os.Exit(workerMain())
	}
	goleak.VerifyTestMain(m)
}

// serve shares a port and holds what it accepts.
func serve(address string) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		os.Exit(1)
	}
	var held []net.Conn
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		if _, err := ws.Upgrade(c); err == nil {
			held = append(held, c)
		}
	}
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
	if rep.Conns != 300 || rep.Short != "" || rep.Rate <= 0 || rep.ServerRSS == 0 || rep.Available == 0 || rep.HoldSeconds <= 0 || len(rep.Rows()) == 0 {
		t.Errorf("%+v", rep)
	}
}

// TestMemoryIsLeftToTheMachine asks that more memory be left than there is.
func TestMemoryIsLeftToTheMachine(t *testing.T) {
	cfg := setup(t)
	cfg.MinFree = math.MaxInt64
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Conns == 300 || !strings.Contains(rep.Short, "of 300") {
		t.Errorf("%+v", rep)
	}
}

func TestRunsThatCannotTakePlaceSayWhy(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"--serve":             func(c *Config) { c.Command = "" },
		"must be positive":    func(c *Config) { c.Conns = -1 },
		"--reuse-port":        func(c *Config) { c.Command = "false" },
		"too many for":        func(c *Config) { c.Processes = 301 },
		"not be negative":     func(c *Config) { c.Hold = -1 },
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
	out.waitFor(t, "20\n"+sayDone)
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
	out.waitFor(t, sayDone)
	server.Close()
	if err := <-ended; err == nil {
		t.Error("the worker ended well")
	}
	out.waitFor(t, sayError+"connection 5 of 5 ended")
}
