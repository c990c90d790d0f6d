package echo

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/schedule"
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
	for i, size := range []int{8, 125, 126, 128, 65535, 65536, 70000} {
		rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: 20, Inflight: 4, Burst: i%2 == 0, Size: size, Threads: 2,
			Duration: 100 * time.Millisecond, Server: observe.New(os.Getpid(), "")})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Messages == 0 || rep.Errors != 0 || rep.RTT.Max <= 0 || rep.RTT.P50 > rep.RTT.P99 || rep.Server.RSSBytes == 0 {
			t.Errorf("size %d: %+v", size, rep)
		}
	}
}

// TestSomeAreActive counts at the server which connections send.
func TestSomeAreActive(t *testing.T) {
	var heard atomic.Int64
	s := start(t, func(_ ws.OpCode, p []byte) [][]byte {
		if binary.LittleEndian.Uint64(p) == 0 {
			heard.Add(1)
		}
		return [][]byte{p}
	})
	for _, c := range []struct{ conns, active, want int }{{10, 0, 10}, {10, 10, 10}, {10, 3, 3}, {7, 1, 1}} {
		heard.Store(0)
		rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: c.conns, Active: c.active, Threads: 2, Duration: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Active != c.want || heard.Load() != int64(c.want) || rep.Errors != 0 {
			t.Errorf("%d active of %d: %d sent, %+v", c.active, c.conns, heard.Load(), rep)
		}
	}
}

// TestBurst has a server that answers only the first of 4 messages: the fifth comes at once, or in a burst not before all are answered.
func TestBurst(t *testing.T) {
	for _, c := range []struct {
		burst bool
		want  int64
	}{{true, 4}, {false, 5}} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		var heard atomic.Int64
		s := start(t, func(_ ws.OpCode, p []byte) [][]byte {
			switch n := heard.Add(1); {
			case n == 4 && c.burst:
				time.AfterFunc(100*time.Millisecond, cancel) // a fifth would come until then
			case n == 5:
				cancel()
			}
			if binary.LittleEndian.Uint64(p) == 0 {
				return [][]byte{p}
			}
			return nil
		})
		rep, err := Run(ctx, Config{URL: s.URL(), Conns: 1, Inflight: 4, Burst: c.burst, Duration: time.Hour, Drain: 10 * time.Millisecond})
		cancel()
		if err != nil || rep.Errors != c.want-1 || heard.Load() != c.want {
			t.Errorf("burst %t: %d messages came, want %d; %+v, %v", c.burst, heard.Load(), c.want, rep, err)
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

// TestAnAnswerThatNeverComesIsAnError, in the closed loop too, whose connection then waits for it to the end.
func TestAnAnswerThatNeverComesIsAnError(t *testing.T) {
	for name, swallowed := range map[string]func(n int64) bool{
		"one": func(n int64) bool { return n == 100 }, "all": func(int64) bool { return true },
	} {
		var heard atomic.Int64
		s := start(t, func(_ ws.OpCode, p []byte) [][]byte {
			if swallowed(heard.Add(1)) {
				return nil
			}
			return [][]byte{p}
		})
		rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: 4, Duration: 100 * time.Millisecond, Drain: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{"one": 1, "all": 4}[name]
		if rep.OK() || rep.Unanswered != want || rep.Errors != want || !strings.Contains(rep.FirstError, "not answered") {
			t.Errorf("%s swallowed: %d unanswered, %d errors (%q) of %d", name, rep.Unanswered, rep.Errors, rep.FirstError, rep.Messages)
		}
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
		"2 active of 1":   {URL: s.URL(), Conns: 1, Active: 2},
		"must be positiv": {URL: s.URL(), Conns: -1},
		"belongs to the":  {URL: s.URL(), Burst: true, Rate: schedule.MustConstant(5)},
		"server running?": {URL: gone.URL()},
	} {
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var heard atomic.Int64
	s := start(t, func(_ ws.OpCode, p []byte) [][]byte {
		if heard.Add(1) == 100 {
			cancel()
		}
		return [][]byte{p}
	})
	rep, err := Run(ctx, Config{URL: s.URL(), Conns: 1, Duration: time.Hour})
	if err != nil || rep.Seconds > 600 {
		t.Fatalf("%+v, %v", rep, err)
	}
}

func TestTheOpenLoopKeepsItsRate(t *testing.T) {
	s := start(t, nil)
	rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: 11, Active: 7, Threads: 2, Rate: schedule.MustConstant(1000),
		Warmup: 100 * time.Millisecond, Duration: 600 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	// What was answered before a loop on a busy machine heard that the window had begun is not counted.
	if !rep.OK() || rep.Unanswered != 0 || rep.Target != 1000 || math.Abs(rep.Rate-1000) > 200 || math.Abs(float64(rep.curves["rtt"].Count())-1000*rep.Seconds) > 30 {
		t.Errorf("%+v, %d round trips", rep, rep.curves["rtt"].Count())
	}
	ramp, err := schedule.New(schedule.Point{Rate: 0}, schedule.Point{At: 400 * time.Millisecond, Rate: 1000}, schedule.Point{At: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	rep, err = Run(context.Background(), Config{URL: s.URL(), Conns: 3, Rate: ramp, Duration: 600 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() || rep.Messages < 190 || rep.Messages > 200 || rep.Ramp == "" {
		t.Errorf("%+v, want the 200 messages below the ramp", rep)
	}
}

// TestAStallOfTheServerShows: in the open loop all messages that were due meanwhile, in the closed loop one.
func TestAStallOfTheServerShows(t *testing.T) {
	t.Parallel() // it mostly waits
	const stall = 400 * time.Millisecond
	for _, rate := range []float64{0, 500} {
		var heard atomic.Int64
		s := start(t, func(_ ws.OpCode, p []byte) [][]byte {
			if heard.Add(1) == 20 {
				time.Sleep(stall)
			}
			return [][]byte{p}
		})
		rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: 1, Rate: schedule.MustConstant(rate), Duration: time.Second})
		if err != nil || !rep.OK() {
			t.Fatalf("%+v, %v", rep, err)
		}
		if rep.RTT.Max < 390 {
			t.Errorf("rate %v: the longest took %.0f ms", rate, rep.RTT.Max)
		}
		// Of 500 messages 200 were due in the stall, of which 50 waited for more than 300 ms.
		if long := rep.RTT.P90 > 250; long != (rate > 0) {
			t.Errorf("rate %v: a tenth waited for more than %.0f ms", rate, rep.RTT.P90)
		}
	}
}

func TestAGeneratorThatCannotKeepItsScheduleSaysSo(t *testing.T) {
	s := start(t, nil)
	rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: 4, Rate: schedule.MustConstant(1e8), Duration: 300 * time.Millisecond, Drain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Generator.Limited || len(rep.Limits()) < 2 || rep.OK() || rep.Unanswered < 1e6 {
		t.Errorf("%+v", rep)
	}
	table := fmt.Sprint(rep.Rows())
	if !strings.Contains(table, "the generator's own, see below") {
		t.Errorf("the table does not say whose latency it is: %s", table)
	}
}

// TestAnUnloadedGeneratorIsNotBlamed for a server that is slow.
func TestAnUnloadedGeneratorIsNotBlamed(t *testing.T) {
	t.Parallel() // it mostly waits
	s := start(t, func(_ ws.OpCode, p []byte) [][]byte {
		time.Sleep(250 * time.Millisecond)
		return [][]byte{p}
	})
	for _, rate := range []float64{0, 20} {
		rep, err := Run(context.Background(), Config{URL: s.URL(), Conns: 10, Rate: schedule.MustConstant(rate), Duration: 600 * time.Millisecond})
		if err != nil || !rep.OK() {
			t.Fatalf("%+v, %v", rep, err)
		}
		if rep.Generator.Limited || rep.RTT.P50 < 240 {
			t.Errorf("rate %v: %v, %+v", rate, rep.Limits(), rep)
		}
	}
}

// TestPeersAreSmall bounds what a connection costs the generator that waits for its answer, or for its turn to dial.
func TestPeersAreSmall(t *testing.T) {
	const peers, least, most = 10_000, 150, 400
	target, err := client.ParseTarget("ws://127.0.0.1:1/", "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := client.NewLoop()
	if err != nil {
		t.Fatal(err)
	}
	l.AllowDials(0)
	r := &run{cfg: Config{Conns: peers}.withDefaults(), target: target}
	s := newShare(r, l)
	before := heap()
	for n := range peers {
		s.add(n)
	}
	if each := (heap() - before) / peers; each < least || each > most {
		t.Errorf("a connection takes %d bytes of heap, want %d to %d", each, least, most)
	}
	l.Stop()
	if err := l.Run(); err != nil || len(s.active) != peers {
		t.Error(err)
	}
}

// heap is what is in use, without what earlier tests have left to pools and finalizers.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
