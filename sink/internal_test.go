package sink

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/frame"
)

type waiter chan error

func (w waiter) Committed(err error) { w <- err }

func openTest(t *testing.T, change func(*Config)) *Store {
	t.Helper()
	cfg := Config{Dir: "store", Logger: slog.New(slog.DiscardHandler), ReopenMin: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	s, err := openOn(vfs.NewMem(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Store) put(conv frame.ID) waiter {
	w := make(waiter, 1)
	tx := s.Begin(s.Generation())
	tx.Conversation(conv, []byte("x"), true)
	tx.Commit(w)
	return w
}

// reopened waits until another engine than old serves.
func reopened(t *testing.T, s *Store, old *engine) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if e := s.engine.Load(); e != nil && e != old && s.Available() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the store does not come back")
		}
	}
}

// TestFatal ends a goroutine as Pebble does where it cannot go on. The process lives, and the store comes back.
func TestFatal(t *testing.T) {
	s := openTest(t, nil)
	old := s.engine.Load()
	ended := make(chan bool, 1)
	go func() {
		returned := false
		defer func() { ended <- returned }()
		pebbleLogger{log: s.log, fence: old.fence}.Fatalf("something %s", "broke")
		returned = true
	}()
	if <-ended {
		t.Error("Fatalf returned")
	}
	reopened(t, s, old)
	if !strings.Contains(old.fence.cause.Error(), "something broke") {
		t.Errorf("the cause is %v", old.fence.cause)
	}
	if err := <-s.put(frame.ID{1}); err != nil {
		t.Error(err)
	}
}

// TestPanicInApply makes the engine panic under the committer, as Pebble does when its log cannot be written.
func TestPanicInApply(t *testing.T) {
	s := openTest(t, nil)
	e := s.engine.Load()
	p := &pipeline{store: s, engine: &engine{fence: newFence(vfs.NewMem())}, applied: make(chan *group, 1)}
	g := &group{}
	tx := s.Begin(s.Generation())
	tx.Conversation(frame.ID{1}, nil, true)
	p.take(g, tx)
	g.batch = e.db.NewBatch()
	if p.apply(g) { // without a db
		t.Error("apply went well without an engine")
	}
	if got := <-p.applied; got != g || !p.engine.fence.fallen.Load() {
		t.Error("the group was not handed on, or the fence stands")
	}
	tx.err = ErrUnavailable
	w := make(waiter, 1)
	tx.done = w
	s.finish(tx, time.Now())
	if err := <-w; !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

// TestStuckCommitter leaves a committer behind that does not come back from the engine. Its transactions end, once.
func TestStuckCommitter(t *testing.T) {
	s := openTest(t, nil)
	p := &pipeline{
		store: s, engine: s.engine.Load(),
		free: make(chan *group, 1), applied: make(chan *group, 1), stop: make(chan struct{}),
		committerDone: make(chan struct{}), completerDone: make(chan struct{}),
	}
	w := make(waiter, 2)
	tx := s.Begin(s.Generation())
	tx.done = w
	stuck := &group{txs: []*Tx{tx}}
	p.current.Store(stuck)
	go p.complete()
	p.shutdown(time.Millisecond)
	if err := <-w; !errors.Is(err, ErrUnavailable) {
		t.Errorf("ended with %v", err)
	}
	if stuck.claimed.CompareAndSwap(false, true) {
		t.Error("the committer may still hand the group on")
	}
	if len(w) > 0 {
		t.Error("completed twice")
	}
}

// TestCloseCompletes closes while commits are in flight: each of them is kept, and what is begun later is refused.
func TestCloseCompletes(t *testing.T) {
	s := openTest(t, nil)
	var all []waiter
	for i := range 100 {
		all = append(all, s.put(frame.ID{byte(i), 1}))
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	for _, w := range all {
		if err := <-w; err != nil {
			t.Error(err)
		}
	}
	if err := <-s.put(frame.ID{1}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a commit after Close ended with %v", err)
	}
	if _, _, _, err := s.LoadConversation(frame.ID{1}, 1); !errors.Is(err, ErrUnavailable) || s.Available() {
		t.Errorf("a read after Close ended with %v", err)
	}
}

// TestCloseLosesPatience closes while a transaction is begun and never committed.
func TestCloseLosesPatience(t *testing.T) {
	s := openTest(t, nil)
	s.Begin(s.Generation())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestBeginWaits fills the store with transactions; the next Begin waits for one to end.
func TestBeginWaits(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxInFlight = 2; c.SyncInterval = time.Second })
	if err := <-s.put(frame.ID{9}); err != nil { // from now on the committer lingers
		t.Fatal(err)
	}
	a, b := s.put(frame.ID{1}), s.Begin(s.Generation())
	c := s.put(frame.ID{2}) // waits for a, and hurries it
	for _, w := range []waiter{a, c} {
		if err := <-w; err != nil {
			t.Error(err)
		}
	}
	w := make(waiter, 1)
	b.Commit(w)
	<-w
}

// TestSyncInterval puts what comes within an interval into one batch.
func TestSyncInterval(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := openTest(t, func(c *Config) { c.SyncInterval = 200 * time.Millisecond; c.Registerer = reg })
	<-s.put(frame.ID{9})
	var all []waiter
	for i := range 50 {
		all = append(all, s.put(frame.ID{byte(i), 1}))
	}
	for _, w := range all {
		<-w
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "switchyard_sink_batch_transactions" && f.GetMetric()[0].GetHistogram().GetSampleCount() > 10 {
			t.Errorf("51 transactions in %d batches", f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
}

type ignore struct{ wg sync.WaitGroup }

func (c *ignore) Committed(error) { c.wg.Done() }

// TestAllocations counts over the whole store, engine and goroutines included: there is a new memtable now and then, and nothing
// for each transaction.
func TestAllocations(t *testing.T) {
	t.Run("plain", func(t *testing.T) { allocations(t, func(c *Config) {}) })
	t.Run("outbox", func(t *testing.T) { allocations(t, func(c *Config) { c.Outbox = true }) })
	t.Run("retention", func(t *testing.T) { allocations(t, func(c *Config) { c.Outbox, c.RetentionBytes = true, 1<<40 }) })
}

func allocations(t *testing.T, change func(*Config)) {
	s := openTest(t, func(c *Config) { c.SyncInterval = -1; change(c) })
	frames := make([]byte, 200)
	var c ignore
	seq := uint64(0)
	generation := s.Generation()
	transaction := func() {
		seq++
		c.wg.Add(1)
		tx := s.Begin(generation)
		tx.Messages(frame.ID{1}, seq, seq, frames)
		tx.Conversation(frame.ID{1}, frames[:20], true)
		tx.Member("user", frame.ID{1}, true)
		tx.Commit(&c)
		c.wg.Wait()
	}
	for range 1000 {
		transaction()
	}
	if n := testing.AllocsPerRun(2000, transaction); n >= 2 {
		t.Errorf("%v allocations for a transaction", n)
	}
}

func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"Dir":            func(c *Config) { c.Dir = "" },
		"Durability":     func(c *Config) { c.Durability = "maybe" },
		"MinFree":        func(c *Config) { c.MinFree = -1 },
		"SpaceInterval":  func(c *Config) { c.SpaceInterval = 1 },
		"MaxInFlight":    func(c *Config) { c.MaxInFlight = -1 },
		"MaxBatchOps":    func(c *Config) { c.MaxBatchOps = -1 },
		"MaxBatchBytes":  func(c *Config) { c.MaxBatchBytes = -1 },
		"SyncInterval":   func(c *Config) { c.SyncInterval = time.Minute },
		"PipelineDepth":  func(c *Config) { c.PipelineDepth = 9 },
		"Retention":      func(c *Config) { c.Retention = -1 },
		"RetentionBytes": func(c *Config) { c.RetentionBytes = -1 },
		"OutboxMax":      func(c *Config) { c.OutboxMax = -1 },
		"OutboxFull":     func(c *Config) { c.OutboxFull = "maybe" },
		"CacheSize":      func(c *Config) { c.CacheSize = -1 },
		"MemTableSize":   func(c *Config) { c.MemTableSize = 1 },
		"ReopenMax":      func(c *Config) { c.ReopenMax = 1 },
		"TrimInterval":   func(c *Config) { c.TrimInterval = 1 },
	} {
		cfg := Config{Dir: "d"}.withDefaults()
		if err := cfg.validate(); err != nil {
			t.Fatalf("the defaults: %v", err)
		}
		change(&cfg)
		if err := cfg.validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetricsOfTwoStores(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := openTest(t, func(c *Config) { c.Registerer = reg })
	if _, err := openOn(vfs.NewMem(), Config{Dir: "d", Registerer: reg}); err == nil {
		t.Error("two stores share their metrics")
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if families, err := reg.Gather(); err != nil || len(families) > 0 {
		t.Errorf("metrics after Close: %v, %v", families, err)
	}
}

func TestSizeIsMeasured(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := openTest(t, func(c *Config) { c.Registerer, c.SpaceInterval = reg, time.Millisecond })
	if err := <-s.put(frame.ID{1}); err != nil {
		t.Fatal(err)
	}
	size := func() float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "switchyard_sink_disk_bytes" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return 0
	}
	for end := time.Now().Add(time.Minute); size() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the size stays 0")
		}
	}
}
