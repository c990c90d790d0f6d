package echo

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, hook echoserver.Hook) *echoserver.Server {
	t.Helper()
	s, err := echoserver.Start(hook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestRunMeasuresAnEchoServer(t *testing.T) {
	s := start(t, nil)
	for _, size := range []int{8, 125, 126, 128, 65535, 65536, 70000} {
		rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: 20, Inflight: 4, Size: size, Threads: 2,
			Duration: 100 * time.Millisecond, Server: observe.New(os.Getpid(), "")})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Messages == 0 || rep.Errors != 0 || rep.RTT.Max <= 0 || rep.RTT.P50 > rep.RTT.P99 || rep.Server.RSSBytes == 0 {
			t.Errorf("size %d: %+v", size, rep)
		}
	}
}

func TestRunCountsWrongAnswers(t *testing.T) {
	faults := map[string]func(p []byte) [][]byte{
		"altered": func(p []byte) [][]byte { p[len(p)-1] ^= 1; return [][]byte{p} },
		"doubled": func(p []byte) [][]byte { return [][]byte{p, p} },
		"cut":     func(p []byte) [][]byte { return [][]byte{p[:len(p)-1]} },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			s := start(t, func(_ ws.OpCode, p []byte) [][]byte {
				if n.Add(1) == 100 {
					return fault(p)
				}
				return [][]byte{p}
			})
			rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: 2, Duration: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if rep.Errors != 1 || rep.FirstError == "" {
				t.Errorf("%d errors, %q; want one", rep.Errors, rep.FirstError)
			}
		})
	}
}

func TestRunRefusesWhatItCannotDo(t *testing.T) {
	s := start(t, nil)
	gone := start(t, nil)
	gone.Close()
	for want, cfg := range map[string]Config{
		"descriptors":     {URL: s.URL(), Conns: 100_000_000},
		"out of range":    {URL: s.URL(), Size: 3},
		"too many":        {URL: s.URL(), Inflight: 5000},
		"give ws://":      {URL: "https://127.0.0.1/"},
		"must be positiv": {URL: s.URL(), Conns: -1},
		"server running?": {URL: gone.URL()},
	} {
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := start(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	rep, err := Run(ctx, Config{URL: s.URL(), Conns: 1, Duration: time.Hour})
	if err != nil || rep.Seconds > 600 {
		t.Fatalf("%+v, %v", rep, err)
	}
}
