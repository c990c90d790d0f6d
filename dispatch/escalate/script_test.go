package escalate

import (
	"fmt"
	"github.com/switchyard-im/switchyard/dispatch/internal/scenario"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScenarios runs testdata/*.txt: sentences of purpose, then lines of events, each followed by its effects.
//
//	policy NAME STEP AFTER CHANNEL [digest] [, STEP ...] | drop NAME | grace TIME     (first, or before a crash)
//	sent CONV USER SEQ [POLICY] | ack CONV USER SEQ | left CONV USER | close CONV USER | reopen CONV USER
//	done CONV USER STEP LAST     the notification was sent, or given up
//	wait TIME                    a tick each second
//	step TIME                    the clock jumps by so much, and ticks
//	lose                         what comes now is not committed any more
//	crash TIME                   and is started again after so long
func TestScenarios(t *testing.T) {
	scenario.Lines(t, func(t *testing.T) func(string) []string {
		s := &script{t: t, cfg: Config{Policies: map[string][]Step{}}}
		return func(line string) []string {
			s.line, s.got = line, nil
			s.event(strings.Fields(line))
			return s.got
		}
	})
}

type script struct {
	t    *testing.T
	cfg  Config
	c    *caller
	line string
	got  []string // by the present event
}

func (s *script) event(w []string) {
	switch w[0] {
	case "policy":
		s.cfg.Policies[w[1]] = s.steps(strings.Join(w[2:], " "))
		return
	case "drop":
		delete(s.cfg.Policies, w[1])
		return
	case "grace":
		s.cfg.Grace = s.duration(w[1])
		return
	}
	if s.c == nil {
		s.c = newCaller(s.t, s.cfg)
	}
	var k key
	if len(w) > 2 {
		k = key{id(w[1]), w[2]}
	}
	switch w[0] {
	case "sent":
		policy := "p"
		if len(w) > 4 {
			policy = w[4]
		}
		s.c.sent(k, policy, s.number(w[3]))
	case "ack":
		s.c.ack(k, s.number(w[3]))
	case "left":
		s.c.m.Left(s.c.wall, k.conv, k.user)
	case "close":
		s.c.close(k)
	case "reopen":
		s.c.reopen(k, "p")
	case "done":
		s.c.done(k, w[3], s.number(w[4]))
	case "wait":
		s.wait(s.duration(w[1]))
		return
	case "step":
		s.c.wall += s.duration(w[1]).Milliseconds()
		s.c.m.Tick(s.c.wall)
	case "lose":
		s.c.lose = true
	case "crash":
		s.c.cfg = s.cfg
		s.c.wall += s.duration(w[1]).Milliseconds()
		s.c.restart()
	default:
		s.t.Fatalf("no event %q", s.line)
	}
	s.show("")
}

func (s *script) wait(d time.Duration) {
	for at := time.Second; at <= d; at += time.Second {
		s.c.wall += 1000
		s.c.m.Tick(s.c.wall)
		s.show(fmt.Sprintf("after %s ", at))
	}
}

func (s *script) show(when string) {
	s.t.Helper()
	for _, e := range s.c.take() {
		lost := ""
		if s.c.lose {
			lost = "lost: "
		}
		s.got = append(s.got, when+lost+show(e))
	}
}

func (s *script) steps(text string) []Step {
	var steps []Step
	for part := range strings.SplitSeq(text, ",") {
		w := strings.Fields(part)
		steps = append(steps, Step{Name: w[0], After: s.duration(w[1]), Channel: w[2], Digest: len(w) > 3})
	}
	return steps
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	return d
}

func (s *script) number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	return n
}
