package main

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/desk"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/schedule"
)

// desks starts a server whose groups let conversations be reopened, and has a small desk to be played on it.
func desks(t *testing.T) (*installation, *process, desk.Config) {
	t.Helper()
	api := freeAddress(t) // the same after a restart
	i := newInstallation(t, "--set", "api.listen="+api, "--set", "routing.file="+write(t, "routing.yaml", "default: {reopen: 1h}\ngroups: {unused: {}}\n"))
	p, _ := i.start()
	return i, p, desk.Config{
		URL: "ws://" + i.listen + "/v1/ws", Key: i.signer(), Groups: 2, Agents: 6, Capacity: 2, Visitors: 30, Transfers: 0.5, Ratings: 0.5, Reopens: 0.5,
		Duration: 400 * time.Millisecond, Drain: patience, MarkDelay: 20 * time.Millisecond, Server: observe.New(p.cmd.Process.Pid, ""),
		History: &audit.Config{URL: "http://" + api, Within: patience},
		Retry:   retry.Policy{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond, Jitter: 50 * time.Millisecond},
	}
}

// TestDeskScenario plays the whole life at a desk: more visitors than the agents have room for, transfers, ratings, reopenings.
func TestDeskScenario(t *testing.T) {
	_, _, base := desks(t)
	for name, change := range map[string]func(*desk.Config){
		"closed loop":  func(*desk.Config) {},
		"open loop":    func(c *desk.Config) { c.Rate, c.Think = schedule.MustConstant(100), 2*time.Millisecond },
		"two loops":    func(c *desk.Config) { c.Threads = 2 },
		"another size": func(c *desk.Config) { c.Size, c.Messages, c.Groups = 2000, 25, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := base
			change(&cfg)
			var last meter.Sample
			cfg.Watch = func(s meter.Sample) { last = s }
			whole := func(rep *desk.Report) bool {
				return rep.Assigned > 0 && rep.Transferred > 0 && rep.Reopened > 0 && rep.Rated > 0 && rep.Curves()["assign"].Count() > 0 && rep.Rate > 0
			}
			var rep *desk.Report
			for cfg.Duration < patience && (rep == nil || !whole(rep)) { // on a busy machine a moment is too short for a whole life
				var err error
				if rep, err = desk.Run(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
				if !rep.OK() || rep.Finished != rep.Opened || rep.Accepted != rep.Sent || rep.Delivered == 0 || rep.Reconnects+rep.Resent+rep.ReopensRefused != 0 {
					t.Fatalf("%+v", rep)
				}
				cfg.Duration *= 4
			}
			if h := rep.History; h.Accepted != rep.Accepted || h.Conversations != rep.Opened || h.Messages <= h.Accepted {
				t.Errorf("%d messages in %d conversations were accepted, and of the history %+v", rep.Accepted, rep.Opened, h)
			}
			if !whole(rep) || rep.Server == nil || rep.Server.CPUSeconds < 0 || rep.Assign.P50 < rep.Open.P50 || rep.Deliver.Max <= 0 {
				t.Errorf("a part of the life, or a figure, is missing: %+v", rep)
			}
			if last.Counts["finished"] != rep.Finished || last.Gauges["connections"] == 0 {
				t.Errorf("the last sample is %+v", last)
			}
		})
	}
}

// TestVisitorsForWhomThereIsNoRoomCount: those who are due and cannot come wait, too.
func TestVisitorsForWhomThereIsNoRoomCount(t *testing.T) {
	_, _, cfg := desks(t)
	cfg.Rate, cfg.Visitors, cfg.Think, cfg.Drain = schedule.MustConstant(1000), 4, 100*time.Millisecond, patience
	rep, err := desk.Run(t.Context(), cfg)
	if err != nil || !rep.OK() {
		t.Fatalf("%+v, %v", rep, err)
	}
	due := 1000 * rep.Seconds
	if n := float64(rep.Curves()["assign"].Count()); rep.NeverCame == 0 || n < 0.9*due || n > 1.1*due || rep.Assign.P50 < 50 {
		t.Errorf("%.0f of %.0f who were due waited, %d never came: %v", n, due, rep.NeverCame, rep.Assign)
	}
}

// TestDeskIsKilled kills the server three times in the middle of that.
func TestDeskIsKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	i, p, cfg := desks(t)
	cfg.Duration, cfg.Think, cfg.Server = 2*time.Second, 10*time.Millisecond, nil
	ended := make(chan struct{})
	begun := make(chan struct{})
	cfg.Begin = func() { close(begun) }
	go func() { // ends before the test does, which waits for it
		defer close(ended)
		<-begun
		for range 3 {
			time.Sleep(100*time.Millisecond + time.Duration(rnd.Int64N(int64(300*time.Millisecond)))) // the moment is the test's input
			p.signal(syscall.SIGKILL)
			p, _ = i.start()
		}
	}()
	rep, err := desk.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	t.Logf("%d reconnects, %d resent, %d positions", rep.Reconnects, rep.Resent, rep.Positions)
	if !rep.OK() || rep.Finished != rep.Opened || rep.Assigned == 0 || rep.Positions == 0 || rep.Reconnects < 3*36/2 || rep.History.Accepted != rep.Accepted {
		t.Errorf("%+v", rep)
	}
}
