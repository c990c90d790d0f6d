package main

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/history"
	"github.com/switchyard-im/switchyard/bench/observe"
)

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
