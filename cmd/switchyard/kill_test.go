package main

import (
	"context"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
)

// The load of TestKillUnderLoad. "make test" runs it once more with 500 pairs and 20,000 messages/s, without -race: with it two cores may be
// far behind for minutes (-kill.drain).
var (
	killPairs = flag.Int("kill.pairs", 100, "pairs of TestKillUnderLoad")
	killDrain = flag.Duration("kill.drain", patience, "how long the clients of TestKillUnderLoad may take to get what is under way")
	killLoad  = flag.Duration("kill.load", 20*time.Second, "how long the load of TestKillUnderLoad lasts at least: what piles up is half of the test")
	killRate  = flag.Float64("kill.rate", 3000, "messages per second of TestKillUnderLoad")
)

// TestKillUnderLoad kills the server ten times at random moments while visitors and agents chat, and starts it again on the same store. The clients resume
// by themselves; in the end every accepted message has arrived exactly once, in order.
func TestKillUnderLoad(t *testing.T) {
	const kills = 10
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))

	i := newInstallation(t, "--set", "overload.max_delay=400ms") // the default
	p, _ := i.start()
	load := i.chat(*killPairs, *killRate, *killDrain)
	begin := time.Now()
	for n := range kills {
		time.Sleep(200*time.Millisecond + time.Duration(rnd.Int64N(int64(800*time.Millisecond)))) // the moment is the test's input
		if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
			t.Fatalf("kill %d: the server ended by %v", n, by)
		}
		p, _ = i.start()
	}
	time.Sleep(time.Until(begin.Add(*killLoad)))
	r := load.report()
	if r.Accepted == 0 || r.Reconnects < kills {
		t.Errorf("%d messages were accepted and %d connections dialled again: the kills did not meet the load", r.Accepted, r.Reconnects)
	}
}

// load is chats that go on beside a test until it asks for the report, and the oracle that looks at them.
type load struct {
	t     *testing.T
	stop  context.CancelFunc
	ended chan error
	r     *chat.Report // once ended
}

// chat begins to chat with the installation, and returns when all pairs do. Clients come back quickly whenever the server goes, and in the end
// get what is under way within drain.
func (i *installation) chat(pairs int, rate float64, drain time.Duration) *load {
	i.t.Helper()
	key, err := token.Load(filepath.Join(i.dir, devKeyFile))
	if err != nil {
		i.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(i.t.Context())
	l := &load{t: i.t, stop: stop, ended: make(chan error, 1)}
	running := make(chan struct{})
	begun := sync.OnceFunc(func() { close(running) })
	go func() { // ends when report asks for it, and report waits
		var err error
		l.r, err = chat.Run(ctx, chat.Config{
			URL: "ws://" + i.listen + "/v1/ws", Key: key, Pairs: pairs, Rate: schedule.MustConstant(rate), Duration: time.Hour, Drain: drain,
			RetryMin: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond, RetryJitter: 50 * time.Millisecond,
			Watch: func(s meter.Sample) {
				if int(s.Gauges["pairs"]) == pairs {
					begun()
				}
			},
		})
		l.ended <- err
		begun()
	}()
	<-running
	return l
}

// report ends the chats, and fails the test if a message was lost, duplicated, reordered or altered.
func (l *load) report() *chat.Report {
	l.t.Helper()
	l.stop()
	if err := <-l.ended; err != nil {
		l.t.Fatal(err)
	}
	r := l.r
	l.t.Logf("%d sent, %d accepted, %d delivered, %d reconnects, %d resent", r.Sent, r.Accepted, r.Delivered, r.Reconnects, r.Resent)
	if !r.OK() {
		l.t.Errorf("%d lost, %d duplicated, %d reordered, %d altered; %q", r.Lost, r.Duplicated, r.Reordered, r.Altered, r.Violations)
	}
	return r
}
