package overload

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest"
	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run is a short run against a server that refuses some sendings.
func run(t *testing.T, refuse func(int) uint64, change func(*Config)) (*Report, error) {
	t.Helper()
	s := benchtest.Chat(t, chatserver.Faults{Refuse: refuse})
	cfg := Config{Chat: chat.Config{URL: s.URL(), Key: benchtest.Key(t), Pairs: 8, Duration: 200 * time.Millisecond}, Times: 2, Inflight: []int{1, 4}, MinShare: 0.01, MaxP99: 60_000}
	change(&cfg)
	return Run(context.Background(), cfg)
}

func TestTheLoadIsAMultipleOfThePeak(t *testing.T) {
	rep, err := run(t, nil, func(*Config) {})
	if err != nil {
		t.Fatal(err)
	}
	best := max(rep.Peaks[0].Rate, rep.Peaks[1].Rate)
	if rep.Peak != best || rep.Overload.Target != 2*best || rep.Share != rep.Overload.Rate/best || !rep.OK() {
		t.Errorf("%+v", rep)
	}
	if rep.Peaks[0].Inflight != 1 || rep.Peaks[1].Inflight != 4 || rep.Overload.Attempt.P50 <= 0 {
		t.Errorf("%+v", rep)
	}
	var text strings.Builder
	for _, r := range rep.Rows() {
		text.WriteString(r.Name)
	}
	if !strings.Contains(text.String(), "peakpeakload") || !strings.HasSuffix(text.String(), "verdict") {
		t.Errorf("rows %s", text.String())
	}
}

// TestAttemptsCountFromTheLastSending: a message that was refused for a while waited at its client, but the sending that was accepted did not.
func TestAttemptsCountFromTheLastSending(t *testing.T) {
	rep, err := run(t, func(n int) uint64 {
		if n%20 == 0 {
			return frame.ErrorOverloaded
		}
		return 0
	}, func(cfg *Config) { cfg.Inflight = []int{1} })
	if err != nil {
		t.Fatal(err)
	}
	if o := rep.Overload; o.Refusals == 0 || o.Attempt.P50 >= o.Accept.P50 {
		t.Errorf("%d refusals, attempts %v, from due %v", o.Refusals, o.Attempt, o.Accept)
	}
}

func TestVerdicts(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"too little is accepted": func(c *Config) { c.MinShare = 100 },
		"too late":               func(c *Config) { c.MaxP99 = 0.0001 },
	} {
		if rep, err := run(t, nil, change); err != nil || rep.OK() {
			t.Errorf("%s: passed, %v", name, err)
		}
	}
	if _, err := run(t, nil, func(c *Config) { c.Times = 1 }); err == nil {
		t.Error("a load of one peak is taken")
	}
	if _, err := run(t, nil, func(c *Config) { c.Inflight = nil }); err == nil {
		t.Error("a peak is found with nothing")
	}
}
