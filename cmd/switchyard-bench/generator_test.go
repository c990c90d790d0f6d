package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/bench/record"
)

// TestAGeneratorAtItsLimitCanBeRefused: nothing keeps a schedule of 100 million messages a second.
func TestAGeneratorAtItsLimitCanBeRefused(t *testing.T) {
	server, err := echoserver.Start(func(_ ws.OpCode, p []byte) [][]byte {
		time.Sleep(50 * time.Millisecond) // a slow server alone is not the generator's fault
		return [][]byte{p}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "run.json")
	echo := []string{"echo", "--url", server.URL(), "--conns", "2", "--warmup", "0s", "--duration", "200ms", "--fail-if", "generator_limited==1", "--json", path}
	if code, out, errOut := bench(echo...); code != exitOK {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	code, out, errOut := bench(append(echo, "--rate", "1e8", "--wait", "1ms")...)
	if code != exitViolation || !strings.Contains(out, "generator limited") || !strings.Contains(out, "--threads") && !strings.Contains(out, "another machine") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	run, err := record.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !run.Bench.GeneratorLimited || len(run.Bench.Limits) < 2 || run.Figures["generator_limited"] != 1 || !run.Bench.Thresholds[0].Failed {
		t.Errorf("%+v", run.Bench)
	}
}
