package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/frame"
)

// "make test" runs these once more with one fault in 100,000 messages, without -race.
var faultsEvery = flag.Int("faults.every", 3_000, "which message of TestFaultyServers is the one that goes wrong")

// fault is one promise that a server breaks once.
type fault struct {
	faults func(at int) chatserver.Faults
	name   string // of the first violation of its kind, in the table and in JSON
	figure string // in JSON
	count  int    // how often it is found; 0: at least once
}

var faults = map[string]fault{
	"drops one": {func(at int) chatserver.Faults {
		return delivering(at, func(frame.Message) []frame.Message { return nil })
	}, "lost", "lost", 1},
	"delivers one twice": {func(at int) chatserver.Faults {
		return delivering(at, func(m frame.Message) []frame.Message { return []frame.Message{m, m} })
	}, "duplicated", "duplicated", 1},
	"alters one": {func(at int) chatserver.Faults {
		return delivering(at, func(m frame.Message) []frame.Message {
			m.Body = bytes.Clone(m.Body)
			m.Body[len(m.Body)/2] ^= 1
			return []frame.Message{m}
		})
	}, "altered", "altered", 1},
	"swaps two": {func(at int) chatserver.Faults {
		var held frame.Message
		return chatserver.Faults{Deliver: func(n int, m frame.Message) []frame.Message {
			switch {
			case n == at:
				held = m
				return nil
			case held.Seq != 0 && held.Conv == m.Conv:
				defer func() { held.Seq = 0 }()
				return []frame.Message{m, held}
			}
			return []frame.Message{m}
		}}
	}, "reordered", "reordered", 0},
	"delivers one to others": {func(at int) chatserver.Faults {
		return chatserver.Faults{Astray: once(at)}
	}, "misdelivered", "misdelivered", 0},
	"names a wrong sequence": {func(at int) chatserver.Faults {
		return chatserver.Faults{Sequence: func(n int, seq uint64) uint64 {
			if n == at {
				return seq + 1
			}
			return seq
		}}
	}, "bad sequence", "bad_sequences", 0},
	"acknowledges one twice": {func(at int) chatserver.Faults {
		return chatserver.Faults{Ack: func(n int) int {
			if n == at {
				return 2
			}
			return 1
		}}
	}, "bad ack", "bad_acks", 1},
	"acknowledges and does not store": {func(at int) chatserver.Faults {
		return chatserver.Faults{Forget: once(at)}
	}, "not in history", "history_not_in_history", 1},
	"acknowledges before it stores, and crashes": {func(at int) chatserver.Faults {
		return chatserver.Faults{Crash: once(at)}
	}, "not in history", "history_not_in_history", 0}, // and those that were not delivered by then are lost
}

func once(at int) func(int) bool { return func(n int) bool { return n == at } }

// delivering changes what becomes of one message.
func delivering(at int, change func(m frame.Message) []frame.Message) chatserver.Faults {
	return chatserver.Faults{Deliver: func(n int, m frame.Message) []frame.Message {
		if n == at {
			return change(m)
		}
		return []frame.Message{m}
	}}
}

// TestFaultyServers: whichever promise a server breaks, once in very many messages, the command finds it and names it.
func TestFaultyServers(t *testing.T) {
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut, got := against(t, f.faults(*faultsEvery), "700ms")
			if code != exitViolation || !strings.Contains(out, f.name+": pair ") || !strings.Contains(errOut, errViolation.Error()) {
				t.Errorf("%d\n%s%s", code, out, errOut)
			}
			count := int(got.Figures[f.figure])
			if count == 0 || f.count != 0 && count != f.count || got.Bench.Passed || !strings.Contains(strings.Join(got.Violations, "\n"), f.name+": pair ") {
				t.Errorf("%s: %d, want %d (0: any): %+v %q", f.figure, count, f.count, got.Bench, got.Violations)
			}
			t.Logf("%.0f messages, %q", got.Figures["sent"], got.Violations)
		})
	}
}

// TestAServerWithoutFaults: under the same load nothing is found in one that keeps its promises.
func TestAServerWithoutFaults(t *testing.T) {
	code, out, errOut, got := against(t, chatserver.Faults{}, "60s")
	if code != exitCannotRun || !strings.HasSuffix(errOut, errInterrupted.Error()+"\n") || len(got.Violations) > 0 || strings.Contains(out, ": pair ") || got.Figures["sent"] < float64(*faultsEvery) {
		t.Errorf("%d\n%s%s", code, out, errOut)
	}
	if read := got.Figures["history_accepted"]; read != got.Figures["accepted"] {
		t.Errorf("%v messages were looked for in the history, and %v accepted", read, got.Figures["accepted"])
	}
}

// verdict is what the file tells of a run.
type verdict struct {
	Bench      struct{ Passed bool }
	Figures    map[string]float64
	Violations []string
}

// against runs the command against a server and interrupts it some messages after the one that goes wrong. What is lost by then does not come within drain.
func against(t *testing.T, faults chatserver.Faults, drain string) (code int, out, errOut string, got verdict) {
	t.Helper()
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	refuse := faults.Refuse
	faults.Refuse = func(n int) uint64 {
		if n == *faultsEvery+1000 {
			enough()
		}
		if refuse != nil {
			return refuse(n)
		}
		return 0
	}
	s, err := chatserver.Start(faults)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	path := filepath.Join(t.TempDir(), "run.json")
	var o, e strings.Builder
	code = run(ctx, []string{"chat", "--url", s.URL(), "--key", keyFile(t), "--pairs", "2", "--inflight", "256", "--size", "64", "--warmup", "0s",
		"--duration", "10m", "--wait", drain, "--history", s.API(), "--history-within", "1ms", "--retry-min", "1ms", "--retry-max", "20ms", "--retry-jitter", "1ms", "--json", path}, &o, &e)
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil {
		t.Fatalf("%v\n%s%s", err, o.String(), e.String())
	}
	return code, o.String(), e.String(), got
}
