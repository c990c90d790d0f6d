package main

import (
	"flag"
	"math"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/record"
)

// "make honesty" takes a stall of 500 ms every 10 s.
var (
	stallLength = flag.Duration("stall.length", time.Second, "how long the server of TestStallsAreNotHidden stalls")
	stallEvery  = flag.Duration("stall.every", 3*time.Second, "how often")
	stallCount  = flag.Int("stall.count", 1, "stalls of the measured window")
)

// TestStallsAreNotHidden: a server stalls at known times under an open loop, and the command's p99 is what arithmetic says. Each pair has one
// message under way at a time, so that most of those that a stall delays are not sent before it is over: measured from when they are sent, as by a tool
// that waits for its answers, they would take no time.
//
// A machine that stands still by itself for 5 % of the stall spoils one run; a tool that hides stalls is off by all of it in every run.
func TestStallsAreNotHidden(t *testing.T) {
	const tries = 4
	for n := range tries {
		want, run := stalled(t)
		off := 0.0
		for _, name := range []string{"accept_p99", "deliver_p99"} {
			deviation := run.Figures[name]/want - 1
			t.Logf("%s is %.1f ms, and %.1f by arithmetic: %+.1f %%", name, run.Figures[name], want, 100*deviation)
			off = max(off, math.Abs(deviation))
		}
		if alone := run.Figures["attempt_p99"]; alone > want/4 {
			t.Logf("p99 from the sending is %.1f ms: the stalls reached the messages one by one, so this shows nothing", alone)
			off = 1
		}
		if off <= 0.05 {
			return
		}
		t.Logf("run %d of %d: off by %.1f %%", n+1, tries, 100*off)
	}
	t.Error("no run agrees with arithmetic")
}

// stalled runs the command against a server that stalls, and returns the p99 by arithmetic beside what the command says.
func stalled(t *testing.T) (want float64, got *record.Run) {
	t.Helper()
	s, err := chatserver.Start(chatserver.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends after the run; each stall lies in the middle of a part of the measured window
		defer close(ended)
		s.StallEvery(*stallEvery, *stallLength, done)
	}()
	path := filepath.Join(t.TempDir(), "run.json")
	window := time.Duration(*stallCount) * *stallEvery
	code, out, errOut := bench("chat", "--url", s.URL(), "--key", keyFile(t), "--pairs", "5", "--rate", "500", "--inflight", "1", "--size", "64", "--direction", "visitor",
		"--warmup", "0s", "--duration", window.String(), "--json", path)
	close(done)
	<-ended
	if code != exitOK {
		t.Fatalf("%d\n%s%s", code, out, errOut)
	}
	got, err = record.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return p99(s.Stalls()[:*stallCount], window), got
}

// p99 is the latency, in milliseconds, of messages that become due at a constant rate and are answered at once, or when a stall is over: in a stall of
// length s every latency from 0 to s is as frequent as any other, so the part (s-x)/w of a window of length w takes longer than x. What is added by a
// server that first has to work off what waited, which is the more the longer after a stall's beginning a message was due, is left out.
func p99(stalls []chatserver.Stall, window time.Duration) float64 {
	longer := func(x time.Duration) (part float64) {
		for _, s := range stalls {
			part += max(0, float64(s.End.Sub(s.Begin)-x)) / float64(window)
		}
		return part
	}
	x := sort.Search(int(window), func(x int) bool { return longer(time.Duration(x)) <= 0.01 })
	return float64(x) / 1e6
}
