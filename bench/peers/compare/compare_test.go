package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// built is where the programs are, for all tests.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "peers")
	if err == nil {
		built, err = dir, build(dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build makes the three programs of a comparison.
func build(dir string) error {
	for from, what := range map[string]string{"../../..": "./cmd/...", "..": "."} {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/", what)
		cmd.Dir = from
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd, err, out)
		}
	}
	return nil
}

func small() Config {
	return Config{Switchyard: filepath.Join(built, "switchyard"), Bench: filepath.Join(built, "switchyard-bench"), Peers: filepath.Join(built, "peers"),
		Servers: []string{Ours, "gws", "nbio"}, Rounds: 2, Conns: 30, Active: 5, Accept: 40, Sizes: []int{128}, Inflight: []int{1, 16},
		Warmup: 10 * time.Millisecond, Duration: 300 * time.Millisecond, Settle: 10 * time.Millisecond, Log: io.Discard}
}

// TestRun is the whole of it, small: every server under every workload, and a report with all that is promised.
func TestRun(t *testing.T) {
	cfg := small()
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed() != 0 || len(r.Samples) != 2*3*3 || len(r.Summary) != 3*3 {
		t.Fatalf("%d samples, %d rows: %+v", len(r.Samples), len(r.Summary), r.Samples)
	}
	for _, s := range r.Summary {
		want := []Metric{CPU, Rate, P50, P99, Busy}
		if strings.HasPrefix(s.Workload, "accept") {
			want = []Metric{AcceptCPU, AcceptRate, RSS}
		}
		for _, m := range want {
			if _, ok := s.Figures[m]; !ok {
				t.Errorf("%s, %s: no %s", s.Workload, s.Server, m)
			}
		}
		if s.Figures[P50].Median > s.Figures[P99].Median {
			t.Errorf("%+v", s)
		}
	}
	var tables bytes.Buffer
	if err := r.WriteTables(&tables); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"### 128 B, 16 in flight", "### accept 40 connections", "| gws ", "github.com/lesismal/nbio v1.", "go1."} {
		if !strings.Contains(tables.String(), want) {
			t.Errorf("no %q in\n%s", want, tables.String())
		}
	}
	if text, err := json.Marshal(r); err != nil || !bytes.Contains(text, []byte(`"cpu_of_best_peer"`)) {
		t.Errorf("%v: %s", err, text)
	}
}

// TestFailuresAreSamples: a generator that fails and a server that does not start are told, and nothing hangs.
func TestFailuresAreSamples(t *testing.T) {
	cfg := small()
	cfg.Rounds, cfg.Inflight = 1, []int{1}
	cfg.Bench, cfg.Peers = "false", "false"
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Failed() != len(r.Samples) || len(r.Samples) != 6 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, s := range r.Samples {
		want := "exit status 1"
		if s.Server != Ours {
			want = "the server ended"
		}
		if !strings.Contains(s.Error, want) {
			t.Errorf("%s: %q, want %q", s.Server, s.Error, want)
		}
	}
	var tables bytes.Buffer
	if err := r.WriteTables(&tables); err != nil || !strings.Contains(tables.String(), "gws (1 failed)") {
		t.Errorf("%v\n%s", err, tables.String())
	}
}

func TestWhatCannotRun(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"positive":          func(c *Config) { c.Rounds = 0 },
		"more connections":  func(c *Config) { c.Active = c.Conns + 1 },
		`called "gorrilla"`: func(c *Config) { c.Servers = []string{"gorrilla"} },
		"no server":         func(c *Config) { c.Servers = nil },
	} {
		cfg := small()
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestPlan: in every round every server meets every workload once, one right after the other, and each round begins with another one.
func TestPlan(t *testing.T) {
	cfg := small()
	cfg.Rounds = 3
	first := map[int]bool{}
	servers, plan := len(cfg.Servers), cfg.plan()
	if len(plan) != 3*3*servers {
		t.Fatal(len(plan))
	}
	for at := 0; at < len(plan); at += servers {
		seen := map[int]bool{}
		for _, s := range plan[at : at+servers] {
			if s.round != plan[at].round || s.workload != plan[at].workload {
				t.Errorf("%+v is among %+v", s, plan[at])
			}
			seen[s.server] = true
		}
		if len(seen) != servers {
			t.Errorf("%v of %d servers", seen, servers)
		}
		first[plan[at].server] = true
	}
	if len(first) != servers {
		t.Errorf("only %v ever come first", first)
	}
}
