package fanout

import (
	"bytes"
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

func setup(t *testing.T, faults chatserver.Faults) Config {
	t.Helper()
	s := benchtest.Chat(t, faults)
	return Config{URL: s.URL(), Key: benchtest.Key(t), Listeners: 30, Rounds: 2, Round: 40 * time.Millisecond, Server: observe.New(os.Getpid(), "")}
}

func TestRunMeasures(t *testing.T) {
	for _, size := range []int{64, 1000} {
		cfg := setup(t, chatserver.Faults{})
		cfg.Size = size
		rep, err := Run(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !rep.OK() || rep.Sent == 0 || rep.Delivered != 30*rep.Sent || rep.WireBytes <= size || rep.WriteUS <= 0 {
			t.Errorf("%+v", rep)
		}
		if rep.All.P50 < rep.Deliver.P50 {
			t.Errorf("everybody had a message before half of them had: %+v", rep)
		}
	}
}

func TestFaultsOfTheServerAreFound(t *testing.T) {
	at := func(n int, fault func(m frame.Message) []frame.Message) chatserver.Faults {
		return chatserver.Faults{Deliver: func(i int, m frame.Message) []frame.Message {
			if i == n {
				return fault(m)
			}
			return []frame.Message{m}
		}}
	}
	for name, c := range map[string]struct {
		faults chatserver.Faults
		count  func(r *Report) int64
	}{
		"lost": {at(3, func(frame.Message) []frame.Message { return nil }), func(r *Report) int64 { return r.Lost }},
		"twice": {at(3, func(m frame.Message) []frame.Message { return []frame.Message{m, m} }),
			func(r *Report) int64 { return r.Duplicated }},
		"altered": {at(3, func(m frame.Message) []frame.Message {
			m.Body = bytes.Clone(m.Body)
			m.Body[40] ^= 1
			return []frame.Message{m}
		}), func(r *Report) int64 { return r.Altered }},
	} {
		cfg := setup(t, c.faults)
		cfg.Patience = 100 * time.Millisecond
		rep, err := Run(context.Background(), cfg)
		if err != nil {
			t.Fatal(name, err)
		}
		if rep.OK() || c.count(rep) != 30 || len(rep.Violations) == 0 {
			t.Errorf("%s: %+v", name, rep)
		}
	}
}

func TestRunsThatCannotTakePlaceSayWhy(t *testing.T) {
	refusing := setup(t, chatserver.Faults{Hello: func() uint64 { return frame.ErrorUnauthorized }})
	for want, change := range map[string]func(*Config){
		"no key":            func(c *Config) { c.Key = nil },
		"--server-pid":      func(c *Config) { c.Server = nil },
		"must be positive":  func(c *Config) { c.Listeners = -1 },
		"out of range":      func(c *Config) { c.Size = 1 },
		"descriptors":       func(c *Config) { c.Listeners = 1 << 40 },
		"is --key the file": func(c *Config) { c.URL = refusing.URL },
		"connection ended":  func(c *Config) { c.URL = "ws://127.0.0.1:1/v1/ws" },
		"no process":        func(c *Config) { c.Server = observe.New(1<<30, "") },
	} {
		cfg := setup(t, chatserver.Faults{})
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestSamplesShowTheDeliveries(t *testing.T) {
	cfg := setup(t, chatserver.Faults{})
	cfg.Rounds, cfg.Round = 1, 1200*time.Millisecond
	var last meter.Sample
	cfg.Watch = func(s meter.Sample) { last = s }
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if last.Counts["delivered"] == 0 || last.Gauges["connections"] != 30 || last.Latencies["deliver"].Count() == 0 || rep.Curves()["deliver"].Count() != rep.Delivered {
		t.Errorf("%+v", last)
	}
}
