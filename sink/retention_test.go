package sink_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// modelRecord is what one transaction put into one conversation.
type modelRecord struct {
	conv        frame.ID
	first, last uint64
}

// modelCommit is one transaction; it is committed alone, so it is one commit.
type modelCommit struct {
	records []modelRecord
	bytes   int
}

// retentionModel is the obvious store with a limit in bytes and an outbox: it forgets the oldest commits while there is too much.
type retentionModel struct {
	limit   int
	commits []modelCommit // not forgotten
	gone    int           // commits forgotten
	shipped int           // commits shipped
	kept    map[frame.ID][]modelRecord
}

func (m *retentionModel) prune() {
	total := 0
	for _, c := range m.commits {
		total += c.bytes
	}
	for m.gone < m.shipped && total > m.limit {
		for _, r := range m.commits[0].records {
			m.forget(r)
		}
		total -= m.commits[0].bytes
		m.commits = m.commits[1:]
		m.gone++
	}
}

// forget drops a record and all before it, but not the last of a conversation.
func (m *retentionModel) forget(r modelRecord) {
	for list := m.kept[r.conv]; len(list) > 1 && list[0].last <= r.last; list = m.kept[r.conv] {
		m.kept[r.conv] = list[1:]
	}
}

// TestRetentionModel compares the pruner with the obvious model, with random transactions and ranges that are shipped.
func TestRetentionModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(newSeed(t), 0))
	fs := vfs.NewMem()
	cfg := sink.Pruning(withOutbox(quiet("store")), time.Hour, 1+rng.IntN(50))
	m := &retentionModel{limit: 20_000, kept: map[frame.ID][]modelRecord{}}
	cfg.RetentionBytes, cfg.SyncInterval = int64(m.limit), -1
	store := openFor(t, fs, cfg)
	heads := map[frame.ID]uint64{}
	for range 40 {
		for range rng.IntN(80) {
			m.commit(t, rng, store, heads)
		}
		if rng.IntN(4) > 0 {
			m.ship(t, rng, store.Outbox())
		}
		if err := store.Prune(); err != nil {
			t.Fatal(err)
		}
		m.prune()
		m.compare(t, store)
		if rng.IntN(5) == 0 {
			closeStore(t, store)
			store = openFor(t, fs, cfg)
		}
	}
	if m.gone == 0 {
		t.Error("nothing was ever deleted")
	}
}

// commit puts messages into some conversations, of which a few are busy and many are not.
func (m *retentionModel) commit(t *testing.T, rng *rand.Rand, store *sink.Store, heads map[frame.ID]uint64) {
	t.Helper()
	var c modelCommit
	w := storetest.NewWaiter(1)
	tx := store.Begin(store.Generation())
	for range 1 + rng.IntN(3) {
		conv := frame.ID{byte(rng.ExpFloat64() * 3), 1}
		if slices.ContainsFunc(c.records, func(r modelRecord) bool { return r.conv == conv }) {
			continue
		}
		r := modelRecord{conv, heads[conv] + 1, heads[conv] + 1 + uint64(rng.IntN(3))}
		frames := storetest.Messages(conv, r.first, r.last, 20+rng.IntN(200))
		tx.Messages(conv, r.first, r.last, frames)
		heads[conv] = r.last
		m.kept[conv] = append(m.kept[conv], r)
		c.records = append(c.records, r)
		c.bytes += len(frames)
	}
	tx.Commit(w)
	if err := w.Wait(t); err != nil {
		t.Fatal(err)
	}
	m.commits = append(m.commits, c)
}

func (m *retentionModel) ship(t *testing.T, rng *rand.Rand, o *sink.Outbox) {
	t.Helper()
	b, err := take(o, 0, 1+rng.IntN(100))
	if err != nil {
		t.Fatal(err)
	}
	if b.First == 0 {
		return
	}
	if err := o.Freeze(context.Background(), b.Range); err != nil {
		t.Fatal(err)
	}
	if err := o.Shipped(context.Background(), b.Range); err != nil {
		t.Fatal(err)
	}
	m.shipped = int(b.Last)
}

func (m *retentionModel) compare(t *testing.T, store *sink.Store) {
	t.Helper()
	for conv, kept := range m.kept {
		want := modelRecord{conv, kept[0].first, kept[len(kept)-1].last}
		if got, err := extent(store, conv); err != nil || got != want {
			t.Fatalf("kept of %x are %d..%d, want %d..%d: %v", conv[:2], got.first, got.last, want.first, want.last, err)
		}
	}
}

// extent reads a conversation in all ways and returns what is there, after checking that nothing is missing in between and that all ways agree.
func extent(store *sink.Store, conv frame.ID) (modelRecord, error) {
	frames, last, count, err := store.ReadAfter(nil, conv, 0, math.MaxUint64, math.MaxInt, math.MaxInt)
	if err != nil {
		return modelRecord{}, err
	}
	if count == 0 {
		return modelRecord{}, fmt.Errorf("there are no messages of %x", conv[:2])
	}
	r := modelRecord{conv, last - uint64(count) + 1, last}
	messages, err := unpack(frames)
	if err != nil {
		return r, err
	}
	for i, m := range messages {
		if m.seq != r.first+uint64(i) {
			return r, fmt.Errorf("of %x message %d follows %d of %d..%d", conv[:2], m.seq, r.first+uint64(i)-1, r.first, r.last)
		}
	}
	return r, nil
}

// TestReadsAfterPruning reads at the seam: what begins before it starts with what is there, and nothing older is promised.
func TestReadsAfterPruning(t *testing.T) {
	cfg := sink.Pruning(quiet("store"), time.Millisecond, 1)
	conv, other := frame.ID{1}, frame.ID{2}
	cfg.RetentionBytes = int64(5 * len(storetest.Messages(conv, 1, 1, 20)))
	store := openFor(t, vfs.NewMem(), cfg)
	if err := put(t, store, other, 1, 1); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= 20; seq++ {
		if err := put(t, store, conv, seq, seq); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "pruning", func() bool { r, err := extent(store, conv); return err == nil && r.first == 16 })
	for after, want := range map[uint64]uint64{0: 16, 3: 16, 15: 16, 16: 17, 19: 20} {
		frames, _, _, err := store.ReadAfter(nil, conv, after, 20, 1, math.MaxInt)
		if got := storetest.Sequences(t, frames); err != nil || !slices.Equal(got, []uint64{want}) {
			t.Errorf("after %d: %v, %v; want %d", after, got, err, want)
		}
	}
	for _, before := range []uint64{0, 21, 18, 17, 16, 5} {
		frames, n, more, err := store.ReadBefore(nil, conv, before, 100, math.MaxInt)
		want := map[uint64]int{0: 5, 21: 5, 18: 2, 17: 1}[before]
		if got := storetest.Sequences(t, frames); err != nil || n != want || len(got) != want || more {
			t.Errorf("before %d: %v, more %v, %v; want %d messages", before, got, more, err, want)
		}
	}
	st, frames, ok, err := store.LoadConversation(conv, 100)
	if err != nil || !ok || len(st) == 0 || len(storetest.Sequences(t, frames)) != 5 {
		t.Errorf("loaded state %x, messages %v, %v, %v", st, storetest.Sequences(t, frames), ok, err)
	}
	// The last message of a conversation in which nothing happens stays, until something happens and it is old.
	if r, err := extent(store, other); err != nil || r.last != 1 {
		t.Errorf("of the idle conversation %+v is left, %v", r, err)
	}
	for seq := uint64(2); seq <= 10; seq++ {
		if err := put(t, store, other, seq, seq); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "pruning", func() bool { r, err := extent(store, other); return err == nil && r.first == 6 })
}

// TestRetentionByTime deletes what is old and shipped, and nothing else.
func TestRetentionByTime(t *testing.T) {
	cfg := sink.Pruning(withOutbox(quiet("store")), time.Millisecond, 100)
	cfg.Retention = 30 * time.Millisecond
	store := openFor(t, vfs.NewMem(), cfg)
	conv := frame.ID{1}
	put(t, store, conv, 1, 1)
	put(t, store, conv, 2, 2)
	put(t, store, conv, 3, 3)
	time.Sleep(2 * cfg.Retention)
	if r, err := extent(store, conv); err != nil || r.first != 1 {
		t.Errorf("unshipped messages were deleted: %+v, %v", r, err)
	}
	shipAll(t, store.Outbox())
	waitFor(t, "the end of their time", func() bool { r, err := extent(store, conv); return err == nil && r.first == 3 })

	cfg.Retention = time.Hour
	store = openFor(t, vfs.NewMem(), cfg)
	put(t, store, conv, 1, 1)
	put(t, store, conv, 2, 2)
	shipAll(t, store.Outbox())
	time.Sleep(30 * time.Millisecond)
	if r, err := extent(store, conv); err != nil || r.first != 1 {
		t.Errorf("young messages were deleted: %+v, %v", r, err)
	}
}

// TestRetentionPowerCuts cuts the power, and lets operations fail, while messages are accepted, shipped and deleted.
func TestRetentionPowerCuts(t *testing.T) {
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	mem := vfs.NewCrashableMem()
	fs := newFaulty(mem)
	cfg := sink.Pruning(withOutbox(quiet("store")), time.Millisecond, 20)
	cfg.MemTableSize, cfg.RetentionBytes = 1<<20, 100_000
	store := openFor(t, fs, cfg)
	w, to, stop := startShipping(t, store, seed)
	defer stop()
	for round := range 20 {
		w.proceed(t, rng)
		if round%3 == 0 {
			strike(t, rng, fs.faults, w)
		}
		acked := w.acked()
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		fs.faults.clear()
		checkPruned(t, w, to, clone, cfg, acked)
		waitFor(t, "availability", store.Available)
	}
	if r, err := extent(store, w.shards[0].a); err != nil || r.first == 1 {
		t.Errorf("in the end the store has %+v, %v", r, err)
	}
}

// checkPruned opens what a cut has left: all of a conversation's messages up to its head were shipped, wait, or both; what waits is in the store.
func checkPruned(t *testing.T, w *workload, to *receiver, clone *vfs.MemFS, cfg sink.Config, acked []uint64) {
	t.Helper()
	store, err := sink.OpenOn(clone, cfg)
	if err != nil {
		t.Fatalf("after a cut: %v", err)
	}
	defer closeStore(t, store)
	if err := to.verify(store, w.shards); err != nil {
		t.Errorf("after a cut: %v", err)
	}
	waiting, err := take(store.Outbox(), 0, math.MaxInt)
	if err != nil {
		t.Error(err)
	}
	oldest := map[frame.ID]uint64{}
	for _, m := range waiting.messages {
		if oldest[m.conv] == 0 {
			oldest[m.conv] = m.seq
		}
	}
	for i, s := range w.shards {
		if acked[i] == 0 {
			continue // perhaps there is nothing yet
		}
		for _, conv := range []frame.ID{s.a, s.b} {
			r, err := extent(store, conv)
			if err != nil || r.last < acked[i] || oldest[conv] > 0 && r.first > oldest[conv] {
				t.Errorf("after a cut %x has %d..%d, %d is acknowledged, those from %d on wait: %v", conv[:2], r.first, r.last, acked[i], oldest[conv], err)
			}
		}
	}
}
