package storm

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest"
	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func setup(t *testing.T, faults chatserver.Faults) (*chatserver.Server, Config) {
	t.Helper()
	s := benchtest.Chat(t, faults)
	key := func() (*token.Signer, error) { return benchtest.Key(t), nil }
	return s, Config{URL: s.URL(), Key: key, Clients: 50, Rate: 2000, Before: 50 * time.Millisecond, After: 50 * time.Millisecond, Within: 20 * time.Second,
		Threads: 2, Retry: retry.Policy{Min: time.Millisecond, Max: 50 * time.Millisecond, Jitter: 10 * time.Millisecond}}
}

// dropWhen is the outage that an operator makes, once messages flow.
func dropWhen(busy <-chan struct{}, s *chatserver.Server) {
	<-busy
	s.DropAll()
}

func TestEverybodyComesBackWithoutALoss(t *testing.T) {
	busy := make(chan struct{})
	s, cfg := setup(t, chatserver.Faults{Deliver: func(n int, m frame.Message) []frame.Message {
		if n == 100 {
			close(busy)
		}
		return []frame.Message{m}
	}})
	go dropWhen(busy, s)
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() || rep.Complete != 50 || rep.Dropped < 50 || rep.Sent == 0 || rep.Accepted != rep.Sent || rep.Delivered != rep.Sent {
		t.Errorf("%+v", rep)
	}
	if rep.FirstSeconds <= 0 || rep.Seconds < rep.FirstSeconds || rep.Back.Max <= 0 || rep.UpSeconds != 0 {
		t.Errorf("%+v", rep)
	}
}

// TestALossIsFound: one of the first messages is not delivered, though many follow it.
func TestALossIsFound(t *testing.T) {
	busy := make(chan struct{})
	s, cfg := setup(t, chatserver.Faults{Deliver: func(n int, m frame.Message) []frame.Message {
		switch n {
		case 60:
			return nil
		case 500:
			close(busy)
		}
		return []frame.Message{m}
	}})
	go dropWhen(busy, s)
	cfg.Drain = 100 * time.Millisecond
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.OK() || rep.Lost != 1 || rep.Complete != 50 {
		t.Errorf("%+v", rep)
	}
}

func TestRunsThatCannotTakePlaceSayWhy(t *testing.T) {
	_, refusing := setup(t, chatserver.Faults{Hello: func() uint64 { return frame.ErrorUnauthorized }})
	for want, change := range map[string]func(*Config){
		"no key":            func(c *Config) { c.Key = nil },
		"must be positive":  func(c *Config) { c.Clients = -1 },
		"a size":            func(c *Config) { c.Size = 1 },
		"a rate":            func(c *Config) { c.Rate = -1 },
		"not be negative":   func(c *Config) { c.Before = -1 },
		"descriptors":       func(c *Config) { c.Clients = 1 << 40 },
		"is --key the file": func(c *Config) { c.URL = refusing.URL },
		"is the server run": func(c *Config) { c.URL = "ws://127.0.0.1:1/v1/ws" },
		"ws://HOST:PORT/PA": func(c *Config) { c.URL = "ftp://x" },
		"listens on":        func(c *Config) { c.Command = "sleep 100" },
		"ended before it":   func(c *Config) { c.URL, c.Command = "ws://127.0.0.1:1/v1/ws", "false" },
	} {
		_, cfg := setup(t, chatserver.Faults{})
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestSamplesShowTheOutage: after it a sample has who came back, and every sample what was delivered.
func TestSamplesShowTheOutage(t *testing.T) {
	busy := make(chan struct{})
	s, cfg := setup(t, chatserver.Faults{Deliver: func(n int, m frame.Message) []frame.Message {
		if n == 100 {
			close(busy)
		}
		return []frame.Message{m}
	}})
	cfg.After = 1200 * time.Millisecond
	var back, delivered int64
	var last meter.Sample
	cfg.Watch = func(s meter.Sample) {
		last = s
		if l := s.Latencies["back"]; l != nil {
			back += l.Count()
			delivered += s.Latencies["deliver"].Count()
		}
	}
	go dropWhen(busy, s)
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if back < 50 || delivered != last.Counts["delivered"] || delivered == 0 || last.Gauges["connections"] != 50 || rep.Curves()["back"].Count() < 50 {
		t.Errorf("%d back, %d delivered, at last %+v", back, delivered, last)
	}
}
