package netserver

import (
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
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

// knock connects and asks for an upgrade.
func knock(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, upgradeRequest("/")) // a server that turns away may have closed already
	return c
}

// answered reads the status of the answer, and how long to wait.
func answered(c net.Conn) (status, retry int, err error) {
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

// TestAcceptRateIsLetThrough has more clients knock than get in, by a clock that it turns itself. By each step exactly the rate and the burst got
// in, as many were told to come back, and the rest waits in the backlog and is answered later.
func TestAcceptRateIsLetThrough(t *testing.T) {
	const rate, step, each = 100, 100 * time.Millisecond, 10 // of which that many fall into a step
	l := stoppedLoop(t, Config{Raw: true, Limits: Limits{AcceptRate: rate, AcceptBurst: rate}}, Echo{})
	fd, address, err := listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	a := &listener{loop: l, loops: []*loop{l}, fd: fd, rate: newAcceptRate(&l.cfg.Limits)}
	l.listener = a // closes it in the end
	if err := a.start(); err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for n, begin := 0, time.Now().UnixNano(); ; n++ {
		knocks := [...]int{250, 24}[min(n, 1)]
		for ; knocks > 0 && n < 20; knocks-- {
			clients = append(clients, knock(t, address.String()))
		}
		l.now = begin + int64(n)*int64(step)
		l.resumeAccepting()
		decided := func() (in, refused int) { return int(l.n.accepted), int(l.n.limited[limitAcceptRate]) }
		eventually(t, "all are accepted, or accepting pauses", func() bool {
			a.acceptSome()
			l.end()
			in, refused := decided()
			return a.paused || in+refused == len(clients)
		})
		in, refused := decided()
		if in+refused == len(clients) {
			break
		}
		if want := rate + n*each; in != want || refused != want {
			t.Fatalf("by step %d %d were let in and %d told to come back; the rate allows %d", n, in, refused, want)
		}
	}
	counts, waits := map[int]int{}, map[int]int{}
	for _, c := range clients {
		status, retry, err := answered(c)
		if err != nil {
			t.Fatal(err)
		}
		counts[status]++
		waits[retry]++
	}
	if in, refused := counts[http.StatusSwitchingProtocols], counts[http.StatusServiceUnavailable]; in+refused != len(clients) || in != int(l.n.accepted) {
		t.Errorf("%d clients were answered %v, %d were counted in", len(clients), counts, l.n.accepted)
	}
	for retry := 1; retry <= 10; retry++ {
		if waits[retry] == 0 {
			t.Errorf("nobody was told to come back after %d s", retry)
		}
	}
}

// TestFloodStaysInTheBacklog knocks at a server that lets one a second in and refuses one more. Who is neither waits in the backlog, and is
// answered in the end.
func TestFloodStaysInTheBacklog(t *testing.T) {
	s := serve(t, quick(Config{Raw: true, Limits: Limits{AcceptRate: 1, AcceptBurst: 1}}), Echo{})
	seen, waited := map[int]int{}, uint64(0)
	eventually(t, "somebody is let in, refused, and waits", func() bool {
		status, _, err := answered(knock(t, s.Addr().String()))
		if err != nil || status != 101 && status != 503 {
			t.Fatalf("answered %d, %v", status, err)
		}
		seen[status]++
		onLoop(t, s.loops[0], func() { waited = s.loops[0].n.limited[limitBacklog] })
		return seen[101] > 0 && seen[503] > 0 && waited > 0
	})
	if status, _, err := answered(knock(t, s.Addr().String())); err != nil || status != 101 && status != 503 {
		t.Errorf("after the pause: answered %d, %v", status, err)
	}
}
