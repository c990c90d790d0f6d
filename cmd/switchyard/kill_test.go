package main

import (
	"flag"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/token"
)

// The load of TestKillUnderLoad. "make test" runs it once more with 500 pairs and 20,000 messages/s, without -race: with it two cores do not
// carry that.
var (
	killPairs = flag.Int("kill.pairs", 100, "pairs of TestKillUnderLoad")
	killRate  = flag.Float64("kill.rate", 3000, "messages per second of TestKillUnderLoad")
)

// TestKillUnderLoad kills the server ten times at random moments while visitors and agents chat, and starts it again on the same store. The clients resume
// by themselves; in the end every accepted message has arrived exactly once, in order.
func TestKillUnderLoad(t *testing.T) {
	const kills = 10
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))

	i := newInstallation(t)
	p, _ := i.start()
	key, err := token.Load(filepath.Join(i.dir, devKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		report *chat.Report
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		report, err := chat.Run(t.Context(), chat.Config{
			URL: "ws://" + i.listen + "/v1/ws", Key: key, Pairs: *killPairs, Rate: *killRate, Duration: 20 * time.Second, Drain: patience,
			RetryMin: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond, RetryJitter: 50 * time.Millisecond,
		})
		ended <- outcome{report, err}
	}()
	for n := range kills {
		time.Sleep(200*time.Millisecond + time.Duration(rnd.Int64N(int64(800*time.Millisecond)))) // the moment is the test's input
		if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
			t.Fatalf("kill %d: the server ended by %v", n, by)
		}
		p, _ = i.start()
	}
	o := <-ended
	if o.err != nil {
		t.Fatalf("seed %d: %v", seed, o.err)
	}
	r := o.report
	t.Logf("%d sent, %d accepted, %d delivered, %d reconnects, %d resent", r.Sent, r.Accepted, r.Delivered, r.Reconnects, r.Resent)
	if !r.OK() {
		t.Errorf("seed %d: %d lost, %d duplicated, %d reordered, %d altered; %q", seed, r.Lost, r.Duplicated, r.Reordered, r.Altered, r.Violations)
	}
	if r.Accepted == 0 || r.Reconnects < kills {
		t.Errorf("%d messages were accepted and %d connections dialled again: the kills did not meet the load", r.Accepted, r.Reconnects)
	}
}
