package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/desk"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/soak"
	"github.com/switchyard-im/switchyard/bench/token"
)

// TestSoak is a short one: the server is killed, drained and paused under pairs that chat and visitors who come and go, whose connections are reset. Nothing is lost, in the deliveries
// and in the history.
func TestSoak(t *testing.T) {
	dir, listen, admin, api := filepath.Join(t.TempDir(), "data"), freeAddress(t), freeAddress(t), freeAddress(t)
	var log bytes.Buffer
	trouble, err := chaos.New(chaos.Config{
		URL: "ws://" + listen + "/v1/ws", ServerLog: &log,
		Serve: "env " + asCommand + "=1 " + os.Args[0] + " serve --dev --data " + dir + " --listen " + listen + " --admin " + admin +
			" --set api.listen=" + api + " --set reconnect.drain_window=300ms",
		Plan: chaos.Plan{
			Kill: chaos.Trouble{Every: 1500 * time.Millisecond, Jitter: 500 * time.Millisecond}, Drain: chaos.Trouble{Every: 2200 * time.Millisecond},
			Pause: chaos.Trouble{Every: 1200 * time.Millisecond, For: 200 * time.Millisecond}, Cut: chaos.Trouble{Every: 700 * time.Millisecond, Share: 0.2},
		},
		Progress: func(line string) { t.Log(line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := trouble.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the log of the servers:\n%s", log.String())
		}
	}()
	if err := trouble.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, err := token.Load(filepath.Join(dir, devKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	enough := func(meter.Sample) {
		if c := trouble.Report(); c.Kill.Times >= 2 && c.Drain.Times >= 1 && c.Pause.Times >= 1 && c.Cut.Times >= 3 {
			stop()
		}
	}
	rep, err := soak.Run(ctx, soak.Config{
		Admin: "http://" + admin, Chaos: trouble,
		Chat: chat.Config{
			URL: "ws://" + listen + "/v1/ws", Key: key, Pairs: 20, Rate: schedule.MustConstant(500), Duration: time.Hour, Drain: patience,
			RetryMin: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond, RetryJitter: 50 * time.Millisecond,
			Server: trouble.Source(), History: &audit.Config{URL: "http://" + api, Within: patience}, Watch: enough,
		},
		Desk: &desk.Config{
			URL: "ws://" + listen + "/v1/ws", Key: key, Visitors: 10, Agents: 8, Think: 20 * time.Millisecond, Transfers: 0.3, Ratings: 0.3, Duration: time.Hour, Drain: patience,
			Retry: retry.Policy{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond, Jitter: 50 * time.Millisecond},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := rep.Chaos
	if !rep.OK() || rep.Chat.Accepted == 0 || rep.Chat.Accepted != rep.Chat.Sent || rep.Chat.History == nil || rep.Chat.History.Accepted != rep.Chat.Accepted {
		t.Errorf("%+v\n%+v\n%+v", rep.Chat, rep.Desk, c)
	}
	if c.Connections == 0 || rep.Starts < 2 || rep.Desk.Finished == 0 || rep.Chat.Reconnects < c.Connections {
		t.Errorf("seed %d: the trouble did not meet the load: %+v, %d starts, %d reconnects", c.Seed, c, rep.Starts, rep.Chat.Reconnects)
	}
}
