package sinkbench

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/sink/history/chtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is a run of a second or two.
func short(t *testing.T) Config {
	return Config{
		ClickHouse: chtest.Shared(t).Addr, Dir: t.TempDir(),
		Batches: []int{1, 70}, Rows: 1001, SingleRows: 3, BodyBytes: 40, Rounds: 2, Writers: 8, Duration: 50 * time.Millisecond,
	}
}

func TestRun(t *testing.T) {
	cfg := short(t)
	rep, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ batch, rows int }{{1, 3}, {70, 1050}} {
		got := rep.Inserts[i]
		if got.BatchRows != want.batch || got.Rows != want.rows {
			t.Errorf("insert %d is %+v, not %+v", i, got, want)
		}
		for name, v := range map[string]float64{"journal": got.Journal.RowsPerSecond, "its CPU": got.Journal.CPUMicros,
			"bare": got.Bare.RowsPerSecond, "its CPU ": got.Bare.CPUMicros, "ratio": got.Ratio.Least} {
			if v <= 0 {
				t.Errorf("%d rows an insert: %s is %v", want.batch, name, v)
			}
		}
	}
	if rep.Inserts[0].Journal.RowsPerSecond > rep.Inserts[1].Journal.RowsPerSecond {
		t.Errorf("one row an insert is faster than 70: %+v", rep.Inserts)
	}
	for name, a := range map[string]Accepted{"batched": rep.Journal.Batched, "single": rep.Journal.Single} {
		if a.PerSecond <= 0 || a.MeanMS <= 0 || a.CPUMicros <= 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if got, want := rep.OverSingle(70), rep.Inserts[1].Journal.RowsPerSecond/rep.Inserts[0].Bare.RowsPerSecond; got != want || rep.OverSingle(7) != 0 {
		t.Errorf("OverSingle is %v, not %v", got, want)
	}
	left, err := os.ReadDir(cfg.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestMissingRowsAreFound: what a table does not have ends the run.
func TestMissingRowsAreFound(t *testing.T) {
	ctx := context.Background()
	cfg := short(t).withDefaults()
	db, err := newDatabase(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.drop(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := insertBare(ctx, cfg, db, 100, 100); err != nil {
		t.Fatal(err)
	}
	var wrong *WrongRows
	if err := db.holds(ctx, "bare", 101); !errors.As(err, &wrong) || wrong.Rows != 100 {
		t.Errorf("100 rows instead of 101: %v", err)
	}
	if _, err := ship(ctx, cfg, db, 1000, 100); err != nil {
		t.Fatal(err)
	}
	// The journal ships the rows that the bare loop inserts.
	columns := "conv_id, seq, prev, sender, client_id, kind, text, body, deleted"
	if err := insertColumns(ctx, db.conn, newRows(cfg.BodyBytes).columns(0, 1000).all()); err != nil {
		t.Fatal(err)
	}
	var same uint64
	if err := db.conn.QueryRow(ctx, "SELECT count() FROM (SELECT "+columns+" FROM bare INTERSECT SELECT "+columns+" FROM messages)").Scan(&same); err != nil || same != 1000 {
		t.Errorf("%d of 1000 rows are the same: %v", same, err)
	}
}

func TestBadConfigurations(t *testing.T) {
	for text, change := range map[string]func(*Config){
		"Rows is -1":                func(c *Config) { c.Rows = -1 },
		"Writers is -1":             func(c *Config) { c.Writers = -1 },
		"a batch of 0 rows":         func(c *Config) { c.Batches = []int{0} },
		"a batch of 1000000 rows":   func(c *Config) { c.Batches = []int{1_000_000} },
		"BodyBytes is 2147483647":   func(c *Config) { c.BodyBytes = math.MaxInt32 },
		"no such file or directory": func(c *Config) { c.Dir = "/no such folder" },
	} {
		cfg := short(t)
		change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v instead of %q", err, text)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cfg := short(t)
	cfg.Rounds = 1
	cfg.Progress = func(line string) {
		if strings.HasPrefix(line, "70 rows") {
			cancel()
		}
	}
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was interrupted ended with %v", err)
	}
}

func TestMedians(t *testing.T) {
	j := newJournal([]Accepted{{90, 1, 3}, {30, 2, 1}, {60, 3, 2}}, []Accepted{{10, 10, 1}, {10, 4, 1}, {10, 30, 1}})
	if want := (Journal{Accepted{60, 2, 2}, Accepted{10, 10, 1}, Ratio{6, 3, 9}, Ratio{0.1, 0.1, 0.5}}); j != want {
		t.Errorf("%+v, not %+v", j, want)
	}
	if got := median([]int{1, 2, 4, 7}, func(v int) float64 { return float64(v) }); got != 3 {
		t.Errorf("the median of 1, 2, 4, 7 is %v", got)
	}
}
