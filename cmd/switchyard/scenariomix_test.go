package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchBinary builds switchyard-bench, which cannot be imported.
func benchBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "switchyard-bench")
	if out, err := exec.Command("go", "build", "-o", path, "../switchyard-bench").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// benchAgent starts an agent of it, and returns its address.
func benchAgent(t *testing.T, binary, secret string) string {
	t.Helper()
	cmd := exec.Command(binary, "agent", "--listen", "127.0.0.1:0", "--secret-file", secret)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(line), "waits for a controller at ")
	return address
}

// benchExample writes one of the files of bench/examples with our addresses, a tenth of its clients and rates, and a part of its time.
func benchExample(t *testing.T, name string, part int, url, key, serve string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../bench/examples", name))
	if err != nil {
		t.Fatal(err)
	}
	short := regexp.MustCompile(`[0-9]+s\b`).ReplaceAllStringFunc(string(text), func(d string) string {
		whole, _ := time.ParseDuration(d)
		return (whole / time.Duration(part)).String()
	})
	for _, c := range []struct{ pattern, with string }{
		{`pairs: ([0-9]+)0\b`, `pairs: $1`}, {`rate: ([0-9]+)0\b`, `rate: $1`}, {`conns: ([0-9]+)0\b`, `conns: $1`}, {`ramp: ([0-9]+)\b`, `ramp: ${1}0`}, {`(_p99>).*`, `${1}60s`},
		{`ws://\S+`, url}, {`data/token.key`, key}, {`serve: .*`, "serve: " + serve}, {`server-log: .*`, "server-log: " + filepath.Join(t.TempDir(), "log")},
	} {
		short = regexp.MustCompile(c.pattern).ReplaceAllString(short, c.with)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(short), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// figures are those of a report of switchyard-bench.
func figures(t *testing.T, path string) map[string]float64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var run struct {
		Figures map[string]float64 `json:"figures"`
	}
	if err := json.Unmarshal(text, &run); err != nil {
		t.Fatal(err)
	}
	return run.Figures
}

// TestBenchExamples runs the files that we give to users: in two processes, from two agents, and while the server is killed.
func TestBenchExamples(t *testing.T) {
	i := newInstallation(t)
	p, _ := i.start()
	binary, dir := benchBinary(t), t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, key := "ws://"+i.listen+"/v1/ws", filepath.Join(i.dir, devKeyFile)
	agents := benchAgent(t, binary, secret) + "," + benchAgent(t, binary, secret)
	run := func(args ...string) map[string]float64 {
		path := filepath.Join(dir, "run.json")
		out, err := exec.Command(binary, append(args, "--json", path)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		f := figures(t, path)
		if f["total_messages"] == 0 || f["total_delivered"] < f["total_messages"] || f["total_violations"] != 0 {
			t.Errorf("%v: %v\n%s", args, f, out)
		}
		return f
	}
	if out, err := exec.Command(binary, "check", benchExample(t, "steps.yaml", 1, url, key, "")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if f := run("run", benchExample(t, "connections.yaml", 50, url, key, ""), "--processes", "2"); f["loads_sitters_conns"] != 1000 || f["loads_past_pages"] == 0 || f["loads_past_conversations"] != 20 {
		t.Errorf("connections: %v", f)
	}
	f := run("controller", "--agents", agents, "--secret-file", secret, benchExample(t, "day.yaml", 120, url, key, ""), "--server-pid", strconv.Itoa(p.cmd.Process.Pid))
	if f["server_cpu_us_per_message"] <= 0 || f["server_rss_bytes"] < 1e6 {
		t.Errorf("the server used %v us, %v bytes", f["server_cpu_us_per_message"], f["server_rss_bytes"])
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	t.Setenv(asCommand, "1")
	serve := fmt.Sprintf("%s serve --dev --data %s --listen %s --admin 127.0.0.1:0 --set overload.max_delay=1m", os.Args[0], i.dir, i.listen)
	if f := run("run", benchExample(t, "trouble.yaml", 15, url, key, serve), "--processes", "2"); f["chaos_kill9_times"] == 0 || f["loads_talk_reconnects"] == 0 {
		t.Errorf("no trouble: %v", f)
	}
}
