package sink_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// withOutbox numbers entries from 1 without holes, over restarts too, so that a test sees an entry that is missing.
func withOutbox(cfg sink.Config) sink.Config {
	cfg.Outbox = true
	return sink.NumberedFrom(cfg, 0)
}

func TestContractWithOutbox(t *testing.T) {
	storetest.Run(t, func(t *testing.T) dispatch.Store {
		return adapted{openFor(t, vfs.NewMem(), withOutbox(quiet("store")))}
	})
}

// put commits messages first..last of conv and waits.
func put(t *testing.T, store *sink.Store, conv frame.ID, first, last uint64) error {
	t.Helper()
	w := storetest.NewWaiter(1)
	tx := store.Begin(store.Generation())
	tx.Messages(conv, first, last, storetest.Messages(conv, first, last, 20))
	tx.Conversation(conv, state(last), true)
	tx.Commit(w)
	return w.Wait(t)
}

// sent is one message of an entry.
type sent struct {
	conv frame.ID
	seq  uint64
}

// unpack returns the messages of an entry.
func unpack(frames []byte) (all []sent, err error) {
	for len(frames) > 0 {
		_, f, rest, err := frame.Next(frames)
		if err != nil {
			return nil, err
		}
		var m frame.Message
		if err := m.Parse(f); err != nil {
			return nil, err
		}
		all = append(all, sent{m.Conv, m.Seq})
		frames = rest
	}
	return all, nil
}

// batch is a range of entries and what it holds.
type batch struct {
	sink.Range
	messages []sent
}

// take reads entries from a number on, at most max of them. Its Range is zero if there are none.
func take(o *sink.Outbox, from uint64, max int) (b batch, err error) {
	n := 0
	failed := o.Read(from, func(e sink.Entry) bool {
		messages, bad := unpack(e.Frames)
		if bad == nil && len(messages) != e.Rows {
			bad = fmt.Errorf("entry %d: %d rows, and %d messages", e.Number, e.Rows, len(messages))
		}
		err = errors.Join(err, bad)
		if b.First == 0 {
			b.First = e.Number
		}
		if b.Last > 0 && e.Number != b.Last+1 {
			err = errors.Join(err, fmt.Errorf("entry %d follows %d", e.Number, b.Last))
		}
		b.Last = e.Number
		b.messages = append(b.messages, messages...)
		n++
		return n < max
	})
	return b, errors.Join(failed, err)
}

// TestOutbox goes through the life of some entries, step by step.
func TestOutbox(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	store := openFor(t, fs, withOutbox(quiet("store")))
	o := store.Outbox()
	source := o.Source()
	if len(source) != 16 {
		t.Errorf("the source is %q", source)
	}
	a, b := frame.ID{1}, frame.ID{2}
	began := uint64(time.Now().UnixMilli())
	for seq := uint64(1); seq <= 3; seq++ {
		if err := put(t, store, a, 2*seq-1, 2*seq); err != nil {
			t.Fatal(err)
		}
		if err := put(t, store, b, seq, seq); err != nil {
			t.Fatal(err)
		}
	}
	all, err := take(o, 0, math.MaxInt)
	want := []sent{{a, 1}, {a, 2}, {b, 1}, {a, 3}, {a, 4}, {b, 2}, {a, 5}, {a, 6}, {b, 3}}
	if err != nil || all.Range != (sink.Range{First: 1, Last: 6}) || !slices.Equal(all.messages, want) {
		t.Fatalf("the outbox has %v, %v", all, err)
	}
	backlog := o.Backlog()
	if now := uint64(time.Now().UnixMilli()); backlog.OldestMS < began || backlog.OldestMS > now || backlog.Rows != 9 || backlog.Bytes < 9*20 {
		t.Errorf("the backlog is %+v", backlog)
	}

	frozen := sink.Range{First: 1, Last: 4}
	if err := o.Freeze(ctx, frozen); err != nil {
		t.Fatal(err)
	}
	if err := o.Freeze(ctx, frozen); err != nil {
		t.Error("the same again:", err)
	}
	for what, err := range map[string]error{
		"freeze another":  o.Freeze(ctx, sink.Range{First: 1, Last: 5}),
		"another shipped": o.Shipped(ctx, sink.Range{First: 1, Last: 5}),
	} {
		if !errors.Is(err, sink.ErrNotFrozen) {
			t.Errorf("%s: %v", what, err)
		}
	}
	closeStore(t, store)

	store = openFor(t, fs, withOutbox(quiet("store")))
	o = store.Outbox()
	if r, ok, err := o.Frozen(); r != frozen || !ok || err != nil {
		t.Errorf("after a restart %v is frozen: %v, %v", r, ok, err)
	}
	if o.Source() != source || o.Backlog() != backlog {
		t.Errorf("after a restart: source %q, backlog %+v", o.Source(), o.Backlog())
	}
	for range 2 { // a range that is gone is fine
		if err := o.Shipped(ctx, frozen); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok, err := o.Frozen(); ok || err != nil {
		t.Errorf("%v is frozen, %v", r, err)
	}
	rest, err := take(o, 0, math.MaxInt)
	if err != nil || rest.Range != (sink.Range{First: 5, Last: 6}) || !slices.Equal(rest.messages, want[6:]) {
		t.Errorf("the outbox has %v, %v", rest, err)
	}
	if b := o.Backlog(); b.Rows != 3 || b.Bytes >= backlog.Bytes || b.OldestMS < backlog.OldestMS {
		t.Errorf("the backlog is %+v", b)
	}

	// All shipped: the numbers go on, over a restart too.
	if err := errors.Join(o.Freeze(ctx, rest.Range), o.Shipped(ctx, rest.Range)); err != nil {
		t.Fatal(err)
	}
	if b := o.Backlog(); b != (sink.Backlog{}) {
		t.Errorf("the backlog is %+v", b)
	}
	closeStore(t, store)
	store = openFor(t, fs, withOutbox(quiet("store")))
	o = store.Outbox()
	if err := put(t, store, a, 7, 7); err != nil {
		t.Fatal(err)
	}
	if b, err := take(o, 0, math.MaxInt); err != nil || b.Range != (sink.Range{First: 7, Last: 7}) {
		t.Errorf("the outbox has %v, %v", b, err)
	}
	if b := o.Backlog(); b.Rows != 1 {
		t.Errorf("the backlog is %+v", b)
	}
}

// TestOutboxWait waits for an entry that comes, for one that does not, and for one of a store that is closed.
func TestOutboxWait(t *testing.T) {
	store := openFor(t, vfs.NewMem(), withOutbox(quiet("store")))
	o := store.Outbox()
	came := make(chan error, 1)
	go func() { came <- o.Wait(context.Background(), 0) }()
	select {
	case err := <-came:
		t.Fatal("an entry came before the first message:", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := put(t, store, frame.ID{1}, 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := <-came; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := o.Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait for the next ended with %v", err)
	}
	shipAll(t, o)
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := o.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with all shipped, a wait for any ended with %v", err)
	}
	go func() { came <- o.Wait(context.Background(), 1) }()
	closeStore(t, store)
	if err := <-came; !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("a wait ended by Close with %v", err)
	}
}

// TestOutboxNumbers: a store that was copied, and one that was begun anew, give numbers that the first one has not given, and higher ones: the history keeps
// of the rows of one message that with the highest.
func TestOutboxNumbers(t *testing.T) {
	cfg := quiet("store")
	cfg.Outbox = true
	last := func(fs vfs.FS, seq uint64) uint64 {
		t.Helper()
		store := openFor(t, fs, cfg)
		defer closeStore(t, store)
		if err := put(t, store, frame.ID{1}, seq, seq); err != nil {
			t.Fatal(err)
		}
		return shipAll(t, store.Outbox()).Last
	}
	first, copied := vfs.NewMem(), vfs.NewMem()
	before := last(first, 1)
	if ok, err := vfs.Clone(first, copied, "store", "store"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	numbers := []uint64{before, last(first, 2), last(copied, 2), last(vfs.NewMem(), 1)}
	if !slices.IsSorted(numbers) || len(slices.Compact(numbers)) < 4 {
		t.Errorf("a store, that store again, its copy and a new one number %d", numbers)
	}
}

// TestOutboxShowsWhatIsDurable holds a sync up: until it is done nobody may see the entry, as a loss of power would take it back.
func TestOutboxShowsWhatIsDurable(t *testing.T) {
	fs := newFaulty(vfs.NewMem())
	store := openFor(t, fs, withOutbox(quiet("store")))
	syncing, goOn := fs.holdSync()
	w := storetest.NewWaiter(1)
	tx := store.Begin(store.Generation())
	tx.Messages(frame.ID{1}, 1, 1, storetest.Messages(frame.ID{1}, 1, 1, 10))
	tx.Commit(w)
	<-syncing
	if b, err := take(store.Outbox(), 0, 1); err != nil || b.First != 0 || store.Outbox().Backlog() != (sink.Backlog{}) {
		t.Errorf("before the sync the outbox has %v, %v", b, err)
	}
	close(goOn)
	if err := w.Wait(t); err != nil {
		t.Fatal(err)
	}
	if b, err := take(store.Outbox(), 0, 1); err != nil || b.First != 1 {
		t.Errorf("after the sync the outbox has %v, %v", b, err)
	}
}

// receiver is where a shipper of the tests sends to. It knows each range that it was sent, and what was in it.
type receiver struct {
	mu     sync.Mutex
	ranges map[sink.Range][]sent
	order  []sink.Range // as they came first
}

func newReceiver() *receiver { return &receiver{ranges: map[sink.Range][]sent{}} }

// destination is where shipOnce sends to.
type destination interface{ send(batch) error }

// send takes a range, or sees that it has it already, with the same contents.
func (r *receiver) send(b batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if had, again := r.ranges[b.Range]; again {
		if !slices.Equal(had, b.messages) {
			return fmt.Errorf("%v comes again with other contents", b.Range)
		}
		return nil
	}
	if n := len(r.order); n > 0 && b.First != r.order[n-1].Last+1 {
		return fmt.Errorf("%v follows %v", b.Range, r.order[n-1])
	}
	r.order = append(r.order, b.Range)
	r.ranges[b.Range] = b.messages
	return nil
}

// count puts together what was received, as far as the store knows, and what is still in the outbox, and returns the last sequence of
// each conversation, after checking that each message is there once, in order.
func (r *receiver) count(store *sink.Store) (heads map[frame.ID]uint64, err error) {
	if err := store.Durable(context.Background(), store.Generation()); err != nil { // what a shipper who has ended told last may still be under way
		return nil, err
	}
	rest, err := take(store.Outbox(), 0, math.MaxInt)
	if err != nil {
		return nil, err
	}
	shipped := store.Outbox().ShippedUpTo()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []sent
	for _, g := range r.order {
		if g.First <= shipped {
			all = append(all, r.ranges[g]...)
		}
	}
	heads = map[frame.ID]uint64{}
	for _, m := range append(all, rest.messages...) {
		if m.seq != heads[m.conv]+1 {
			return nil, fmt.Errorf("message %d of %x follows %d; %d messages were shipped, %v are there", m.seq, m.conv[:2], heads[m.conv], len(all), rest.Range)
		}
		heads[m.conv] = m.seq
	}
	return heads, nil
}

// verify checks that what was received and what waits are together what the store has.
func (r *receiver) verify(store *sink.Store, shards []*shard) error {
	heads, err := r.count(store)
	if err != nil {
		return err
	}
	for _, s := range shards {
		head, err := (&shard{a: s.a, b: s.b}).load(store)
		if err != nil {
			return err
		}
		if heads[s.a] != head || heads[s.b] != head {
			return fmt.Errorf("a conversation has %d messages, and %d and %d were shipped or wait", head, heads[s.a], heads[s.b])
		}
	}
	return nil
}

// shipOnce sends the frozen range, or freezes one and sends that.
func shipOnce(ctx context.Context, o *sink.Outbox, to destination, entries int) error {
	r, ok, err := o.Frozen()
	if err != nil {
		return err
	}
	limit := entries
	if ok {
		limit = int(r.Last - r.First + 1)
	}
	b, err := take(o, 0, limit)
	if err != nil || b.First == 0 {
		return err
	}
	if ok && b.Range != r {
		return fmt.Errorf("%v is frozen, and %v was read", r, b.Range)
	}
	if !ok {
		err = o.Freeze(ctx, b.Range)
	}
	if err == nil {
		err = to.send(b)
	}
	if err == nil {
		err = o.Shipped(ctx, b.Range)
	}
	return err
}

// ship ships until the context ends.
func ship(t *testing.T, ctx context.Context, o *sink.Outbox, to *receiver, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for ctx.Err() == nil {
		err := shipOnce(ctx, o, to, 1+rng.IntN(20))
		switch {
		case err == nil:
			time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
		case errors.Is(err, sink.ErrUnavailable), errors.Is(err, context.Canceled):
			time.Sleep(time.Millisecond)
		default:
			t.Errorf("ship: %v", err)
			return
		}
	}
}

// TestOutboxPowerCuts cuts the power at random moments, while messages are accepted and shipped. What the receiver got and what the outbox
// holds must together be each message once, in order.
func TestOutboxPowerCuts(t *testing.T) {
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewCrashableMem()
	cfg := withOutbox(quiet("store"))
	cfg.MemTableSize = 1 << 20
	store := openFor(t, fs, cfg)
	w, to, stop := startShipping(t, store, seed)
	defer stop()
	for range 25 {
		w.proceed(t, rng)
		acked := w.acked()
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 1, 50, 99, 100}[rng.IntN(5)], RNG: rng})
		checkShipping(t, w, to, clone, cfg, acked)
	}
}

// TestOutboxRandomFaults does the same while random operations fail and the store comes back by itself.
func TestOutboxRandomFaults(t *testing.T) {
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	mem := vfs.NewCrashableMem()
	fs := newFaulty(mem)
	cfg := withOutbox(quiet("store"))
	cfg.MemTableSize = 1 << 20
	store := openFor(t, fs, cfg)
	w, to, stop := startShipping(t, store, seed)
	for range 20 {
		w.proceed(t, rng)
		strike(t, rng, fs.faults, w)
		acked := w.acked()
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		fs.faults.clear()
		checkShipping(t, w, to, clone, cfg, acked)
		waitFor(t, "the end of the outage", store.Available)
		w.proceed(t, rng)
	}
	stop()
	waitFor(t, "availability", store.Available)
	if err := to.verify(store, w.shards); err != nil {
		t.Error(err)
	}
	if len(to.order) < 20 {
		t.Errorf("only %d ranges were shipped", len(to.order))
	}
}

// startShipping starts shards that write and a shipper; stop, which may be called twice, ends both.
func startShipping(t *testing.T, store *sink.Store, seed uint64) (w *workload, to *receiver, stop func()) {
	to = newReceiver()
	w = startWorkload(t, store, 3)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { ship(t, ctx, store.Outbox(), to, seed) })
	return w, to, sync.OnceFunc(func() { w.end(); cancel(); wg.Wait() })
}

// checkShipping opens what a cut has left. The receiver may have been sent more since; what is left ships the rest.
func checkShipping(t *testing.T, w *workload, to *receiver, clone *vfs.MemFS, cfg sink.Config, acked []uint64) {
	t.Helper()
	store, err := sink.OpenOn(clone, cfg)
	if err != nil {
		t.Fatalf("after a cut: %v", err)
	}
	defer closeStore(t, store)
	w.verify(t, store, acked)
	if err := to.verify(store, w.shards); err != nil {
		t.Errorf("after a cut: %v", err)
	}
}

// TestOutboxNumbersWithoutFsync loses power, and with it what was shipped already, where nothing is synced. What is stored then under the same sequences
// must get higher numbers than what the history has.
func TestOutboxNumbersWithoutFsync(t *testing.T) {
	fs := vfs.NewCrashableMem()
	cfg := withOutbox(quiet("store"))
	cfg.Durability = sink.DurabilityUnsafeNoFsync
	store := openFor(t, fs, cfg)
	closeStore(t, store)
	store = openFor(t, fs, cfg)
	for seq := uint64(1); seq <= 5; seq++ {
		if err := put(t, store, frame.ID{1}, seq, seq); err != nil {
			t.Fatal(err)
		}
	}
	lost := shipAll(t, store.Outbox())
	store = openFor(t, fs.CrashClone(vfs.CrashCloneCfg{}), cfg)
	if _, _, n, err := store.ReadAfter(nil, frame.ID{1}, 0, 5, 5, math.MaxInt); n > 0 || err != nil {
		t.Fatalf("%d messages were not lost, %v: this tests nothing", n, err)
	}
	if err := put(t, store, frame.ID{1}, 1, 1); err != nil {
		t.Fatal(err)
	}
	if again := shipAll(t, store.Outbox()); again.First <= lost.Last {
		t.Errorf("%v was shipped before the loss, and %v after it", lost, again)
	}
}
