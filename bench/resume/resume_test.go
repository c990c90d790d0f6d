package resume

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest"
	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func setup(t *testing.T, faults chatserver.Faults) (*chatserver.Server, Config) {
	t.Helper()
	s := benchtest.Chat(t, faults)
	return s, Config{URL: s.URL(), Key: benchtest.Key(t), Clients: 40, Missed: 5, Settle: time.Millisecond, Within: 10 * time.Second, Threads: 2, Server: observe.New(os.Getpid(), "")}
}

func TestEverybodyGetsWhatWasMissed(t *testing.T) {
	for name, faults := range map[string]chatserver.Faults{
		"at once": {},
		"some refused for now": {Refuse: func(n int) uint64 {
			if n%7 == 0 {
				return frame.ErrorOverloaded
			}
			return 0
		}},
	} {
		s, cfg := setup(t, faults)
		rep, err := Run(context.Background(), cfg)
		if err != nil {
			t.Fatal(name, err)
		}
		if !rep.OK() || rep.Sent != 200 || rep.Accepted != 200 || rep.Delivered != 200 || rep.Complete != 40 {
			t.Errorf("%s: %+v", name, rep)
		}
		if rep.Seconds <= 0 || rep.Resumed.Max > rep.Seconds*1000+1 || rep.Server == nil {
			t.Errorf("%s: %+v", name, rep)
		}
		if s.Closed() != 40 {
			t.Errorf("%s: %d conversations closed at the end, want 40", name, s.Closed())
		}
	}
}

// TestAReplayThatLacksAMessageIsFound has the server forget one of what it accepted.
func TestAReplayThatLacksAMessageIsFound(t *testing.T) {
	_, cfg := setup(t, chatserver.Faults{Replay: func(log []frame.Message) []frame.Message {
		if len(log) < 2 {
			return log
		}
		return append(log[:1:1], log[2:]...)
	}})
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.OK() || rep.Lost != 40 || len(rep.Violations) == 0 {
		t.Errorf("%+v", rep)
	}
}

func TestRunsThatCannotTakePlaceSayWhy(t *testing.T) {
	_, refusing := setup(t, chatserver.Faults{Hello: func() uint64 { return frame.ErrorUnauthorized }})
	_, denying := setup(t, chatserver.Faults{Refuse: func(int) uint64 { return frame.ErrorForbidden }})
	for want, change := range map[string]func(*Config){
		"no key":            func(c *Config) { c.Key = nil },
		"must be positive":  func(c *Config) { c.Clients = -1 },
		"out of range":      func(c *Config) { c.Size = 1 },
		"not be negative":   func(c *Config) { c.Settle = -1 },
		"descriptors":       func(c *Config) { c.Clients = 1 << 40 },
		"is --key the file": func(c *Config) { c.URL = refusing.URL },
		"forbidden":         func(c *Config) { c.URL = denying.URL },
		"is the server run": func(c *Config) { c.URL = "ws://127.0.0.1:1/v1/ws" },
		"no process":        func(c *Config) { c.Server = observe.New(1<<30, "") },
	} {
		_, cfg := setup(t, chatserver.Faults{})
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestSamplesShowWhoCameBack(t *testing.T) {
	_, cfg := setup(t, chatserver.Faults{})
	cfg.Settle = 1200 * time.Millisecond
	var last meter.Sample
	cfg.Watch = func(s meter.Sample) { last = s }
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if last.Phase != "all are connected again" || last.Counts["accepted"] != 200 || last.Gauges["connections"] != 40 || last.Latencies["resume"] == nil || rep.Curves()["resume"].Count() != 40 {
		t.Errorf("%+v", last)
	}
}
