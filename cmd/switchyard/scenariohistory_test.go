package main

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/benchtest/liar"
	"github.com/switchyard-im/switchyard/bench/history"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/frame"
)

// TestAPageThatNeverComes: a reader over WebSockets waits for it to the end, and then its walk came to none.
func TestAPageThatNeverComes(t *testing.T) {
	i := newInstallation(t)
	i.start()
	pages := 0
	p, err := liar.Start("ws://"+i.listen+"/v1/ws", liar.Lies{ToClient: func(_ string, typ frame.Type, f []byte) []byte {
		if typ == frame.TypePage {
			if pages++; pages == 20 {
				return nil
			}
		}
		return f
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	rep, err := history.Run(t.Context(), history.Config{
		URL: p.URL(), Key: i.signer(), Conversations: 3, Messages: 50, Readers: 3, Page: 10, Duration: 300 * time.Millisecond, Drain: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if rep.OK() || rep.Unread != 1 || len(rep.Violations) != 1 || !strings.Contains(rep.Violations[0], "never answered") {
		t.Errorf("%+v", rep)
	}
}

// TestHistoryScenario pages through conversations by both ways, and through the same ones once more after a kill.
func TestHistoryScenario(t *testing.T) {
	i := newInstallation(t, "--set", "api.listen=127.0.0.1:0")
	p, _ := i.start()
	base := history.Config{URL: "ws://" + i.listen + "/v1/ws", Key: i.signer(), Conversations: 5, Messages: 150, Readers: 3, Page: 40, Duration: 300 * time.Millisecond}
	run := func(change func(*history.Config)) *history.Report {
		t.Helper()
		cfg := base
		change(&cfg)
		rep, err := history.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !rep.OK() || rep.Walks == 0 || rep.Read < 151*rep.Walks || rep.Partial != 0 {
			t.Errorf("%+v", rep)
		}
		return rep
	}
	run(func(*history.Config) {})
	run(func(c *history.Config) { c.Threads = 2 })
	run(func(c *history.Config) { c.API, c.Forwards = "http://"+i.api, true })
	first := run(func(c *history.Config) { c.API = "http://" + i.api })
	number, err := strconv.ParseUint(first.Run, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGKILL)
	p, _ = i.start()
	again := run(func(c *history.Config) {
		c.URL, c.API, c.Again, c.Server = "ws://"+i.listen+"/v1/ws", "http://"+i.api, uint32(number), observe.New(p.cmd.Process.Pid, "")
	})
	if again.Messages != 0 || again.Server == nil || again.ServerUSPerPage <= 0 {
		t.Errorf("%+v", again)
	}
}
