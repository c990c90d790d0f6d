package chaos

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestTroublesAreRead(t *testing.T) {
	for text, want := range map[string]Trouble{
		"every=5s":                       {Every: 5 * time.Second},
		"every=5s, jitter=1s":            {Every: 5 * time.Second, Jitter: time.Second},
		"every=1m,for=500ms,mode=kill":   {Every: time.Minute, For: 500 * time.Millisecond, Mode: "kill"},
		"share=10%,every=3s":             {Every: 3 * time.Second, Share: 0.1},
		"every=3s,share=0.25":            {Every: 3 * time.Second, Share: 0.25},
		"every=3s,share=100%,jitter=1ms": {Every: 3 * time.Second, Share: 1, Jitter: time.Millisecond},
	} {
		var got Trouble
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %+v: %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "no such word", "5s": "no such word", "every=5": "missing unit", "every=-5s": "more than 0", "jitter=5s": "say how often", "every=5s,share=0%": "more than 0",
		"every=5s,share=101%": "at most 100%", "every=5s,mode=slowly": "no such mode", "every=5s,every=6s": "twice", "every=5s,often=yes": "no such word", "every=5s,share=NaN": "more than 0",
	} {
		var got Trouble
		if err := got.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestPlansThatMakeNoSense(t *testing.T) {
	often := Trouble{Every: time.Second}
	with := func(change func(t *Trouble)) Trouble {
		t := often
		change(&t)
		return t
	}
	for want, cfg := range map[string]Config{
		"kill9 has no \"for\"":            {Plan: Plan{Kill: with(func(t *Trouble) { t.For = 1 })}, Serve: "x"},
		"drain has no \"share\"":          {Plan: Plan{Drain: with(func(t *Trouble) { t.Share = 1 })}, Serve: "x"},
		"it takes every, jitter, share":   {Plan: Plan{Cut: with(func(t *Trouble) { t.Mode = "kill" })}},
		"pause: say how often":            {Plan: Plan{Pause: Trouble{For: 1}}, Serve: "x"},
		"must not be negative":            {Plan: Plan{Pause: with(func(t *Trouble) { t.Jitter = -1 })}, Serve: "x"},
		"give its command with --serve":   {Plan: Plan{Kill: often}},
		"which ClickHouse":                {Plan: Plan{ClickHouse: often}},
		"or its process":                  {Plan: Plan{ClickHouse: often}},
		"can only be paused":              {Plan: Plan{ClickHouse: with(func(t *Trouble) { t.Mode = "kill" })}, ClickHousePID: 1},
		"give --clickhouse or --clickhou": {ClickHouse: "x", ClickHousePID: 1},
		"ws://HOST:PORT":                  {Plan: Plan{Cut: often}, URL: "here"},
	} {
		if cfg.URL == "" {
			cfg.URL = "ws://127.0.0.1:1/"
		}
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if (Plan{}).Empty() == (Plan{Cut: often}).Empty() {
		t.Error("a plan with cuts is as empty as one without")
	}
}

// TestTheTimetable: troubles are due at every multiple and up to their jitter later; those that were missed are made up for once.
func TestTheTimetable(t *testing.T) {
	plan := &Plan{Kill: Trouble{Every: 10 * time.Second, Jitter: 3 * time.Second}, Pause: Trouble{Every: 4 * time.Second}}
	table := newTimetable(rand.New(rand.NewPCG(1, 2)), plan, Kill, Drain, Pause)
	done, jitters := map[Kind]int{}, map[time.Duration]bool{}
	for now := time.Duration(0); now < 1000*time.Second; now += 10 * time.Millisecond {
		for e := table.due(now); e != nil; e = table.due(now) {
			done[e.kind]++
			want := time.Duration(done[e.kind]) * e.Every
			if late := e.at - want; late < 0 || late > e.Jitter || now-e.at >= 10*time.Millisecond {
				t.Fatalf("%s %d was due at %v, and done at %v", e.kind, done[e.kind], e.at, now)
			} else if e.kind == Kill {
				jitters[late] = true
			}
			table.advance(e, now)
		}
		if wait := table.wait(now); wait <= 0 || wait > watch || wait > table.next().at-now {
			t.Fatalf("at %v, wait %v for what is due at %v", now, wait, table.next().at)
		}
	}
	if done[Kill] != 99 || done[Pause] != 249 || len(jitters) < 90 {
		t.Errorf("done %v, with %d different jitters", done, len(jitters))
	}
	late := 1050*time.Second + time.Second // 12 pauses and 5 kills were missed
	for range 2 {
		table.advance(table.due(late), late)
	}
	if e := table.due(late); e != nil {
		t.Errorf("%s is still due", e.kind)
	}
	var none timetable
	if none.next() != nil || none.due(late) != nil || none.wait(late) != watch {
		t.Error("an empty timetable has something")
	}
}
