package idle

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest"
	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func setup(t *testing.T, faults chatserver.Faults) (*chatserver.Server, Config) {
	t.Helper()
	s := benchtest.Chat(t, faults)
	return s, Config{URL: s.URL(), Key: benchtest.Key(t), Conns: 50, Threads: 2, Settle: time.Millisecond, Hold: 50 * time.Millisecond, Server: observe.New(os.Getpid(), "")}
}

func TestRunMeasures(t *testing.T) {
	_, cfg := setup(t, chatserver.Faults{})
	var collections atomic.Int64
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + r.URL.String() {
		case "POST/debug/collect":
			collections.Add(1)
			w.WriteHeader(http.StatusNoContent)
		case "GET/metrics":
			fmt.Fprintf(w, "go_memstats_heap_alloc_bytes %d\ngo_memstats_heap_objects %d\n", 1000*collections.Load(), 100*collections.Load())
		}
	}))
	defer admin.Close()
	cfg.Admin = admin.URL
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Conns != 50 || rep.RSSBefore == 0 || rep.RSSAfter == 0 || rep.OpenSeconds <= 0 || rep.HoldSeconds <= 0 || collections.Load() != 2 {
		t.Errorf("%+v, %d collections", rep, collections.Load())
	}
	if rep.HeapPerConn != 20 || rep.ObjsPerConn != 2 {
		t.Errorf("%g B in %g objects per connection, want 20 in 2", rep.HeapPerConn, rep.ObjsPerConn)
	}
	if want := float64(rep.RSSAfter-rep.RSSBefore) / 50; rep.BytesPerConn != want {
		t.Errorf("%g B per connection, want %g", rep.BytesPerConn, want)
	}
}

// TestStates: connections go as far as they are told, which a server that knows no more than that shows.
func TestStates(t *testing.T) {
	echo, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(echo.Close)
	_, cfg := setup(t, chatserver.Faults{})
	cfg.State = Attached
	if rep, err := Run(context.Background(), cfg); err != nil || rep.State != Attached {
		t.Errorf("%+v, %v", rep, err)
	}
	cfg.State, cfg.URL, cfg.Key = Upgraded, echo.URL(), nil
	if rep, err := Run(context.Background(), cfg); err != nil || rep.State != Upgraded {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestBurstIsSentAgain while the server has too much to do, until all of it is accepted; anything else that is an error ends the run.
func TestBurstIsSentAgain(t *testing.T) {
	for code, want := range map[uint64]string{frame.ErrorOverloaded: "", frame.ErrorTooLarge: "bursting"} {
		var sent atomic.Int64
		_, cfg := setup(t, chatserver.Faults{Refuse: func(int) uint64 {
			if sent.Add(1) > 75 {
				return 0
			}
			return code
		}})
		cfg.State, cfg.Burst, cfg.Return, cfg.Hold = Attached, 1000, time.Millisecond, time.Millisecond
		_, err := Run(context.Background(), cfg)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("code %d: %v", code, err)
		}
		if n := sent.Load(); want == "" && n != 75+int64(cfg.Conns) {
			t.Errorf("%d messages were sent until %d were accepted after 75 refusals", n, cfg.Conns)
		}
	}
}

// memory is a server whose memory is told reading by reading, the last one for ever.
type memory []int64

func (m *memory) Read(context.Context) (observe.Usage, error) {
	u := observe.Usage{RSSBytes: (*m)[0]}
	if len(*m) > 1 {
		*m = (*m)[1:]
	}
	return u, nil
}

func TestBurst(t *testing.T) {
	echo, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(echo.Close)
	chat, cfg := setup(t, chatserver.Faults{})
	cfg.Burst, cfg.Return, cfg.Hold = 1000, 400*time.Millisecond, time.Millisecond
	for state, url := range map[State]string{Upgraded: echo.URL(), Attached: chat.URL()} {
		cfg.State, cfg.URL = state, url
		cfg.Server = &memory{1, 1, 100, 100, 900, 110} // before, opened, settled, held, after the burst
		rep, err := Run(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if b := rep.Burst; !b.Returned || b.RSSPeak != 900 || b.RSSAfter != 110 || b.Bytes != 1000 || b.Seconds <= 0 || b.Return <= 0 {
			t.Errorf("%s: %+v", state, b)
		}
		cfg.Server = &memory{1, 1, 100, 100, 111}
		if rep, err = Run(context.Background(), cfg); err != nil || rep.Burst.Returned || rep.Burst.Return < cfg.Return.Seconds() {
			t.Errorf("%s: %+v, %v", state, rep.Burst, err)
		}
	}
}

func TestRunsThatCannotTakePlaceSayWhy(t *testing.T) {
	s, cfg := setup(t, chatserver.Faults{})
	refusing, _ := setup(t, chatserver.Faults{Hello: func() uint64 { return frame.ErrorUnauthorized }})
	gone, _ := setup(t, chatserver.Faults{})
	gone.Close()
	for want, change := range map[string]func(*Config){
		"no state":          func(c *Config) { c.State = "asleep" },
		"a burst is of":     func(c *Config) { c.Burst = 1000 },
		"no key":            func(c *Config) { c.Key = nil },
		"--server-pid":      func(c *Config) { c.Server = nil },
		"must be positive":  func(c *Config) { c.Conns = -1 },
		"not be negative":   func(c *Config) { c.Hold = -1 },
		"descriptors":       func(c *Config) { c.Conns = 1 << 40 },
		"is --key the file": func(c *Config) { c.URL = refusing.URL() },
		"server running":    func(c *Config) { c.URL = gone.URL() },
		"no process":        func(c *Config) { c.Server = observe.New(1<<30, "") },
		"admin address":     func(c *Config) { c.Admin = "http://127.0.0.1:1" },
		"ended while": func(c *Config) {
			c.Hold = time.Hour
			c.Settle = time.Hour
			c.Watch = func(p meter.Sample) {
				if p.Phase == "settling" {
					s.DropAll()
				}
			}
		},
		"ws://HOST:PORT/PAT": func(c *Config) { c.URL = "ftp://x" },
	} {
		cfg := cfg
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestARamp opens 60 connections at 50/s: the last has its turn after 1.18 s, and the sample after a second shows some of them.
func TestARamp(t *testing.T) {
	t.Parallel() // it mostly waits
	_, cfg := setup(t, chatserver.Faults{})
	var seen []float64
	cfg.Conns, cfg.Ramp = 60, schedule.MustConstant(50)
	cfg.Watch = func(s meter.Sample) {
		if s.Phase == "connecting" {
			seen = append(seen, s.Gauges["connections"])
		}
	}
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.OpenSeconds < 1.18 || rep.Ramp != "50" || !strings.Contains(fmt.Sprint(rep.Rows()), "at 50/s") {
		t.Errorf("%+v", rep)
	}
	if len(seen) == 0 || seen[0] < 20 || seen[0] >= 60 {
		t.Errorf("%v connections on the way", seen)
	}
	cfg.Ramp, err = schedule.New(schedule.Point{Rate: 10}, schedule.Point{At: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "never comes to 60") {
		t.Errorf("%v", err)
	}
}
