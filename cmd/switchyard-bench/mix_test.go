package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/record"
)

// mixFile writes a file, in which KEY and URL stand for a key and a server of chats, and ECHO for one of echoes.
func mixFile(t *testing.T, text string) string {
	t.Helper()
	echo, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(echo.Close)
	text = strings.NewReplacer("KEY", keyFile(t), "URL", chatServer(t, chatserver.Faults{}), "ECHO", echo.URL()).Replace(text)
	path := filepath.Join(t.TempDir(), "mix.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const mixed = `
url: URL
key: KEY
warmup: 0s
fail-if: loads_talk_deliver_p99>60s
loads:
  - name: talk
    scenario: chat
    pairs: 4
    rate: [{at: 0s, rate: 200}, {at: 500ms, rate: 600}, {at: 500ms, rate: 0}]
    duration: 1200ms
  - name: noise
    scenario: echo
    url: ECHO
    conns: 3
    start: 300ms
    duration: 1100ms
`

func TestAMixedRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.json")
	code, out, errOut := bench("run", mixFile(t, mixed), "--json", path)
	if code != exitOK {
		t.Fatalf("%d\n%s\n%s", code, out, errOut)
	}
	for _, want := range []string{"LOAD talk", "LOAD noise", "200 sent, 200 accepted, 200 delivered", "TOTAL", "fail if loads_talk_deliver_p99>60s"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	run, err := record.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	f := run.Figures
	if f["loads_talk_sent"] != 200 || f["loads_noise_messages"] == 0 || f["total_messages"] != 200+f["loads_noise_messages"] || f["total_delivered"] != 200 || f["total_violations"] != 0 {
		t.Errorf("%v", f)
	}
	if run.Bench.Scenario != "run" || !run.Bench.Passed || run.Curves["talk deliver"].Count() < 100 || run.Curves["noise rtt"].Count() == 0 {
		t.Errorf("%+v, %v", run.Bench, run.Curves)
	}
	began := map[string]float64{}
	for _, s := range run.Samples {
		if _, ok := began[s.Load]; !ok {
			began[s.Load] = s.Seconds
		}
	}
	if len(began) != 2 || began["noise"] < 1.3 {
		t.Errorf("the samples begin at %v, and the noise should 0.3 s later", began)
	}
}

// TestALoadThatFindsSomething fails the whole run.
func TestALoadThatFindsSomething(t *testing.T) {
	text := strings.ReplaceAll(mixed, "ECHO", "LIAR")
	file := mixFile(t, text)
	liar := liar(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(whole), "LIAR", liar)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := bench("run", file)
	if code != exitViolation || !strings.Contains(out, "3 violations") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
}

func TestFilesWithMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"loads: [{scenario: sail}]":                                                    "line 1: no scenario \"sail\" can be a load: there are chat, desk, echo, history, idle",
		"url: URL\nloads:\n- scenario: echo\n  sail: 1":                                "line 4: echo has no option sail as a load; it has url, conns",
		"url: URL\nsail: 1\nloads:\n- scenario: echo":                                  "line 2: no load has an option sail",
		"url: URL\nloads:\n- scenario: echo\n  conns: many":                            "line 4: load echo: --conns",
		"url: URL\nconns: many\nloads:\n- scenario: echo":                              "line 2: load echo: --conns",
		"loads:\n- scenario: echo":                                                     "line 2: load echo: missing flags: --url",
		"url: URL\nloads:\n- scenario: chat\n  key: KEY\n  rate: [{at: 1s, rate: -1}]": "line 5: load chat: --rate: schedule: a rate of -1/s is out of range",
		"url: URL\nloads:\n- scenario: echo\n  json: x":                                "line 4: echo has no option json as a load",
		"url: URL\nserver-pid: me\nloads:\n- scenario: echo":                           "--server-pid",
		"url: URL\nfail-if: sail>1\nloads:\n- scenario: echo":                          "sail",
		"url: URL\nfail-if: loads_echo_rtt_p98>1ms\nloads:\n- scenario: echo":          "loads_echo_rtt_p9",
	} {
		file := mixFile(t, text)
		for _, command := range []string{"run", "check"} {
			if code, out, errOut := bench(command, file); code != exitUsage || !strings.Contains(errOut, want) {
				t.Errorf("%s of %q: %d, without %q\n%s\n%s", command, text, code, want, out, errOut)
			}
		}
	}
	if code, out, errOut := bench("run", "/no such file"); code != exitUsage || !strings.Contains(errOut, "no such file") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	code, out, errOut := bench("check", mixFile(t, mixed))
	if code != exitOK || !strings.Contains(out, "from 300ms  echo") || !strings.Contains(out, "--rate=0s:200,500ms:600,500ms:0") || !strings.Contains(out, "--fail-if=loads_talk_deliver_p99>60s") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
}

// TestALoadThatCannotGoOn ends the others.
func TestALoadThatCannotGoOn(t *testing.T) {
	text := fmt.Sprintf("url: URL\nkey: KEY\nloads:\n- {scenario: chat, duration: 1h}\n- {scenario: echo, url: %q, start: 200ms}", "ws://127.0.0.1:1/")
	code, out, errOut := bench("run", mixFile(t, text))
	if code != exitCannotRun || !strings.Contains(errOut, "load echo: ") || !strings.Contains(errOut, "is the server running") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
}

// liar is a server of wrong echoes.
// TestOptionsAreCheckedBeforeAnythingRuns, those of a load that begins in an hour too.
func TestOptionsAreCheckedBeforeAnythingRuns(t *testing.T) {
	key := keyFile(t)
	for scenario, all := range map[string]map[string]string{
		"chat": {"--pairs": "0", "--size": "5", "--duration": "0s", "--wait": "0s", "--threads": "-1", "--warmup": "-1s", "--inflight": "5000"},
		"desk": {"--agents": "0", "--messages": "2000", "--mark-delay": "0s", "--duration": "-1s", "--groups": "50"},
		"echo": {"--conns": "0", "--active": "200", "--size": "0", "--inflight": "-1", "--processes": "-1"},
	} {
		url := []string{"--url", "ws://127.0.0.1:1/"}
		if scenario != "echo" {
			url = append(url, "--key", key)
		}
		for flag, value := range all {
			code, out, errOut := bench(append([]string{scenario, flag + "=" + value}, url...)...)
			if code != exitUsage || out != "" || !strings.Contains(errOut, "usage: ") {
				t.Errorf("%s %s=%s: %d\n%s\n%s", scenario, flag, value, code, out, errOut)
			}
		}
	}
	file := mixFile(t, "loads:\n  - {scenario: echo, url: 'ws://127.0.0.1:1/'}\n  - {scenario: chat, url: 'ws://127.0.0.1:1/', key: "+key+", start: 1h, size: 5}\n")
	for _, command := range []string{"run", "check"} {
		if code, out, errOut := bench(command, file); code != exitUsage || !strings.Contains(errOut, "line 3: ") || !strings.Contains(errOut, "use 32 to") {
			t.Errorf("%s: %d\n%s\n%s", command, code, out, errOut)
		}
	}
}

func liar(t *testing.T) string {
	t.Helper()
	s, err := echoserver.Start(func(ws.OpCode, []byte) [][]byte { return [][]byte{[]byte("no")} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.URL()
}
