package slow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The scenario itself is tested against the server, in cmd/switchyard: the model server of the other tests waits for its clients.

func TestRunsThatCannotTakePlaceSayWhy(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"no key":           func(c *Config) { c.Chat.Key = nil },
		"must be positive": func(c *Config) { c.Stalled = -1 },
		"out of range":     func(c *Config) { c.FloodSize = 1 },
		"a flood of 1h":    func(c *Config) { c.Flood = time.Hour },
		"not be negative":  func(c *Config) { c.Stall = -1 },
		"descriptors":      func(c *Config) { c.Chat.Pairs = 1 << 40 },
		"connection ended": func(*Config) {},
	} {
		cfg := Config{Chat: chat.Config{URL: "ws://127.0.0.1:1/v1/ws", Key: benchtest.Key(t), Pairs: 1}, Stalled: 2}
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestEndings(t *testing.T) {
	for err, want := range map[error]string{
		&client.CloseError{Code: 4001, Reason: "slow"}: "closed with 4001 slow",
		io.EOF: "cut off",
		fmt.Errorf("read: %w", syscall.ECONNRESET): "cut off",
		errors.New("something else"):               "something else",
	} {
		if got := ending(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestTheServersCounts: what it had counted before the stall is left out, and the times are of the rises.
func TestTheServersCounts(t *testing.T) {
	r := run{rep: &Report{}, started: map[string]int64{"client": 5, "slow": 1}}
	r.count(map[string]int64{"client": 5, "slow": 1}, time.Second)
	r.count(map[string]int64{"client": 5, "slow": 3}, 2*time.Second)
	r.count(map[string]int64{"client": 5, "slow": 4}, 3*time.Second)
	r.count(map[string]int64{"client": 5, "slow": 4}, 4*time.Second)
	if r.rep.FirstEnd != 2 || r.rep.LastEnd != 3 || len(r.rep.Reasons) != 1 || r.rep.Reasons["slow"] != 3 {
		t.Errorf("%+v", r.rep)
	}
}
