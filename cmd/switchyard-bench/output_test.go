package main

import (
	"context"
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/record"
)

func TestTheFileTellsTheWholeRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.json")
	code, out, errOut := bench("chat", "--url", chatServer(t, chatserver.Faults{}), "--key", keyFile(t), "--pairs", "3", "--rate", "500",
		"--warmup", "0s", "--duration", "2200ms", "--json", path, "--server-pid", strconv.Itoa(os.Getpid()), "--fail-if", "deliver_p99>1h", "--fail-if", "deliver_p99>60s")
	if code != exitUsage || !strings.Contains(errOut, `no unit "h"`) {
		t.Fatalf("%d\n%s\n%s", code, out, errOut)
	}
	code, out, errOut = bench("chat", "--url", chatServer(t, chatserver.Faults{}), "--key", keyFile(t), "--pairs", "3", "--rate", "500",
		"--warmup", "0s", "--duration", "2200ms", "--json", path, "--server-pid", strconv.Itoa(os.Getpid()), "--fail-if", "deliver_p99>60s", "--fail-if", "server_rss_bytes<1MB")
	if code != exitOK || !strings.Contains(out, "fail if deliver_p99>60s") {
		t.Fatalf("%d\n%s\n%s", code, out, errOut)
	}
	run, err := record.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	b := run.Bench
	if b.Scenario != "chat" || !b.Passed || len(b.Failed) != 0 || len(b.Thresholds) != 2 || b.Machine.Cores == 0 || b.Version != version || b.Seconds < 2 || b.Arguments[0] != "chat" {
		t.Errorf("%+v", b)
	}
	if run.Figures["rate"] <= 0 || run.Figures["deliver_p50"] <= 0 || run.Figures["server_rss_bytes"] < 1e6 {
		t.Errorf("%v", run.Figures)
	}
	if n := run.Curves["deliver"].Count(); n == 0 || run.Curves["deliver"].Percentiles().P99 != run.Figures["deliver_p99"] {
		t.Errorf("%d deliveries in the curve", n)
	}
	last := run.Samples[len(run.Samples)-1]
	if last.Counts["sent"] == 0 || last.Gauges["connections"] != 6 || last.Gauges["server_rss_bytes"] < 1e6 || last.Gauges["generator_rss_bytes"] < 1e6 || last.Latencies["deliver"].Count == 0 {
		t.Errorf("%+v", last)
	}
	if _, ok := last.Gauges["generator_cpu_cores"]; !ok {
		t.Errorf("no CPU in %+v", last)
	}
}

func TestThresholdsDecideTheExitCode(t *testing.T) {
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "run.json")
	echo := []string{"echo", "--url", server.URL(), "--conns", "2", "--warmup", "0s", "--duration", "50ms", "--json", path}
	for _, c := range []struct {
		code      int
		threshold string
		out, err  string
	}{
		{exitOK, "rtt_p99>10s", "passed: it is", ""},
		{exitViolation, "rtt_p99<10s", "failed: it is", "rtt_p99<10s"},
		{exitViolation, "server_rss_bytes>1GB", "could not tell", "could not tell"},
		{exitUsage, "rtt_p98>1ms", "", "did you mean rtt_p"},
		{exitUsage, "rtt_p99", "", "as in"},
	} {
		code, out, errOut := bench(append(echo, "--fail-if", c.threshold)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) {
			t.Errorf("%s: %d\n%s\n%s", c.threshold, code, out, errOut)
		}
		if code == exitUsage {
			continue
		}
		run, err := record.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if run.Bench.Passed != (c.code == exitOK) || len(run.Bench.Failed) != c.code || run.Bench.Thresholds[0].Failed != (c.code != exitOK) {
			t.Errorf("%s: %+v", c.threshold, run.Bench)
		}
	}
}

// TestARunThatMeasuredNothingHasNotPassed, although nobody broke a promise.
func TestARunThatMeasuredNothingHasNotPassed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.json")
	args := []string{"chat", "--url", chatServer(t, chatserver.Faults{}), "--key", keyFile(t), "--pairs", "2", "--warmup", "0s", "--duration", "100ms", "--rate", "0s:0,60s:0,60s:10", "--json", path}
	code, out, errOut := bench(args...)
	if code != exitCannotRun || !strings.Contains(errOut, "nothing was measured") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	if run, err := record.Read(path); err != nil || run.Bench.Passed || len(run.Bench.Failed) != 1 {
		t.Errorf("%+v, %v", run, err)
	}
	if code, out, errOut := bench(append(args, "--fail-if", "deliver_p99>50ms")...); code != exitViolation || !strings.Contains(out, "could not tell") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
}

// TestFilesAreTriedBeforeTheRun names files that cannot be written: that is told before the load, and what is there stays.
func TestFilesAreTriedBeforeTheRun(t *testing.T) {
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old"), filepath.Join(dir, "fresh")
	if err := os.WriteFile(old, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		say  string
		args []string
	}{
		{exitCannotRun, "--json: open", []string{"--html", fresh, "--json", filepath.Join(dir, "none", "x")}},
		{exitCannotRun, "--csv: open", []string{"--json", old, "--csv", filepath.Join(old, "x")}},
		{exitCannotRun, "--html: open", []string{"--json", old, "--html", dir}},
		{exitUsage, "--json and --html name the same file", []string{"--json", fresh, "--html", fresh}},
	} {
		code, out, errOut := bench(append([]string{"echo", "--url", server.URL(), "--conns", "2", "--warmup", "0s", "--duration", "50ms"}, c.args...)...)
		if code != c.code || !strings.Contains(errOut, c.say) || out != "" || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v: %d\n%s\n%s", c.args, code, out, errOut)
		}
	}
	if text, err := os.ReadFile(old); string(text) != "kept" {
		t.Errorf("the file of an earlier run is %q now, %v", text, err)
	}
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a run that did not take place left a file: %v", err)
	}
}

// TestAFullDisk has files that cannot be written to their ends: the table is printed, and a violation stays one.
func TestAFullDisk(t *testing.T) {
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	for _, flag := range []string{"--json", "--csv", "--html"} {
		for threshold, want := range map[string]int{"rtt_p99>10s": exitCannotRun, "rtt_p99<10s": exitViolation} {
			code, out, errOut := bench("echo", "--url", server.URL(), "--conns", "2", "--warmup", "0s", "--duration", "50ms", "--fail-if", threshold, flag, "/dev/full")
			if code != want || !strings.Contains(out, "rtt") || !strings.Contains(errOut, "no space left on device") {
				t.Errorf("%s %s: %d\n%s\n%s", flag, threshold, code, out, errOut)
			}
		}
	}
}

// cue calls a function when what is written to it has some text. It is for the one goroutine that writes.
type cue struct {
	strings.Builder
	text string
	do   func()
}

func (o *cue) Write(b []byte) (int, error) {
	if strings.Contains(string(b), o.text) {
		o.do()
	}
	return o.Builder.Write(b)
}

// TestAnInterruptedRunHasNotPassed: what it found is told and kept, and that it is not all.
func TestAnInterruptedRunHasNotPassed(t *testing.T) {
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "run.json")
	for url, want := range map[string]int{server.URL(): exitCannotRun, liar(t): exitViolation} {
		ctx, cancel := context.WithCancel(context.Background())
		errOut, out := &cue{text: "measuring", do: cancel}, &strings.Builder{}
		code := run(ctx, []string{"echo", "--url", url, "--conns", "2", "--warmup", "0s", "--duration", "1h", "--fail-if", "messages>0", "--json", path}, out, errOut)
		cancel()
		if code != want || !strings.Contains(out.String(), "INCOMPLETE") || !strings.Contains(errOut.String(), "interrupted") {
			t.Errorf("%d, want %d\n%s\n%s", code, want, out, errOut)
		}
		if kept, err := record.Read(path); err != nil || kept.Bench.Passed || !slices.Contains(kept.Bench.Failed, errInterrupted.Error()) {
			t.Errorf("%+v, %v", kept, err)
		}
	}
}

// readCSV returns the rows of a file by the names of their columns.
func readCSV(t *testing.T, path string) (rows []map[string]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, cells := range all[1:] {
		row := map[string]string{}
		for i, c := range cells {
			row[all[0][i]] = c
		}
		rows = append(rows, row)
	}
	return rows
}

func TestPagesOfRunsAndComparisons(t *testing.T) {
	server, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"first", "second"} {
		code, out, errOut := bench("echo", "--url", server.URL(), "--conns", "2", "--warmup", "0s", "--duration", "50ms", "--json", file(name+".json"), "--html", file(name+".html"))
		if code != exitOK {
			t.Fatalf("%d\n%s\n%s", code, out, errOut)
		}
	}
	if code, out, errOut := bench("compare", file("first.json"), file("second.json"), "--html", file("both.html")); code != exitOK || !strings.Contains(out, "rtt_p99") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	for name, want := range map[string]string{"first.html": "Latency by percentile", "both.html": "second"} {
		if text, err := os.ReadFile(file(name)); err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), "</html>") {
			t.Errorf("%s: %v without %q", name, err, want)
		}
	}
	for _, c := range []struct {
		code int
		say  string
		args []string
	}{
		{exitUsage, "two files", []string{file("first.json")}},
		{exitCannotRun, "no such file", []string{file("first.json"), file("none")}},
		{exitCannotRun, "invalid character", []string{file("first.json"), file("first.html")}},
		{exitCannotRun, "not a directory", []string{file("first.json"), file("second.json"), "--html", file("first.html/x")}},
	} {
		if code, _, errOut := bench(append([]string{"compare"}, c.args...)...); code != c.code || !strings.Contains(errOut, c.say) {
			t.Errorf("%v: %d %s", c.args, code, errOut)
		}
	}
}
