package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/million"
	"github.com/switchyard-im/switchyard/frame"
)

// asItself in the environment makes the test binary the command, for processes of its own.
const asItself = "SWITCHYARD_BENCH_ITSELF"

func TestMain(m *testing.M) {
	if os.Getenv(asItself) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// bench runs the command line and returns its exit code and what it printed.
func bench(args ...string) (code int, out, errOut string) {
	var o, e strings.Builder
	code = run(context.Background(), args, &o, &e)
	return code, o.String(), e.String()
}

func keyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token.key")
	if err := os.WriteFile(path, []byte(strings.Repeat("5a", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func chatServer(t *testing.T, faults chatserver.Faults) string {
	t.Helper()
	s, err := chatserver.Start(faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.URL()
}

func TestChatWritesATableAndJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	code, out, errOut := bench("chat", "--url", chatServer(t, chatserver.Faults{}), "--key", keyFile(t), "--pairs", "3", "--inflight", "2",
		"--warmup", "0s", "--duration", "1200ms", "--json", path, "--server-pid", strconv.Itoa(os.Getpid()))
	if code != exitOK || !strings.Contains(out, "0 lost, 0 duplicated, 0 reordered") || !strings.Contains(errOut, "3/3 pairs") {
		t.Fatalf("%d\n%s\n%s", code, out, errOut)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"sent", "accepted", "delivered", "lost", "duplicated", "reordered", "altered", "rate", "accept_ms", "deliver_ms", "server"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no %q in %s", key, text)
		}
	}
	for _, key := range []string{"rss_bytes", "cpu_seconds", "cpu_us_per_message"} {
		if _, ok := got["server"].(map[string]any)[key]; !ok {
			t.Errorf("no server.%s in %s", key, text)
		}
	}
}

// TestConnectionsAreCut: clients whose connections the run resets come back, and nothing is lost.
func TestConnectionsAreCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	code, out, errOut := bench("chat", "--url", chatServer(t, chatserver.Faults{}), "--key", keyFile(t), "--pairs", "10", "--warmup", "0s", "--duration", "1200ms",
		"--retry-min", "1ms", "--retry-max", "20ms", "--cut", "every=200ms,share=50%", "--seed", "7", "--json", path, "--fail-if", "chaos_cut_back_max>50s")
	if code != exitOK || !strings.Contains(out, "all clients back after") || !strings.Contains(errOut, "connections were cut") {
		t.Fatalf("%d\n%s\n%s", code, out, errOut)
	}
	var got struct {
		Reconnects int64
		Chaos      struct {
			Seed uint64
			Cut  int64 `json:"connections_cut"`
		}
		Events []struct{ Name string }
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Chaos.Cut == 0 || got.Reconnects != got.Chaos.Cut || got.Chaos.Seed != 7 || len(got.Events) < 2 || got.Events[0].Name != "cut" {
		t.Errorf("%+v: %v", got, err)
	}
}

func TestAViolationIsNamed(t *testing.T) {
	twice := chatserver.Faults{Deliver: func(n int, m frame.Message) []frame.Message {
		if n == 10 {
			return []frame.Message{m, m}
		}
		return []frame.Message{m}
	}}
	code, out, errOut := bench("chat", "--url", chatServer(t, twice), "--key", keyFile(t), "--pairs", "1", "--warmup", "0s", "--duration", "100ms")
	if code != exitViolation || !strings.Contains(out, "duplicated: pair 0") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
}

func TestEchoAndIdle(t *testing.T) {
	echo, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(echo.Close)
	if code, out, errOut := bench("echo", "--url", echo.URL(), "--conns", "2", "--warmup", "0s", "--duration", "50ms"); code != exitOK || !strings.Contains(out, "round trip") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	liar, err := echoserver.Start(func(ws.OpCode, []byte) [][]byte { return [][]byte{[]byte("no")} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(liar.Close)
	if code, out, errOut := bench("echo", "--url", liar.URL(), "--conns", "1", "--warmup", "0s", "--duration", "50ms"); code != exitViolation {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	if code, out, errOut := bench("idle", "--url", echo.URL(), "--state", "upgraded", "--conns", "3", "--settle", "10ms", "--hold", "10ms",
		"--server-pid", strconv.Itoa(os.Getpid())); code != exitOK || !strings.Contains(out, "3 upgraded") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	code, out, errOut := bench("idle", "--url", chatServer(t, chatserver.Faults{}), "--key", keyFile(t), "--conns", "3", "--settle", "10ms", "--hold", "10ms",
		"--server-pid", strconv.Itoa(os.Getpid()))
	if code != exitOK || !strings.Contains(out, "per connection") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
}

// TestPeersFigures has every flag and every figure that bench/peers, which is a module of its own, relies on.
func TestPeersFigures(t *testing.T) {
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	for name, c := range map[string]struct{ args, has []string }{
		"echo": {
			[]string{"--conns", "100", "--active", "4", "--inflight", "3", "--burst", "--size", "100", "--warmup", "10ms", "--duration", "300ms"},
			[]string{"messages", "rate", "errors", "rtt_ms.p50", "rtt_ms.p99", "server.cpu_us_per_message", "client_cpu_seconds"},
		},
		"idle": {
			[]string{"--state", "upgraded", "--conns", "100", "--settle", "10ms", "--hold", "1ms"},
			[]string{"conns", "open_seconds", "open_cpu_us", "rss_bytes_per_conn"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "report.json")
			code, out, errOut := bench(append([]string{name, "--url", server.URL(), "--server-pid", strconv.Itoa(os.Getpid()), "--json", path}, c.args...)...)
			if code != exitOK {
				t.Fatalf("%d\n%s\n%s", code, out, errOut)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			for _, field := range c.has {
				section, part, nested := strings.Cut(field, ".")
				v, ok := got[section]
				if nested {
					v, ok = v.(map[string]any)[part]
				}
				if _, number := v.(float64); !ok || !number {
					t.Errorf("no %q in %s", field, text)
				}
			}
		})
	}
}

func TestScenariosWriteTablesAndJSON(t *testing.T) {
	key, pid := keyFile(t), strconv.Itoa(os.Getpid())
	for name, args := range map[string][]string{
		"fanout": {"--listeners", "5", "--rounds", "1", "--round", "10ms", "--server-pid", pid},
		"resume": {"--clients", "5", "--missed", "2", "--settle", "0s", "--server-pid", pid},
	} {
		path := filepath.Join(t.TempDir(), "report.json")
		code, out, errOut := bench(append([]string{name, "--url", chatServer(t, chatserver.Faults{}), "--key", key, "--json", path}, args...)...)
		text, err := os.ReadFile(path)
		if code != exitOK || !strings.Contains(out, "0 lost, 0 duplicated") || err != nil || !strings.Contains(string(text), `"lost": 0`) {
			t.Errorf("%s: %d\n%s\n%s\n%s", name, code, out, errOut, text)
		}
	}
}

// TestTheWorkersCommandLine is the one that idle --serve writes; its orders end at once here.
func TestTheWorkersCommandLine(t *testing.T) {
	args := strings.Fields(strings.ReplaceAll(million.WorkerArgs("ws://127.0.0.1:1/ws", 5, 6, 7), "'", ""))
	if code, out, errOut := bench(append([]string{"idle-worker"}, args...)...); code != exitOK {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
}

func TestExitCodesTellMistakesFromFailures(t *testing.T) {
	key, fine := keyFile(t), chatServer(t, chatserver.Faults{})
	for _, c := range []struct {
		code int
		say  string
		args []string
	}{
		{exitOK, "", []string{"--help"}},
		{exitOK, "", []string{"chat", "--help"}},
		{exitUsage, "--help", nil},
		{exitUsage, "--help", []string{"chat"}},
		{exitUsage, "--help", []string{"nonsense"}},
		{exitUsage, "soak kills the server", []string{"soak", "--url", "ws://127.0.0.1:1", "--key", key, "--admin", "http://127.0.0.1:1"}},
		{exitUsage, "say how often", []string{"chat", "--url", "ws://127.0.0.1:1", "--key", key, "--kill9", "jitter=5s"}},
		{exitUsage, "give its command with --serve", []string{"chat", "--url", "ws://127.0.0.1:1", "--key", key, "--kill9", "every=5s"}},
		{exitUsage, "it takes every, jitter, share", []string{"chat", "--url", "ws://127.0.0.1:1", "--key", key, "--cut", "every=5s,for=2s"}},
		{exitCannotRun, "ended before it listened", []string{"chat", "--url", "ws://127.0.0.1:1", "--key", key, "--serve", "false"}},
		{exitUsage, "--direction", []string{"chat", "--url", "ws://127.0.0.1:1", "--key", key, "--direction", "up"}},
		{exitCannotRun, "serve --dev", []string{"chat", "--url", "ws://127.0.0.1:1", "--key", key + "x"}},
		{exitCannotRun, "is the server running", []string{"chat", "--url", "ws://127.0.0.1:1", "--key", key}},
		{exitCannotRun, "--server-pid", []string{"idle", "--url", fine, "--key", key}},
		{exitCannotRun, "is the server running", []string{"storm", "--url", "ws://127.0.0.1:1", "--key", key}},
		{exitCannotRun, "--server-pid", []string{"fanout", "--url", fine, "--key", key}},
		{exitCannotRun, "is the server running", []string{"resume", "--url", "ws://127.0.0.1:1", "--key", key}},
		{exitCannotRun, "positive", []string{"idle", "--url", "ws://127.0.0.1:1", "--serve", "true", "--conns=-1"}},
		{exitCannotRun, "leave", []string{"idle", "--url", "ws://127.0.0.1:1", "--serve", "true", "--burst", "1000"}},
		{exitCannotRun, "ulimit", []string{"echo", "--url", "ws://127.0.0.1:1", "--conns", "100000000"}},
	} {
		if code, _, errOut := bench(c.args...); code != c.code || !strings.Contains(errOut, c.say) {
			t.Errorf("%v: %d, want %d and %q: %s", c.args, code, c.code, c.say, errOut)
		}
	}
}
