package chaos

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asServer makes the test binary be a server at the address in it, which exits after SIGTERM with the status in asServer+"_STATUS", or 0.
const asServer = "TEST_CHAOS_SERVER"

func TestMain(m *testing.M) {
	if address := os.Getenv(asServer); address != "" {
		os.Exit(serve(address))
	}
	goleak.VerifyTestMain(m)
}

// serve listens until SIGTERM.
func serve(address string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer l.Close()
	go func() { // ends with the process
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	<-term
	status, _ := strconv.Atoi(os.Getenv(asServer + "_STATUS"))
	return status
}

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// rig is a run with a server, and a member whose clients are as the test says.
type rig struct {
	t        *testing.T
	run      *Run
	member   *Member
	offline  int
	accepted int64
	cuts     int
	mu       sync.Mutex
	lines    []string // guarded by mu
	events   []string // guarded by mu
	err      error
}

func newRig(t *testing.T, cfg Config, env string) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	g := &rig{t: t}
	cfg.URL, cfg.Progress = "ws://"+address+"/", func(line string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.lines = append(g.lines, line)
	}
	cfg.Event = func(name string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.events = append(g.events, name)
	}
	cfg.Serve = fmt.Sprintf("env GORACE=atexit_sleep_ms=0 %s=%s %s '%s'", asServer, address, env, os.Args[0])
	if g.run, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := g.run.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.run.Close(); err != nil {
			t.Error(err)
		}
	})
	g.member = g.run.Join(func(float64) int { g.cuts++; return 7 })
	return g
}

// until looks in, as a scenario does, until done says so.
func (g *rig) until(done func(r *Report) bool) *Report {
	g.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		g.accepted++
		if g.err = g.member.Look(g.offline, g.accepted); g.err != nil || done(g.run.Report()) {
			return g.run.Report()
		}
	}
	g.t.Fatalf("it does not come: %+v", g.run.Report())
	return nil
}

func (g *rig) leave() *Report {
	g.t.Helper()
	if err := g.member.Leave(); err != nil {
		g.t.Error(err)
	}
	return g.run.Report()
}

func state(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
}

func TestTheServerIsKilledAndDrained(t *testing.T) {
	g := newRig(t, Config{Plan: Plan{Kill: Trouble{Every: 150 * time.Millisecond, Jitter: 50 * time.Millisecond}, Drain: Trouble{Every: 210 * time.Millisecond}}}, "")
	first := g.run.server.Process().PID()
	before, err := g.run.Source().Read(t.Context())
	if err != nil || before.RSSBytes == 0 {
		t.Fatalf("%+v, %v", before, err)
	}
	g.until(func(r *Report) bool {
		return r.Kill.Times >= 3 && r.Drain.Times >= 3 && r.Kill.Back.Max > 0 && r.Drain.Back.Max > 0
	})
	rep := g.leave()
	if !rep.OK() || rep.Seed == 0 || rep.Pause != nil || rep.Kill.Lasted.Max <= 0 || len(rep.Outages) != rep.Kill.Times+rep.Drain.Times {
		t.Errorf("%+v", rep)
	}
	for _, o := range rep.Outages[:len(rep.Outages)-1] {
		if o.Overtaken == (o.Back > 0) || o.Back > 0 && o.Back < o.Lasted || o.Lasted <= 0 {
			t.Errorf("%+v", o)
		}
	}
	if p := g.run.server.Process(); p.PID() == first || p.Ended() {
		t.Error("in the end the server is not another one that runs")
	}
	after, err := g.run.Source().Read(t.Context())
	if err != nil || after.RSSBytes == 0 || after.CPUSeconds <= before.CPUSeconds {
		t.Errorf("CPU %g, then %g: %v", before.CPUSeconds, after.CPUSeconds, err)
	}
	if text := strings.Join(g.lines, "\n"); !strings.Contains(text, "kill -9") || !strings.Contains(text, "drain is over after") {
		t.Errorf("told:\n%s", text)
	}
}

// TestClientsThatAreAwayAreWaitedFor: a trouble has cost what it took until everybody was back and something was accepted.
func TestClientsThatAreAwayAreWaitedFor(t *testing.T) {
	g := newRig(t, Config{Plan: Plan{Cut: Trouble{Every: 50 * time.Millisecond, Share: 0.3}}}, "")
	g.offline = 1
	g.until(func(r *Report) bool { return r.Cut.Times >= 2 })
	if rep := g.run.Report(); rep.Cut.Back.Max > 0 || g.cuts == 0 {
		t.Errorf("%d cuts, and everybody is back though one is not: %+v", g.cuts, rep.Cut)
	}
	g.offline = 0
	g.until(func(r *Report) bool { return r.Cut.Back.Max > 0 })
	rep := g.leave()
	if rep.Connections != int64(7*g.cuts) || rep.Outages[0].Connections != 7 {
		t.Errorf("%d cuts: %+v", g.cuts, rep)
	}
	if len(g.events) != rep.Cut.Times || g.events[0] != "cut" { // nobody adds to them now
		t.Errorf("%v", g.events)
	}
}

func TestTheServerStandsStill(t *testing.T) {
	g := newRig(t, Config{Plan: Plan{Pause: Trouble{Every: 100 * time.Millisecond, For: 50 * time.Millisecond}}}, "")
	pid, stopped := g.run.server.Process().PID(), 0
	rep := g.until(func(r *Report) bool {
		if state(t, pid) == "T" {
			stopped++
		}
		return r.Pause.Times >= 4 && r.Pause.Back.Max > 0 && stopped > 0
	})
	if rep.Pause.Lasted.P50 < 50 {
		t.Errorf("%+v", rep.Pause)
	}
	g.leave()
	if s := state(t, pid); s == "T" {
		t.Error("the server stands still in the end")
	}
}

func TestWhatAServerMustNotDo(t *testing.T) {
	t.Run("end by itself", func(t *testing.T) {
		g := newRig(t, Config{}, "")
		if err := g.run.server.Process().Signal(syscall.SIGABRT); err != nil {
			t.Fatal(err)
		}
		rep := g.until(func(r *Report) bool { return r.Failed > 0 })
		g.leave()
		if rep.OK() || !strings.Contains(rep.Failures[0], "ended by itself") || g.run.server.Process().Ended() {
			t.Errorf("%+v", rep)
		}
	})
	t.Run("fail to end in order", func(t *testing.T) {
		g := newRig(t, Config{Plan: Plan{Drain: Trouble{Every: 50 * time.Millisecond}}}, asServer+"_STATUS=3")
		rep := g.until(func(r *Report) bool { return r.Failed > 0 })
		g.leave()
		if rep.OK() || !strings.Contains(rep.Failures[0], "exit status 3") || rep.Rows()[len(rep.Rows())-1].Name != "failure" {
			t.Errorf("%+v", rep)
		}
	})
	t.Run("stay away", func(t *testing.T) {
		g := newRig(t, Config{Plan: Plan{Kill: Trouble{Every: 50 * time.Millisecond}}}, "")
		g.run.server.Command = "false" // what it is started again with
		g.until(func(*Report) bool { return false })
		if g.err == nil || !strings.Contains(g.err.Error(), "does not come back") {
			t.Error(g.err)
		}
		if err := g.member.Leave(); err == nil {
			t.Error("the run went on")
		}
	})
}

func TestClickHouseGoesAway(t *testing.T) {
	life := filepath.Join(t.TempDir(), "life")
	g := newRig(t, Config{
		ClickHouse: fmt.Sprintf(`sh -c 'echo begun >> %s; exec sleep 1000'`, life),
		Plan:       Plan{ClickHouse: Trouble{Every: 40 * time.Millisecond, For: 10 * time.Millisecond}},
	}, "")
	begun := func() int {
		text, _ := os.ReadFile(life)
		return strings.Count(string(text), "begun")
	}
	names := func(r *Report) map[string]int {
		n := map[string]int{}
		for _, o := range r.Outages {
			n[o.Name]++
		}
		return n
	}
	g.until(func(r *Report) bool { n := names(r); return n["clickhouse kill"] > 1 && n["clickhouse pause"] > 1 })
	rep := g.leave()
	if n := names(rep); rep.ClickHouse.Times != len(rep.Outages) || rep.ClickHouse.Back.Max > 0 {
		t.Errorf("%v, %+v", n, rep.ClickHouse)
	}
	for end := time.Now().Add(patience); begun() != 1+names(rep)["clickhouse kill"] || state(t, g.run.history.process.PID()) == "T"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("begun %d times after %v", begun(), names(rep))
		}
	}
}

// TestTheSeedRepeatsARun: with the same seed troubles come at the same moments.
func TestTheSeedRepeatsARun(t *testing.T) {
	plan := Plan{Kill: Trouble{Every: time.Second, Jitter: time.Second}}
	times := func(seed uint64) (at [10]time.Duration) {
		r, err := New(Config{Seed: seed, URL: "ws://127.0.0.1:1/", Plan: plan, Serve: "true"})
		if err != nil {
			t.Fatal(err)
		}
		table := newTimetable(r.random(1), &plan, Kill)
		for i := range at {
			e := table.next()
			at[i] = e.at
			table.advance(e, e.at)
		}
		return at
	}
	five, again := times(5), times(5)
	some, others := times(0), times(0) // each with a seed at random
	if five != again || five == times(6) || some == others {
		t.Error("the seed does not say when")
	}
}

// TestNoRun: a scenario without trouble joins nothing.
func TestNoRun(t *testing.T) {
	var none *Run
	m := none.Join(nil)
	if err := m.Look(3, 4); err != nil || m.Leave() != nil || none.Report() != nil || none.Source() != nil || !none.Report().OK() || none.Report().Rows() != nil {
		t.Error("it is not nothing")
	}
	if err := none.Start(context.Background()); err != nil || none.Close() != nil {
		t.Error(err)
	}
}
