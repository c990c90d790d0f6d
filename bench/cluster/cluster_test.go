package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shared = "0123456789abcdef"

func secret(t *testing.T, text string) *Secret {
	t.Helper()
	s, err := NewSecret([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lines are what an agent logs.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.all, "\n"), text)
}

// agent starts one, and returns its address and what it logs.
func agent(t *testing.T, version string, work Work) (address string, log *lines) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	log = &lines{}
	a := &Agent{Secret: secret(t, shared), Version: version, Work: work, Log: log.add}
	done := make(chan error, 1)
	go func() { done <- a.Listen(ctx, listener) }() // ends with the test
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String(), log
}

func dial(t *testing.T, addresses ...string) (members []Member) {
	t.Helper()
	for _, a := range addresses {
		conn, err := Dial(context.Background(), a, secret(t, shared))
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, Member{"agent " + a, conn})
	}
	return members
}

// found is what the work of these tests finds.
type found struct {
	Job    string
	Count  int64
	Accept *report.Latency
	Opened time.Time // of its gate
}

// working shows three samples of two loads and returns what they add up to.
func working(ctx context.Context, p Part) (any, error) {
	f := found{Accept: report.NewLatency()}
	if err := json.Unmarshal(p.Body, &f.Job); err != nil {
		return nil, err
	}
	time.Sleep(time.Duration(p.Index) * 300 * time.Millisecond)
	if err := p.Gate(ctx, "begin"); err != nil {
		return nil, err
	}
	f.Opened = time.Now()
	for i := range 3 {
		part := report.NewLatency()
		for range 1000 {
			ns := int64(p.Index*7_000_000 + i*900_000 + 50_000)
			part.Record(ns)
			f.Accept.Record(ns)
		}
		f.Count += 1000
		for _, load := range []string{"a", "b"} {
			p.Watch(meter.Sample{
				Load: load, Phase: "measuring", Counts: map[string]int64{"sent": f.Count}, Gauges: map[string]float64{"connections": 10},
				Latencies: map[string]*report.Latency{"accept": part},
			})
		}
		time.Sleep(150 * time.Millisecond)
	}
	return f, nil
}

func TestPartsAddUp(t *testing.T) {
	one, _ := agent(t, "1", working)
	two, log := agent(t, "1", working)
	for range 2 { // agents serve one controller after the other
		last, accept := map[string]meter.Sample{}, report.NewLatency()
		most := 0.0
		results, err := Run(context.Background(), Config{Members: dial(t, one, two), Version: "1", Body: "the job", Watch: func(s meter.Sample) {
			last[s.Load] = s
			most = max(most, s.Gauges["connections"])
			if s.Load == "a" {
				accept.Merge(s.Latencies["accept"])
			}
		}})
		if err != nil || len(results) != 2 {
			t.Fatal(results, err)
		}
		whole := report.NewLatency()
		var opened [2]time.Time
		for i, r := range results {
			var f found
			if err := json.Unmarshal(r.Body, &f); err != nil || r.Part != i || f.Job != "the job" || f.Count != 3000 {
				t.Errorf("%+v, %v", r, err)
			}
			whole.Merge(f.Accept)
			opened[i] = f.Opened
		}
		if d := opened[0].Sub(opened[1]).Abs(); d > 250*time.Millisecond { // without the gate it were 300
			t.Errorf("the members began %s apart", d)
		}
		want := report.NewLatency()
		for part := range int64(2) {
			for i := range int64(3) {
				for range 1000 {
					want.Record(part*7_000_000 + i*900_000 + 50_000)
				}
			}
		}
		if whole.Percentiles() != want.Percentiles() || whole.Count() != want.Count() {
			t.Errorf("%v, want %v", whole.Percentiles(), want.Percentiles())
		}
		if accept.Percentiles() != want.Percentiles() || accept.Count() != want.Count() {
			t.Errorf("the samples add up to %d: %v, want %v", accept.Count(), accept.Percentiles(), want.Percentiles())
		}
		for _, load := range []string{"a", "b"} {
			if s := last[load]; s.Counts["sent"] != 6000 || s.Phase != "measuring" || s.Seconds <= 0 {
				t.Errorf("load %s: the last sample is %+v", load, s)
			}
		}
		if most != 20 {
			t.Errorf("%v connections at most, want 20", most)
		}
	}
	if !log.has("is the controller") || !log.has("has what it wanted") {
		t.Errorf("the agent logs %q", log.all)
	}
}

// endless works until it is told to end.
func endless(ctx context.Context, p Part) (any, error) {
	if err := p.Gate(ctx, "begin"); err != nil {
		return nil, err
	}
	<-ctx.Done()
	return found{Job: "ended early"}, nil
}

func TestALostAgentEndsTheRun(t *testing.T) {
	ended := make(chan struct{})
	one, _ := agent(t, "1", endless)
	two, log := agent(t, "1", func(ctx context.Context, p Part) (any, error) {
		defer close(ended)
		return endless(ctx, p)
	})
	members := dial(t, one, two)
	cut := time.AfterFunc(200*time.Millisecond, func() { _ = members[1].Conn.Close() })
	defer cut.Stop()
	results, err := Run(context.Background(), Config{Members: members, Version: "1"})
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), two+" is lost after ") || strings.Contains(err.Error(), one) {
		t.Errorf("the loss of %s: %v", two, err)
	}
	if len(results) != 1 || results[0].Part != 0 || !strings.Contains(string(results[0].Body), "ended early") {
		t.Errorf("what there is: %v", results)
	}
	<-ended // the agent does not go on without a controller
	for end := time.Now().Add(5 * time.Second); !log.has("the controller is lost"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the agent logs %q", log.all)
		}
	}
}

func TestAnAgentThatCannotWork(t *testing.T) {
	one, _ := agent(t, "1", endless)
	two, _ := agent(t, "1", func(ctx context.Context, p Part) (any, error) {
		if err := p.Gate(ctx, "begin"); err != nil {
			return nil, err
		}
		return nil, errors.New("no server there")
	})
	results, err := Run(context.Background(), Config{Members: dial(t, one, two), Version: "1"})
	if results != nil || err == nil || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), two+": no server there") {
		t.Errorf("%v, %v", results, err)
	}
}

func TestAnInterruptedRunSaysWhatThereIs(t *testing.T) {
	one, _ := agent(t, "1", endless)
	ctx, cancel := context.WithCancel(context.Background())
	stop := time.AfterFunc(200*time.Millisecond, cancel)
	defer stop.Stop()
	results, err := Run(ctx, Config{Members: dial(t, one), Version: "1"})
	if err != nil || len(results) != 1 || !strings.Contains(string(results[0].Body), "ended early") {
		t.Errorf("%v, %v", results, err)
	}
}

func TestWhoIsRefused(t *testing.T) {
	working := make(chan struct{})
	address, log := agent(t, "1", func(ctx context.Context, p Part) (any, error) {
		close(working)
		return endless(ctx, p)
	})
	if _, err := Dial(context.Background(), address, secret(t, "another one, long enough")); err == nil || !strings.Contains(err.Error(), "it has another secret") {
		t.Errorf("another secret: %v", err)
	}
	if _, err := Run(context.Background(), Config{Members: dial(t, address), Version: "2"}); err == nil || !strings.Contains(err.Error(), "it is version 1 (protocol 1), the controller is 2") {
		t.Errorf("another version: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	busy, first := make(chan struct{}), dial(t, address)
	go func() { // ends with ctx
		defer close(busy)
		_, _ = Run(ctx, Config{Members: first, Version: "1"})
	}()
	<-working
	if _, err := Run(context.Background(), Config{Members: dial(t, address), Version: "1"}); err == nil || !strings.Contains(err.Error(), "works for another controller") {
		t.Errorf("a second controller: %v", err)
	}
	cancel()
	<-busy
	if _, err := NewSecret([]byte("short")); err == nil || !strings.Contains(err.Error(), "openssl") {
		t.Errorf("a short secret: %v", err)
	}
	for end := time.Now().Add(5 * time.Second); !log.has("refused: tls") && !log.has("refused: remote error"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the agent logs %q", log.all)
		}
	}
}

func TestNoAgent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the listener
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 a mail server\r\n")
			_ = c.Close()
		}
	}()
	if _, err := Dial(context.Background(), listener.Addr().String(), secret(t, shared)); err == nil || !strings.Contains(err.Error(), "cannot be talked to") {
		t.Errorf("no agent: %v", err)
	}
	_ = listener.Close()
	if _, err := Dial(context.Background(), listener.Addr().String(), secret(t, shared)); err == nil || !strings.Contains(err.Error(), "switchyard-bench agent --listen") {
		t.Errorf("nobody: %v", err)
	}
}

// TestSilence: whatever the network says, an end that is not heard of is lost.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		read := make(chan struct{})
		go func() { // a member that says hello and then nothing
			defer close(read)
			_, _ = readMessage(there)
			text := `{"kind":"hello"}`
			_, _ = there.Write(append([]byte{0, 0, 0, byte(len(text))}, text...))
			_, _ = io.Copy(io.Discard, there)
		}()
		began := time.Now()
		_, err := Run(context.Background(), Config{Members: []Member{{"it", here}}, Version: "1"})
		if d := time.Since(began); !errors.Is(err, ErrLost) || !errors.Is(err, errSilent) || d < silentAfter || d > silentAfter+time.Second {
			t.Errorf("after %s: %v", d, err)
		}
		<-read

		here, there = net.Pipe() // and one that is alive but slow
		served := make(chan error, 1)
		go func() {
			served <- Serve(context.Background(), there, "1", func(context.Context, Part) (any, error) {
				time.Sleep(5 * silentAfter)
				return 1, nil
			})
		}()
		if results, err := Run(context.Background(), Config{Members: []Member{{"it", here}}, Version: "1"}); err != nil || string(results[0].Body) != "1" {
			t.Errorf("%v, %v", results, err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func FuzzReadMessage(f *testing.F) {
	for _, text := range []string{"", "\x00\x00\x00\x02{}", "\x00\x00\x00\x10{\"kind\":\"alive\"}", "\xff\xff\xff\xff{}", "\x00\x00\x00\x05{}", "\x00\x00\x00\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, err := readMessage(bytes.NewReader(text))
		slow, slowErr := readMessage(&oneByte{bytes.NewReader(text)})
		if fmt.Sprint(whole, err) != fmt.Sprint(slow, slowErr) {
			t.Errorf("%v, %v; byte by byte %v, %v", whole, err, slow, slowErr)
		}
	})
}

type oneByte struct{ r io.Reader }

func (o *oneByte) Read(b []byte) (int, error) { return o.r.Read(b[:min(len(b), 1)]) }
