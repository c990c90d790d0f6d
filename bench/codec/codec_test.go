package codec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script writes a program that stands in for the one of bench/codecs, which has tests of its own.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), Program)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	cost := Cost{NS: report.Spread{Median: 41, Least: 40, Most: 47}, OfInPlace: report.Spread{Median: 1.5}, Allocs: 2}
	want := Report{
		Rounds: 3, Seconds: 0.1, TextBytes: 2, BatchOf: 4, Go: "go9", RoundTrips: 77, Codecs: []string{"in_place", "other"},
		One:   map[string]Figures{"in_place": {Bytes: 206, Encode: cost}, "other": {Bytes: 304.5}},
		Batch: map[string]Figures{"other": {Bytes: 305}}, Guards: map[string]Guard{"other": {Cut: 9, Panicked: 8, Taken: 1, Text: "passed"}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	args := filepath.Join(t.TempDir(), "args")
	var progress []string
	got, err := Run(t.Context(), Config{
		Program: script(t, fmt.Sprintf("printf '%%s|' \"$@\" > %s; echo round 1 >&2; printf 'round ' >&2; echo 2 >&2; cat <<'END'\n%s\nEND", args, text)),
		Rounds:  3, Time: 100 * time.Millisecond, Batch: 4, Text: "-h ' \"", Progress: func(line string) { progress = append(progress, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if given, err := os.ReadFile(args); string(given) != "--rounds|3|--time|100ms|--batch|4|--text=-h ' \"|" {
		t.Errorf("%q, %v", given, err)
	}
	if !slices.Equal(progress, []string{"round 1", "round 2"}) {
		t.Errorf("%q", progress)
	}
	var table strings.Builder
	if err := report.Table(&table, got.Rows()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"77 messages", "206.0 | 41 (40-47)", "x1.50", "304.5", "batch of 4", "of 9 cut messages 0 refused, 1 taken, 8 panicked"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
		says string
	}{
		{"echo 'sonic: kept a, want b' >&2; exit 1", ErrAltered, "sonic: kept a"},
		{"echo first >&2; echo; echo 'no such flag' >&2; exit 2", nil, "no such flag"},
		{"exit 3", nil, "exit status 3"},
		{"kill -9 $$", nil, "killed"},
		{"echo hello", nil, "wrote no report"},
		{"head -c 20000 /dev/zero | tr '\\0' x >&2; echo >&2; exit 3", nil, "xxx"},
	} {
		_, err := Run(t.Context(), Config{Program: script(t, c.text)})
		if err == nil || !strings.Contains(err.Error(), c.says) || c.want != nil && !errors.Is(err, c.want) || len(err.Error()) > 2*maxLine {
			t.Errorf("%q: %v", c.text, err)
		}
		if c.want == nil && errors.Is(err, ErrAltered) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

// TestNotBuilt: the error says what to do, also where nothing was named.
func TestNotBuilt(t *testing.T) {
	for _, program := range []string{"", filepath.Join(t.TempDir(), "none")} {
		if _, err := Run(t.Context(), Config{Program: program}); !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), "make bench-codec") {
			t.Errorf("%q: %v", program, err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, Config{Program: script(t, "echo began >&2; exec sleep 600"), Progress: func(string) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
