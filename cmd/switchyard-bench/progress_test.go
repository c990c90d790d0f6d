package main

import (
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

func sampleAt(seconds float64, sent int64) *meter.Sample {
	l := report.NewLatency()
	l.Record(2_500_000_000)
	l.Record(1_500_000)
	return &meter.Sample{
		Seconds: seconds, Phase: "measuring", Note: "5/5 pairs", Counts: map[string]int64{"sent": sent, "violations": 0, "resent": 3, "refusals": 0, "seen_late": 0},
		Gauges:    map[string]float64{"connections": 10, "offline": 0, "under_way": 4, "server_rss_bytes": 5e7, "server_cpu_cores": 0.25},
		Latencies: map[string]*report.Latency{"accept": l, "late": report.NewLatency()},
	}
}

func TestPlainProgressIsALineASecond(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.show(sampleAt(1, 100))
	p.show(sampleAt(3, 500))
	p.line("what stays")
	p.done()
	lines := strings.Split(b.String(), "\n")
	for _, want := range []string{"    3s  measuring  5/5 pairs", " 200 sent/s", "accept p50 1.5 ms p99 2.5 s", "10 connections, 4 under way, 0 violations, 3 resent", "server 0.25 cores 50.0 MB"} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("no %q in %q", want, lines[1])
		}
	}
	for _, bad := range []string{"late", "offline", "refusals", "\033"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("%q in %q", bad, b.String())
		}
	}
	if len(lines) != 4 || lines[2] != "what stays" {
		t.Errorf("%q", lines)
	}
}

// TestATerminalShowsOneBlock plays what is written on a screen: after each step it must show the block of all loads and nothing else below what stays.
func TestATerminalShowsOneBlock(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.width = 60
	a, other := sampleAt(1, 100), sampleAt(1, 7)
	a.Load, other.Load = "first", "second"
	p.show(a)
	p.show(other)
	p.show(a)
	s := screen(t, b.String())
	if len(s) != 8 || !strings.Contains(s[0], "first") || !strings.Contains(s[4], "second") {
		t.Errorf("%q", s)
	}
	for _, line := range s {
		if n := len([]rune(line)); n >= 60 {
			t.Errorf("%d letters: %q", n, line)
		}
	}
	p.line("what stays")
	p.show(a)
	if s := screen(t, b.String()); len(s) != 9 || s[0] != "what stays" {
		t.Errorf("%q", s)
	}
	p.done()
	if s := screen(t, b.String()); len(s) != 1 || s[0] != "what stays" {
		t.Errorf("%q", s)
	}
}

// screen is what a terminal shows after a text with the two sequences that progress uses: up by n lines, and clear all below.
func screen(t *testing.T, text string) (lines []string) {
	t.Helper()
	for text != "" {
		rest, up := strings.CutPrefix(text, "\033[")
		if !up {
			line, after, _ := strings.Cut(text, "\n")
			lines, text = append(lines, line), after
			continue
		}
		n := 0
		for rest[0] != 'A' {
			n, rest = 10*n+int(rest[0]-'0'), rest[1:]
		}
		after, ok := strings.CutPrefix(rest, "A\r\033[J")
		if !ok || n > len(lines) {
			t.Fatalf("up by %d of %d, then %q", n, len(lines), rest)
		}
		lines, text = lines[:len(lines)-n], after
	}
	return lines
}
