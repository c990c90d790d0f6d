package netserver

import (
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestPaceFollowsTheModel takes tokens at random times and compares with a bucket that is counted in fractions.
func TestPaceFollowsTheModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 50 {
		rate, now := 1+r.IntN(20_000), int64(1e18)
		burst := rate * (1 + r.IntN(4))
		p, has, last := newPace(rate, burst), float64(burst), now
		perNs := 1 / float64(p.interval)
		for step := range 20_000 {
			now += int64(r.ExpFloat64() * float64(p.interval) * 0.8)
			has = math.Min(float64(burst), has+float64(now-last)*perNs)
			last = now
			took := p.take(now)
			if took != (has >= 1) && math.Abs(has-1) > 1e-3 {
				t.Fatalf("rate %d, burst %d, step %d: took %v with %v tokens", rate, burst, step, took, has)
			}
			if took {
				has--
			}
		}
	}
}

func TestPaceWhenTheClockIsSetBack(t *testing.T) {
	p := newPace(10, 10)
	now := int64(1e18)
	for p.take(now) {
	}
	now -= int64(time.Hour)
	if p.take(now) {
		t.Error("a token came of setting the clock back")
	}
	if !p.take(now + int64(100*time.Millisecond)) {
		t.Error("no token after the time of one")
	}
}

// knock connects, asks for an upgrade and returns the status and how long to wait.
func knock(address string) (status, retry int, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, upgradeRequest("/")) // a server that turns away may have closed already
	b := make([]byte, 4096)
	n, err := io.ReadAtLeast(c, b, 12)
	if err != nil {
		return 0, 0, err
	}
	head := string(b[:n])
	status, _ = strconv.Atoi(head[9:12])
	if _, after, ok := strings.Cut(head, "Retry-After: "); ok {
		retry, _ = strconv.Atoi(after[:strings.IndexByte(after, '\r')])
	}
	return status, retry, nil
}

// TestAcceptRateIsLetThrough knocks as fast as it can. What gets in is the rate and the burst; the rest is told to come back.
func TestAcceptRateIsLetThrough(t *testing.T) {
	const rate, knockers = 300, 4
	s := serve(t, quick(Config{Raw: true, LingerTimeout: 20 * time.Millisecond, Limits: Limits{AcceptRate: rate, AcceptBurst: rate}}), Echo{})
	var in, refused, lost atomic.Int64
	var waits [11]atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range knockers {
		wg.Go(func() {
			for time.Since(begin) < 2*time.Second {
				switch status, retry, err := knock(s.Addr().String()); {
				case err != nil:
					lost.Add(1)
				case status == http.StatusSwitchingProtocols:
					in.Add(1)
				case status == http.StatusServiceUnavailable && retry >= 1 && retry <= 10:
					refused.Add(1)
					waits[retry].Add(1)
				default:
					t.Errorf("answered %d, Retry-After %d", status, retry)
				}
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	allowed := rate + rate*elapsed.Seconds()
	t.Logf("in %v: %d in, %d refused, %d without an answer; the rate allows %.0f", elapsed, in.Load(), refused.Load(), lost.Load(), allowed)
	if got := float64(in.Load()); got > allowed*1.1 || got < allowed*0.7 {
		t.Errorf("%v were let in, the rate allows %.0f", got, allowed)
	}
	if lost.Load()*20 > refused.Load() {
		t.Errorf("%d of %d that were turned away got no answer", lost.Load(), refused.Load())
	}
	for retry := 1; retry <= 10; retry++ {
		if waits[retry].Load() == 0 {
			t.Errorf("nobody was told to come back after %d s", retry)
		}
	}
	onLoop(t, s.loops[0], func() {
		n := &s.loops[0].n
		if n.limited[limitAcceptRate] != uint64(refused.Load()+lost.Load()) || n.opened != uint64(in.Load()) {
			t.Errorf("counted %d opened and %d turned away", n.opened, n.limited[limitAcceptRate])
		}
	})
}

// TestFloodStaysInTheBacklog: one a second gets in, one is refused, and the third waits in the backlog and is served in the end.
func TestFloodStaysInTheBacklog(t *testing.T) {
	s := serve(t, quick(Config{Raw: true, Limits: Limits{AcceptRate: 1, AcceptBurst: 1}}), Echo{})
	for _, want := range []int{101, 503} {
		if status, _, err := knock(s.Addr().String()); status != want {
			t.Fatalf("answered %d, %v; want %d", status, err, want)
		}
	}
	if status, _, err := knock(s.Addr().String()); status != 101 {
		t.Errorf("the third: %d, %v", status, err)
	}
	onLoop(t, s.loops[0], func() {
		if n := s.loops[0].n.limited[limitBacklog]; n == 0 {
			t.Error("accepting never paused")
		}
	})
}
