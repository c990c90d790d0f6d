package sink_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// capped is a store whose outbox takes about 100 messages.
type capped struct {
	*sink.Store
	fs  faultyFS
	reg *prometheus.Registry
	log *bytes.Buffer // written while messages are put only
	seq uint64        // of the last message that was accepted
}

const cappedMessages = 100

var cappedConv = frame.ID{1}

func cappedFrames(seq uint64) []byte {
	return storetest.Messages(cappedConv, 1<<30+seq, 1<<30+seq, 200) // all of one size
}

func openCapped(t *testing.T, full sink.OutboxFull) *capped {
	c := &capped{fs: newFaulty(vfs.NewMem()), reg: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	cfg := withOutbox(quiet("store"))
	cfg.OutboxFull, cfg.Registerer, cfg.Logger, cfg.MinFree = full, c.reg, slog.New(slog.NewTextHandler(c.log, nil)), 1000
	cfg.OutboxMax = int64(cappedMessages * len(cappedFrames(1)))
	c.Store = openFor(t, c.fs, cfg)
	return c
}

// put commits the next message.
func (c *capped) put(t *testing.T) error {
	t.Helper()
	w := storetest.NewWaiter(1)
	tx := c.Begin(c.Generation())
	tx.Messages(cappedConv, c.seq+1, c.seq+1, cappedFrames(c.seq+1))
	tx.Commit(w)
	err := w.Wait(t)
	if err == nil {
		c.seq++
	}
	return err
}

func (c *capped) putUntil(t *testing.T, seq uint64) {
	t.Helper()
	for c.seq < seq {
		if err := c.put(t); err != nil {
			t.Fatalf("message %d: %v", c.seq+1, err)
		}
	}
}

// ship ships some entries and returns them.
func (c *capped) ship(t *testing.T, entries int) (b batch) {
	t.Helper()
	ctx := context.Background()
	b, err := take(c.Outbox(), 0, entries)
	if err == nil {
		err = errors.Join(c.Outbox().Freeze(ctx, b.Range), c.Outbox().Shipped(ctx, b.Range))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// metric reads a figure of the store.
func (c *capped) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := c.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric(); f.GetName() == "switchyard_sink_"+name {
			return m[0].GetGauge().GetValue() + m[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func (c *capped) wantAlarm(t *testing.T, level float64) {
	t.Helper()
	if got := c.metric(t, "outbox_alarm"); got != level {
		t.Errorf("with %v messages in the outbox the alarm is %v, want %v", c.metric(t, "outbox_rows"), got, level)
	}
}

// TestOutboxCap fills the outbox, step by step: an alarm, a refusal, and the way back. Nothing that was accepted leaves the outbox unshipped.
func TestOutboxCap(t *testing.T) {
	c := openCapped(t, sink.OutboxRefuse)
	c.putUntil(t, 79)
	c.wantAlarm(t, 0)
	c.putUntil(t, 80)
	c.wantAlarm(t, 1)
	c.putUntil(t, 99)
	before := c.Generation()
	if !c.Available() {
		t.Fatal("refused below the cap")
	}
	c.putUntil(t, 100)
	c.wantAlarm(t, 2)
	if c.Available() || c.Generation() == before {
		t.Errorf("at the cap: available %v, generation %d as before", c.Available(), before)
	}
	if err := c.put(t); !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("a message at the cap ended with %v", err)
	}
	if _, _, n, err := c.ReadAfter(nil, cappedConv, 0, math.MaxUint64, 1000, math.MaxInt); n != 100 || err != nil {
		t.Errorf("read %d messages at the cap, %v", n, err)
	}

	// What makes room goes on, with little free space as well.
	c.fs.faults.free.Store(10)
	waitFor(t, "refusal for little space", func() bool { return c.metric(t, "free_bytes") == 10 })
	received := c.ship(t, 5).messages
	c.fs.faults.free.Store(1 << 40)
	waitFor(t, "free space", func() bool { return c.metric(t, "free_bytes") > 10 })
	if err := c.put(t); !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("a message with 95 in the outbox ended with %v", err)
	}
	during := c.Generation()
	received = append(received, c.ship(t, 1).messages...)
	if !c.Available() || c.Generation() == during {
		t.Errorf("below the cap: available %v, generation %d, %d before", c.Available(), c.Generation(), during)
	}
	c.wantAlarm(t, 1)
	c.putUntil(t, 101)
	received = append(received, c.ship(t, 1000).messages...)
	c.wantAlarm(t, 0)
	for i, m := range received {
		if m.seq != 1<<30+uint64(i+1) {
			t.Fatalf("message %d is %d", i+1, m.seq-1<<30)
		}
	}
	if len(received) != 101 {
		t.Errorf("%d messages were shipped", len(received))
	}
	for _, text := range []string{"the outbox is nearly full", "messages will be refused", "the outbox is full", "there is room in the outbox again"} {
		if !strings.Contains(c.log.String(), text) {
			t.Errorf("the log does not say that %s:\n%s", text, c.log)
		}
	}
}

// TestOutboxCapAtStart opens a store whose outbox is full already.
func TestOutboxCapAtStart(t *testing.T) {
	fs := vfs.NewMem()
	cfg := withOutbox(quiet("store"))
	store := openFor(t, fs, cfg)
	for seq := uint64(1); seq <= 3; seq++ {
		if err := put(t, store, frame.ID{1}, seq, seq); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, store)
	cfg.OutboxMax = 10
	store = openFor(t, fs, cfg)
	if store.Available() {
		t.Error("available with a full outbox")
	}
	if err := put(t, store, frame.ID{1}, 4, 4); !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("a message ended with %v", err)
	}
	if err := store.Durable(t.Context(), store.Generation()); err != nil {
		t.Errorf("what was read is not known to be durable: %v", err)
	}
	if err := store.Durable(t.Context(), store.Generation()-1); !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("what was read before the interruption: %v", err)
	}
	to := newReceiver()
	if err := shipOnce(context.Background(), store.Outbox(), to, 10); err != nil {
		t.Fatal(err)
	}
	if err := put(t, store, frame.ID{1}, 4, 4); err != nil {
		t.Error(err)
	}
}

// gaps reads the outbox and returns its messages and gaps, in order.
func gaps(t *testing.T, o *sink.Outbox) (messages int, all []sink.Gap) {
	t.Helper()
	err := o.Read(0, func(e sink.Entry) bool {
		messages += e.Rows
		if e.Gap != nil {
			if e.Rows != 0 || e.Frames != nil {
				t.Errorf("the entry of a gap has %d messages", e.Rows)
			}
			all = append(all, *e.Gap)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return messages, all
}

// TestOutboxDrop fills an outbox that may drop: chat goes on, and each message is either in the outbox or counted in a gap.
func TestOutboxDrop(t *testing.T) {
	c := openCapped(t, sink.OutboxDrop)
	c.putUntil(t, 100)
	began := uint64(time.Now().UnixMilli())
	c.putUntil(t, 130)
	ended := uint64(time.Now().UnixMilli())
	c.wantAlarm(t, 2)
	if messages, g := gaps(t, c.Outbox()); messages != 100 || len(g) > 0 {
		t.Errorf("during the gap %d messages and the gaps %+v are shown", messages, g)
	}
	if n := c.metric(t, "outbox_dropped_total"); n != 30 {
		t.Errorf("%v messages were dropped, want 30", n)
	}
	c.ship(t, 5)
	c.putUntil(t, 131) // 95 of 100: goes on
	c.ship(t, 1)
	c.putUntil(t, 133) // there is room again
	messages, g := gaps(t, c.Outbox())
	if messages != 96 || len(g) != 1 {
		t.Fatalf("after the gap %d messages, and the gaps %+v", messages, g)
	}
	if g[0].Rows != 31 || g[0].FromMS < began || g[0].FromMS > ended || g[0].ToMS < g[0].FromMS {
		t.Errorf("between %d and %d there was the gap %+v", began, ended, g[0])
	}
	if b := c.Outbox().Backlog(); b.Rows != 96 || b.Bytes != uint64(96*len(cappedFrames(1))) {
		t.Errorf("the backlog is %+v", b)
	}
	if _, _, n, err := c.ReadAfter(nil, cappedConv, 0, math.MaxUint64, 1000, math.MaxInt); n != 133 || err != nil {
		t.Errorf("the store has %d messages, %v", n, err)
	}
	for _, text := range []string{"messages will be missing in the history", "missing_since_start"} {
		if !strings.Contains(c.log.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, c.log)
		}
	}
	if r := shipAll(t, c.Outbox()); r.Last-r.First > 132 {
		t.Errorf("shipped %v", r)
	}
	if b := c.Outbox().Backlog(); b != (sink.Backlog{}) {
		t.Errorf("the backlog is %+v", b)
	}
}

// shipAll ships everything, gaps included.
func shipAll(t *testing.T, o *sink.Outbox) (r sink.Range) {
	t.Helper()
	err := o.Read(0, func(e sink.Entry) bool {
		if r.First == 0 {
			r.First = e.Number
		}
		r.Last = e.Number
		return true
	})
	if err == nil && r.First > 0 {
		err = errors.Join(o.Freeze(context.Background(), r), o.Shipped(context.Background(), r))
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOutboxDropAndPowerCut cuts the power in the middle of a gap: it ends there, and another one follows it.
func TestOutboxDropAndPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	cfg := withOutbox(quiet("store"))
	cfg.OutboxFull, cfg.OutboxMax = sink.OutboxDrop, 1
	store := openFor(t, fs, cfg)
	for seq := uint64(1); seq <= 10; seq++ {
		if err := put(t, store, frame.ID{1}, seq, seq); err != nil {
			t.Fatal(err)
		}
	}
	store = openFor(t, fs.CrashClone(vfs.CrashCloneCfg{}), cfg)
	if messages, g := gaps(t, store.Outbox()); messages != 1 || len(g) != 1 || g[0].Rows != 9 {
		t.Errorf("after the cut %d messages, and the gaps %+v", messages, g)
	}
	if err := put(t, store, frame.ID{1}, 11, 13); err != nil {
		t.Fatal(err)
	}
	shipAll(t, store.Outbox())
	if err := put(t, store, frame.ID{1}, 14, 14); err != nil {
		t.Fatal(err)
	}
	if messages, g := gaps(t, store.Outbox()); messages != 1 || len(g) != 1 || g[0].Rows != 3 {
		t.Errorf("in the end %d messages, and the gaps %+v", messages, g)
	}
}

// TestShippedMakesRoom checks that the space of what is shipped is given back although nothing more is written, as while the disk is nearly full.
func TestShippedMakesRoom(t *testing.T) {
	fs := vfs.NewMem()
	cfg := sink.Reclaim(withOutbox(quiet("store")), 10*time.Millisecond)
	cfg.MemTableSize = 1 << 20
	store := openFor(t, fs, cfg)
	fillLarge(t, store)
	if before := tables(t, fs); before < 1.6*largeTotal {
		t.Fatalf("%d bytes of tables before: the outbox is not in them", before)
	}
	shipAll(t, store.Outbox())
	waitFor(t, "room", func() bool { return tables(t, fs) < 1.4*largeTotal }) // the newest tables hold messages as well
}

// largeTotal is about how many bytes fillLarge puts, in messages that cannot be compressed, or the engine makes little of them.
const (
	largeMessages, largeSize = 600, 50_000
	largeTotal               = largeMessages * largeSize
)

func fillLarge(t *testing.T, store *sink.Store) {
	t.Helper()
	for seq := uint64(1); seq <= largeMessages; seq++ {
		putLarge(t, store, seq)
	}
}

var largeBody = incompressible(largeSize)

func putLarge(t *testing.T, store *sink.Store, seq uint64) {
	t.Helper()
	w := storetest.NewWaiter(1)
	tx := store.Begin(store.Generation())
	m := frame.Message{Conv: frame.ID{1}, Seq: seq, Body: largeBody}
	tx.Messages(frame.ID{1}, seq, seq, m.Append(nil))
	tx.Commit(w)
	if err := w.Wait(t); err != nil {
		t.Fatal(err)
	}
}

// TestPruningMakesRoom checks that the store does not grow beyond what is kept, although it deletes record by record.
func TestPruningMakesRoom(t *testing.T) {
	fs := vfs.NewMem()
	cfg := sink.Pruning(sink.Reclaim(quiet("store"), 10*time.Millisecond), time.Hour, 100)
	cfg.MemTableSize, cfg.RetentionBytes = 1<<20, largeTotal/10
	store := openFor(t, fs, cfg)
	for seq := uint64(1); seq <= 3*largeMessages; seq++ {
		putLarge(t, store, seq)
		if seq%10 > 0 {
			continue
		}
		if err := store.Prune(); err != nil {
			t.Fatal(err)
		}
	}
	// A tenth of largeTotal is kept; the rest is in a few tables that wait for a compaction, however much is written.
	waitFor(t, "room", func() bool { return tables(t, fs) < largeTotal })
}

// incompressible is a body, a msgpack binary of random bytes.
func incompressible(size int) []byte {
	body := []byte{0xc6, 0, 0, byte(size >> 8), byte(size)}
	rng := rand.New(rand.NewPCG(1, 2))
	for range size {
		body = append(body, byte(rng.Uint32()))
	}
	return body
}

// tables adds up the tables of a store.
func tables(t *testing.T, fs vfs.FS) (size int64) {
	t.Helper()
	names, err := fs.List("store")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		if info, err := fs.Stat(fs.PathJoin("store", name)); err == nil { // it may just have been removed
			size += info.Size()
		}
	}
	return size
}
