package chat

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, faults chatserver.Faults) *chatserver.Server {
	t.Helper()
	s, err := chatserver.Start(faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func key(t *testing.T) *token.Signer {
	t.Helper()
	k, err := token.Parse([]byte(strings.Repeat("5a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// quick is a short run against s.
func quick(t *testing.T, s *chatserver.Server) Config {
	return Config{URL: s.URL(), Key: key(t), Pairs: 8, Duration: 200 * time.Millisecond, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond,
		RetryJitter: 5 * time.Millisecond, MarkDelay: 20 * time.Millisecond}
}

func TestRunsThatAreInOrder(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"one in flight":     func(*Config) {},
		"many in flight":    func(c *Config) { c.Inflight = 16 },
		"visitors only":     func(c *Config) { c.Inflight, c.VisitorOnly = 4, true },
		"open loop":         func(c *Config) { c.Rate = schedule.MustConstant(2000) },
		"two loops":         func(c *Config) { c.Threads, c.Pairs, c.Inflight = 2, 7, 3 },
		"large bodies":      func(c *Config) { c.Size, c.Inflight, c.Pairs = 20_000, 16, 2 },
		"small bodies":      func(c *Config) { c.Size, c.Inflight, c.Pairs, c.Duration = 32, 2048, 1, time.Second }, // of more pairs, or sooner, none might be answered in the window
		"warm-up":           func(c *Config) { c.Warmup = 50 * time.Millisecond },
		"one pair, 2 loops": func(c *Config) { c.Threads, c.Pairs = 2, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, chatserver.Faults{})
			cfg := quick(t, s)
			change(&cfg)
			rep, err := Run(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !rep.OK() || rep.Sent == 0 || rep.Accepted != rep.Sent || rep.Delivered != rep.Sent || rep.Reconnects+rep.Resent+rep.Refusals != 0 {
				t.Errorf("%+v", rep)
			}
			if rep.Accept.Max <= 0 || rep.Deliver.P50 <= 0 || rep.Rate <= 0 || rep.DeliveryRate <= 0 || rep.Marks == 0 {
				t.Errorf("%+v", rep)
			}
			if rep.Generator.Busy <= 0 || rep.Generator.Lag.Max <= 0 {
				t.Errorf("nobody watched the generator: %+v", rep.Generator)
			}
			if s.Closed() != cfg.Pairs {
				t.Errorf("%d conversations closed at the end, want %d", s.Closed(), cfg.Pairs)
			}
		})
	}
}

func TestTheOpenLoopKeepsItsRate(t *testing.T) {
	cfg := quick(t, start(t, chatserver.Faults{}))
	cfg.Rate, cfg.Duration = schedule.MustConstant(1000), time.Second
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Sent < 1000 || rep.Sent > 1300 { // each slot that became due is sent, however late the machine is
		t.Errorf("%d sent in a second at 1000/s", rep.Sent)
	}
}

func TestARampOfTheRate(t *testing.T) {
	cfg := quick(t, start(t, chatserver.Faults{}))
	ramp, err := schedule.New(schedule.Point{At: 0, Rate: 0}, schedule.Point{At: 500 * time.Millisecond, Rate: 2000}, schedule.Point{At: 500 * time.Millisecond, Rate: 0})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Rate, cfg.Threads, cfg.Duration = ramp, 2, 700*time.Millisecond
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Sent != 500 || rep.Delivered != 500 || !rep.OK() || math.Abs(rep.Target-500/0.7) > 1e-6 || rep.Ramp != "0s:0,500ms:2000,500ms:0" {
		t.Errorf("%d sent, want the 500 below the ramp: %+v", rep.Sent, rep)
	}
}

// TestPartsOfALoad: two processes with the same configuration but for their part send what one would.
func TestPartsOfALoad(t *testing.T) {
	s := start(t, chatserver.Faults{})
	ramp, err := schedule.New(schedule.Point{Rate: 1500}, schedule.Point{At: 400 * time.Millisecond, Rate: 1500}, schedule.Point{At: 400 * time.Millisecond, Rate: 0})
	if err != nil {
		t.Fatal(err)
	}
	var sent, pairs [2]int
	var parts sync.WaitGroup
	for part := range 2 {
		parts.Go(func() {
			cfg := quick(t, s)
			cfg.Rate, cfg.Pairs, cfg.Part, cfg.Of, cfg.Duration = ramp, 5, part, 2, 600*time.Millisecond
			cfg.Threads = 2
			rep, err := Run(context.Background(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			sent[part], pairs[part] = int(rep.Sent), rep.Pairs
		})
	}
	parts.Wait()
	if sent != [2]int{360, 240} || pairs != [2]int{3, 2} {
		t.Errorf("%d messages of %d pairs, want 360 of 3 and 240 of 2", sent, pairs)
	}
}

func TestFaultsOfTheServerAreFound(t *testing.T) {
	at := func(n int, fault func(m frame.Message) []frame.Message) func(int, frame.Message) []frame.Message {
		return func(i int, m frame.Message) []frame.Message {
			if i == n {
				return fault(m)
			}
			return []frame.Message{m}
		}
	}
	for name, c := range map[string]struct {
		faults chatserver.Faults
		count  func(r *Report) int64
	}{
		"a message is lost": {chatserver.Faults{Deliver: at(50, func(frame.Message) []frame.Message { return nil })},
			func(r *Report) int64 { return r.Lost }},
		"a message comes twice": {chatserver.Faults{Deliver: at(50, func(m frame.Message) []frame.Message { return []frame.Message{m, m} })},
			func(r *Report) int64 { return r.Duplicated }},
		"a message is altered": {chatserver.Faults{Deliver: at(50, func(m frame.Message) []frame.Message {
			m.Body = bytes.Clone(m.Body)
			m.Body[40] ^= 1
			return []frame.Message{m}
		})}, func(r *Report) int64 { return r.Altered }},
		"a message goes astray": {chatserver.Faults{Deliver: at(50, func(m frame.Message) []frame.Message {
			m.Conv[3] ^= 1
			return []frame.Message{m}
		})}, func(r *Report) int64 { return r.Misdelivered }},
		"two messages are swapped": {chatserver.Faults{Deliver: swap(50)}, func(r *Report) int64 { return r.Reordered }},
		"an ack comes twice": {chatserver.Faults{Ack: func(n int) int { return 1 + n/50*50/n*(n/50) }},
			func(r *Report) int64 { return r.BadAcks }},
		"an ack is lost": {chatserver.Faults{Ack: func(n int) int {
			if n == 50 {
				return 0
			}
			return 1
		}}, func(r *Report) int64 { return r.Unanswered }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := quick(t, start(t, c.faults))
			cfg.Pairs, cfg.Inflight, cfg.VisitorOnly, cfg.Drain = 1, 4, true, 100*time.Millisecond
			rep, err := Run(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if rep.OK() || c.count(rep) == 0 || len(rep.Violations) == 0 {
				t.Errorf("%+v", rep)
			}
		})
	}
}

// swap holds message n back until the next one was delivered.
func swap(n int) func(int, frame.Message) []frame.Message {
	var held frame.Message
	return func(i int, m frame.Message) []frame.Message {
		switch i {
		case n:
			held = m
			return nil
		case n + 1:
			return []frame.Message{m, held}
		}
		return []frame.Message{m}
	}
}

func TestLostConnectionsLoseNothing(t *testing.T) {
	for _, rate := range []float64{0, 4000} {
		s := start(t, chatserver.Faults{})
		cfg := quick(t, s)
		cfg.Rate, cfg.Inflight, cfg.Duration = schedule.MustConstant(rate), 8, time.Second
		ctx, stop := context.WithCancel(context.Background())
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		ended := make(chan struct{})
		go func() { // ends when the run does
			defer close(ended)
			random := rand.New(rand.NewPCG(seed, 0))
			for ctx.Err() == nil {
				time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
				s.DropAll()
			}
		}()
		cfg.Watch = func(p meter.Sample) {
			if p.Phase == "measuring" {
				stop()
			}
		}
		cfg.Pairs, cfg.OpenWithin = 4, 10*time.Second
		rep, err := Run(context.Background(), cfg)
		stop()
		<-ended
		if err != nil {
			t.Fatal(err)
		}
		if !rep.OK() || rep.Reconnects == 0 || rep.Accepted != rep.Sent || rep.Delivered != rep.Sent {
			t.Errorf("rate %g: %+v", rate, rep)
		}
		t.Logf("%d sent, %d reconnects, %d resent", rep.Sent, rep.Reconnects, rep.Resent)
	}
}

// TestDrainedClientsLeave: each client leaves once, in its window, although the server goes on.
func TestDrainedClientsLeave(t *testing.T) {
	busy, asked := make(chan struct{}), make(chan struct{})
	s := start(t, chatserver.Faults{Ack: func(n int) int {
		if n == 100 {
			close(busy)
		}
		return 1
	}})
	go func() { // ends once messages flow; awaited below
		defer close(asked)
		<-busy
		s.Drain(frame.Drain{DelayMS: 50, WindowMS: 100})
	}()
	cfg := quick(t, s)
	cfg.Duration = time.Second
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	if !rep.OK() || rep.Reconnects != int64(2*cfg.Pairs) {
		t.Errorf("%d clients were asked to leave: %+v", 2*cfg.Pairs, rep)
	}
}

func TestRefusedSendsAreTriedAgain(t *testing.T) {
	cfg := quick(t, start(t, chatserver.Faults{Refuse: func(n int) uint64 {
		if n%10 == 0 {
			return frame.ErrorOverloaded
		}
		return 0
	}}))
	cfg.Inflight = 8
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() || rep.Refusals == 0 || rep.Resent == 0 || rep.Accepted != rep.Sent {
		t.Errorf("%+v", rep)
	}
}

// other starts a WebSocket server that is no Switchyard.
func other(t *testing.T, hook echoserver.Hook) (url string) {
	t.Helper()
	s, err := echoserver.Start(hook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.URL()
}

func TestRunsThatCannotTakePlaceSayWhy(t *testing.T) {
	gone := start(t, chatserver.Faults{})
	gone.Close()
	echo, garbage := other(t, nil), other(t, func(ws.OpCode, []byte) [][]byte { return [][]byte{{0xc1}} })
	wrongKey := start(t, chatserver.Faults{Hello: func() uint64 { return frame.ErrorUnauthorized }})
	forbids := start(t, chatserver.Faults{Refuse: func(int) uint64 { return frame.ErrorForbidden }})
	fine := start(t, chatserver.Faults{})
	for want, change := range map[string]func(*Config){
		"is the server running":     func(c *Config) { c.URL = gone.URL() },
		"is --key the file":         func(c *Config) { c.URL = wrongKey.URL() },
		"what is no frame":          func(c *Config) { c.URL = garbage },
		"only 0 of 8 pairs":         func(c *Config) { c.URL, c.OpenWithin = echo, 100*time.Millisecond },
		"forbidden":                 func(c *Config) { c.URL = forbids.URL() },
		"no key":                    func(c *Config) { c.Key = nil },
		"use 32 to 60000":           func(c *Config) { c.Size = 8 },
		"and more pairs":            func(c *Config) { c.Inflight = 5000 },
		"descriptors":               func(c *Config) { c.Pairs = 50_000_000 },
		"no part 2 of 2":            func(c *Config) { c.Part, c.Of = 2, 2 },
		"each process needs a pair": func(c *Config) { c.Pairs, c.Of = 2, 3 },
		"must be positive":          func(c *Config) { c.Pairs = -1 },
		"must not be negative":      func(c *Config) { c.Drain = -1 },
	} {
		cfg := quick(t, fine)
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := quick(t, start(t, chatserver.Faults{Ack: func(n int) int {
		if n == 100 {
			cancel()
		}
		return 1
	}}))
	cfg.Duration = time.Hour
	rep, err := Run(ctx, cfg)
	if err != nil || !rep.OK() || rep.Sent == 0 || rep.Seconds > 600 {
		t.Errorf("%+v, %v", rep, err)
	}
}
