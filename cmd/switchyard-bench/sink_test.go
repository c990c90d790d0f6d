package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/sink/history/chtest"
	"github.com/switchyard-im/switchyard/sink/sinkbench"
)

func TestSink(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	code, out, errOut := bench("sink", "--clickhouse", chtest.Shared(t).Addr, "--dir", dir, "--batches", "1,40", "--rows", "400", "--single-rows", "2",
		"--rounds", "1", "--writers", "4", "--duration", "20ms", "--json", file)
	for _, want := range []string{"journal, group commit", "1 rows an insert", "40 rows an insert", "times a bare insert for each row"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("%d, without %q:\n%s\n%s", code, want, out, errOut)
		}
	}
	var rep sinkbench.Report
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &rep); err != nil || len(rep.Inserts) != 2 || rep.Inserts[1].Rows != 400 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestSinkCannotRun(t *testing.T) {
	fast := []string{"sink", "--duration", "1ms", "--rounds", "1", "--dir", t.TempDir()}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := chtest.Start(t) // it dies of wrong passwords
	for want, args := range map[string][]string{
		"connection refused":    {"--clickhouse", "127.0.0.1:1"},
		"use 1 to":              {"--clickhouse", "127.0.0.1:1", "--batches", "0"},
		"Authentication failed": {"--clickhouse", server.Addr, "--user", chtest.User, "--password-file", password},
		"no such file":          {"--clickhouse", "127.0.0.1:1", "--password-file", "/no such file"},
	} {
		if code, out, errOut := bench(append(fast, args...)...); code != exitCannotRun || !strings.Contains(errOut, want) {
			t.Errorf("%v: %d, without %q:\n%s\n%s", args, code, want, out, errOut)
		}
	}
}
