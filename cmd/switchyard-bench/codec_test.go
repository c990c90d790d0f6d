package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCodecExitCodes: the program that holds the codecs is stood in for by scripts; it has tests of its own in bench/codecs.
func TestCodecExitCodes(t *testing.T) {
	const passes = `echo round 1 >&2; echo '{"codecs":["in_place"],"round_trips":5,"one":{"in_place":{"bytes":206,"encode":{"ns":{"median":41}}}}}'`
	for _, c := range []struct {
		script string
		args   []string
		want   int
		says   string
	}{
		{passes, []string{"--fail-if", "one_in_place_encode_ns_median>0.05us"}, exitOK, "206.0"},
		{passes, []string{"--fail-if", "one_in_place_encode_ns_median>40ns"}, exitViolation, "one_in_place_encode_ns_median>40ns"},
		{"echo 'sonic: kept something else' >&2; exit 1", nil, exitViolation, "sonic: kept something else"},
		{"exit 3", nil, exitCannotRun, "exit status 3"},
		{"exit 0", []string{"--rounds", "0"}, exitUsage, "rounds are 1 at least"},
		{"exit 0", []string{"--program", "/none"}, exitCannotRun, "make bench-codec"},
	} {
		program := filepath.Join(t.TempDir(), "codecs")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+c.script), 0o755); err != nil {
			t.Fatal(err)
		}
		code, out, errOut := bench(append([]string{"codec", "--program", program}, c.args...)...)
		if code != c.want || !strings.Contains(out+errOut, c.says) {
			t.Errorf("%s %v: %d\n%s\n%s", c.script, c.args, code, out, errOut)
		}
	}
}
