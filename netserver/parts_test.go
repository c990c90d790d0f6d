package netserver

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestWheelVisitsInTime compares the wheel with a map from connection to tick.
func TestWheelVisitsInTime(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var w wheel
	conns := make([]Conn, 200)
	want := make(map[*Conn]int32)
	for range 2000 {
		c := &conns[rnd.IntN(len(conns))]
		due := w.now + 1 + int32(rnd.IntN(wheelSize-1))
		switch _, in := want[c]; {
		case !in:
			w.add(c, due)
			want[c] = due
		case rnd.IntN(3) == 0:
			w.remove(c)
			delete(want, c)
		default:
			w.hasten(c, due)
			want[c] = min(want[c], due)
		}
		if rnd.IntN(4) == 0 {
			w.advance(func(c *Conn) {
				if want[c] != w.now {
					t.Fatalf("visited at %d, want %d", w.now, want[c])
				}
				delete(want, c)
			})
		}
		for _, due := range want {
			if due <= w.now {
				t.Fatalf("not visited at %d", due)
			}
		}
	}
}

// advance goes one tick on and visits what is due at once.
func (w *wheel) advance(visit func(*Conn)) {
	w.tick()
	for c := w.take(); c != nil; c = w.take() {
		visit(c)
	}
}

func TestWheelClampsWhatIsFarOrPast(t *testing.T) {
	var w wheel
	var far, past Conn
	w.add(&far, 1_000_000)
	w.add(&past, -5)
	var visited []*Conn
	for range wheelSize - 1 {
		w.advance(func(c *Conn) { visited = append(visited, c) })
	}
	if len(visited) != 2 || visited[0] != &past || visited[1] != &far {
		t.Fatalf("visited %v", visited)
	}
}

func TestBuffersAreBounded(t *testing.T) {
	var b buffers
	for _, n := range []int{0, 1, 512, 513, 4096, 65537, 1 << 20, 1<<20 + 1} {
		var out [][]byte
		for range 3000 {
			if n > 65537 && len(out) > 4 {
				break
			}
			p := b.get(n)
			if len(p) != 0 || cap(p) < n || cap(p) > max(smallestBuffer, 2*n) {
				t.Fatalf("get(%d) has length %d, capacity %d", n, len(p), cap(p))
			}
			out = append(out, p)
		}
		for _, p := range out {
			b.put(p)
		}
	}
	kept := 0
	for _, class := range b.free {
		for _, p := range class {
			kept += cap(p)
		}
	}
	if b.held != 0 || kept > bufferClasses*keptPerClass {
		t.Errorf("%d bytes held, %d kept", b.held, kept)
	}
}

// TestBuffersOfABurstAreLetGo: what is used between trims stays, what is not goes.
func TestBuffersOfABurstAreLetGo(t *testing.T) {
	var b buffers
	use := func(n int) {
		var out [][]byte
		var in []*input
		for range n {
			out, in = append(out, b.get(4096)), append(in, b.getInput())
		}
		for i := range n {
			b.put(out[i])
			b.putInput(in[i])
		}
	}
	kept := func() int {
		if k := class(4096); len(b.free[k]) == len(b.inputs) {
			return len(b.inputs)
		}
		return -1
	}
	use(100)
	for i, want := range []int{100, 3, 3} { // at first all was used since the last trim
		b.trim()
		if kept() != want {
			t.Errorf("%d kept after trim %d, want %d", kept(), i+1, want)
		}
		use(3)
	}
	b.trim()
	b.trim()
	if kept() != 0 || b.free[class(4096)] != nil || b.inputs != nil {
		t.Errorf("%d kept at rest", kept())
	}
	use(2)
	if kept() != 2 || b.held != 0 {
		t.Errorf("%d kept and %d held after it was used again", kept(), b.held)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, tc := range []struct {
		remedy string
		cfg    Config
	}{
		{"127.0.0.1:8080", Config{Listen: "here"}},
		{"give 1 to 63", Config{Loops: 64}},
		{"give 0 to 1023", Config{Node: 1024}},
		{"give 1 to", Config{MaxConns: -1}},
		{"give 256 to", Config{MaxHeader: 10}},
		{"give 125 to", Config{MaxMessage: 1}},
		{"give 125 to", Config{MaxMerge: 1}},
		{"give 1 to 1048576", Config{OutSoft: 2 << 20}},
		{"unsent", Config{Unsent: 5}},
		{"read budget", Config{ReadBudget: 5}},
		{"mailbox", Config{Mailbox: 5}},
		{"resolution", Config{WriteTimeout: time.Millisecond}},
		{"resolution", Config{MessageTimeout: time.Millisecond}},
		{"give 1000 to", Config{Limits: Limits{MessageRate: 1000, MessageBurst: 999}}},
		{"give 10 to", Config{Limits: Limits{AcceptRate: 10, AcceptBurst: 9}}},
		{"of an address", Config{Limits: Limits{PerAddress: -1}}},
		{"give 1 to", Config{Limits: Limits{ByteRate: -1}}},
		{"give at least 8257536, or fewer loops", Config{Loops: 63, Limits: Limits{Held: 1 << 20}}},
		{"give at least 4194304", Config{Loops: 1, MaxMessage: 2 << 20, Limits: Limits{Held: 4<<20 - 1}}},
		{"ping after", Config{CloseAfter: time.Second}},
		{"https://example.com", Config{AllowedOrigins: []string{"example.com"}}},
		{"https://example.com", Config{AllowedOrigins: []string{"https://a.*.com"}}},
		{"path", Config{Path: "ws"}},
	} {
		s, err := New(tc.cfg, &testHandler{}, slog.New(slog.DiscardHandler), nil)
		if err == nil {
			_ = s.Shutdown(context.Background())
			t.Errorf("%+v was accepted", tc.cfg)
		} else if !strings.Contains(err.Error(), tc.remedy) {
			t.Errorf("error %q does not say %q", err, tc.remedy)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	before := descriptors(t)
	first := serve(t, Config{Raw: true}, Echo{})
	mine := descriptors(t)
	_, err := New(Config{Listen: first.Addr().String()}, Echo{}, slog.New(slog.DiscardHandler), nil)
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("error %v", err)
	}
	if n := descriptors(t); n != mine {
		t.Errorf("%d descriptors before, %d with one server, %d after a failed one", before, mine, n)
	}
}

func TestConfiguredNumbersArriveInIDs(t *testing.T) {
	o := newOpened()
	s := serve(t, Config{Node: 77, Loops: 2, Path: "/chat", MaxMessage: 200}, &testHandler{open: o.open})
	a, _ := open(t, s), open(t, s)
	first, second := o.next(t), o.next(t)
	if first.Node() != 77 || first.Loop()+second.Loop() != 1 {
		t.Errorf("ids %#x and %#x", uint64(first), uint64(second))
	}
	a.send(binaryOf(strings.Repeat("x", 201)))
	a.expectClose(1009)
}

func TestReadBudgetServesOthersInBetween(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true, ReadBudget: 1 << 10}, Echo{})
	hot := pair(t, l).upgrade()
	hot.turn(binaryOf(strings.Repeat("h", 4000)))
	if hot.in == nil {
		t.Fatal("one turn read more than its budget")
	}
	for range 3 {
		_ = hot.onRead(nil)
	}
	if got := hot.receive(make([]byte, 8192)); len(got) != 4004 {
		t.Fatalf("%d bytes came back", len(got))
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, err := New(quick(Config{Listen: "127.0.0.1:0", Raw: true}), Echo{}, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve() }()
	c := open(t, s)
	c.send(append(text("one"), text("two")...))
	c.expect(ws.OpText, "one")
	c.expect(ws.OpText, "two")
	bad := dial(t, s)
	bad.send([]byte(upgradeRequest("/nowhere")))
	bad.readHead()
	const want = `
# HELP switchyard_connections Open WebSocket connections.
# TYPE switchyard_connections gauge
switchyard_connections 1
# HELP switchyard_connections_accepted_total Sockets accepted.
# TYPE switchyard_connections_accepted_total counter
switchyard_connections_accepted_total 2
# HELP switchyard_websocket_messages_total WebSocket messages received, and WebSocket frames sent.
# TYPE switchyard_websocket_messages_total counter
switchyard_websocket_messages_total{direction="in"} 2
switchyard_websocket_messages_total{direction="out"} 2
`
	eventually(t, "the metrics are published", func() bool {
		return testutil.GatherAndCompare(reg, strings.NewReader(want), "switchyard_connections", "switchyard_connections_accepted_total",
			"switchyard_websocket_messages_total") == nil
	})
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	stop(t, s)
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 0 {
		t.Errorf("%d metrics are left after Shutdown, %v", n, err)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for r := range reasonCount {
		if name := r.String(); name == "" || seen[name] {
			t.Errorf("reason %d is named %q", r, name)
		} else {
			seen[name] = true
		}
	}
}
