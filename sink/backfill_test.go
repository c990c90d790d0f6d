package sink_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// TestBackfill configures an outbox and a retention for a store that has messages. They get into the outbox once each, over a restart in the middle, and
// none is deleted before; after that nothing comes again.
func TestBackfill(t *testing.T) {
	fs := vfs.NewMem()
	plain := quiet("store")
	store := openFor(t, fs, plain)
	const convs = 5000
	id := func(i int) frame.ID { return frame.ID{byte(i >> 8), byte(i), 3} }
	fill(t, store, convs, id, 1)
	fill(t, store, convs, id, 2)
	closeStore(t, store)

	cfg := sink.Pruning(withOutbox(plain), time.Millisecond, 1000)
	cfg.RetentionBytes = 1
	store = openFor(t, fs, cfg)
	waitFor(t, "the beginning", func() bool { return store.Outbox().Backlog().Rows > 0 })
	closeStore(t, store)
	store = openFor(t, fs, cfg)
	began := store.Outbox().Backlog().Rows
	waitFor(t, "all messages in the outbox", func() bool { return store.Outbox().Backlog().Rows >= 2*convs })
	all, err := take(store.Outbox(), 0, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	next := map[frame.ID]uint64{}
	for _, m := range all.messages {
		if next[m.conv]++; next[m.conv] != m.seq {
			t.Fatalf("message %d of %x came as number %d", m.seq, m.conv[:2], next[m.conv])
		}
	}
	t.Logf("%d of %d messages before the restart", began, 2*convs)
	if len(all.messages) != 2*convs || began == 0 || began == 2*convs {
		t.Errorf("%d messages in the outbox, want %d; %d before the restart", len(all.messages), 2*convs, began)
	}
	if r, err := extent(store, id(77)); err != nil || r.first != 1 {
		t.Errorf("before anything was shipped %+v was left, %v", r, err)
	}
	shipAll(t, store.Outbox())
	waitFor(t, "pruning", func() bool { r, err := extent(store, id(convs-1)); return err == nil && r.first == 2 })
	closeStore(t, store)

	store = openFor(t, fs, cfg)
	time.Sleep(20 * time.Millisecond)
	if b := store.Outbox().Backlog(); b.Rows > 0 {
		t.Errorf("after it is done and shipped, %d messages came again", b.Rows)
	}
	closeStore(t, store)

	// What is stored while the outbox is off gets into it as well, later.
	store = openFor(t, fs, plain)
	fill(t, store, 10, id, 3)
	closeStore(t, store)
	cfg.RetentionBytes = 0
	store = openFor(t, fs, cfg)
	waitFor(t, "what was stored without an outbox", func() bool { return store.Outbox().Backlog().Rows >= convs+10 })
}

// fill commits message seq of all conversations.
func fill(t *testing.T, store *sink.Store, convs int, id func(int) frame.ID, seq uint64) {
	t.Helper()
	w := storetest.NewWaiter(1)
	tx := store.Begin(store.Generation())
	for i := range convs {
		tx.Messages(id(i), seq, seq, storetest.Messages(id(i), seq, seq, 30))
	}
	tx.Commit(w)
	if err := w.Wait(t); err != nil {
		t.Fatal(err)
	}
}

// TestBackfillBeforePruning lets a conversation go on whose old messages are not in the outbox yet. They must get there before they are deleted.
func TestBackfillBeforePruning(t *testing.T) {
	fs := vfs.NewMem()
	store := openFor(t, fs, quiet("store"))
	const convs = 5000
	id := func(i int) frame.ID { return frame.ID{byte(i >> 8), byte(i), 3} }
	fill(t, store, convs, id, 1)
	closeStore(t, store)

	cfg := sink.Pruning(withOutbox(quiet("store")), time.Millisecond, 1000)
	cfg.RetentionBytes = 1
	cfg.OutboxMax = int64(2 * 800 * len(storetest.Messages(id(0), 1, 1, 30))) // a step is 1,024 records, so the next one waits
	store = openFor(t, fs, cfg)
	o, last := store.Outbox(), id(convs-1)
	waitFor(t, "the first step", func() bool { return o.Backlog().Rows > 0 })
	if err := put(t, store, last, 2, 2); err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	seen := 0
	waitFor(t, "all messages", func() bool {
		b, err := take(o, 0, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range b.messages {
			if m.conv == last {
				seqs = append(seqs, m.seq)
			}
		}
		seen += len(b.messages)
		if b.First > 0 {
			if err := errors.Join(o.Freeze(t.Context(), b.Range), o.Shipped(t.Context(), b.Range)); err != nil {
				t.Fatal(err)
			}
		}
		return slices.Contains(seqs, 1) || seen > convs
	})
	if len(seqs) < 2 || !slices.Equal(seqs[:2], []uint64{2, 1}) { // the backfill may put the new one again
		t.Errorf("of the conversation that went on came %v, want the new message, then the old one", seqs)
	}
	waitFor(t, "pruning", func() bool { r, err := extent(store, last); return err == nil && r.first == 2 })
}

// TestBackfillAfterAnotherConfiguration ends a backfill in the middle and lets the store go on without an outbox. A message that comes then, in a conversation
// where the backfill has been, must get into the outbox all the same when there is one again.
func TestBackfillAfterAnotherConfiguration(t *testing.T) {
	plain, aging := quiet("store"), quiet("store")
	aging.RetentionBytes = 1 << 40
	for name, between := range map[string]sink.Config{"nothing is noted": plain, "another thing is noted": aging} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			store := openFor(t, fs, plain)
			const convs = 5000
			id := func(i int) frame.ID { return frame.ID{byte(i >> 8), byte(i), 3} }
			fill(t, store, convs, id, 1)
			closeStore(t, store)

			cfg := withOutbox(plain)
			cfg.OutboxMax = int64(2 * 800 * len(storetest.Messages(id(0), 1, 1, 30))) // a step is 1,024 records, so the next one waits
			store = openFor(t, fs, cfg)
			waitFor(t, "the first step", func() bool { return store.Outbox().Backlog().Rows > 0 })
			closeStore(t, store)

			store = openFor(t, fs, between)
			if err := put(t, store, id(0), 2, 2); err != nil {
				t.Fatal(err)
			}
			closeStore(t, store)

			store = openFor(t, fs, withOutbox(plain))
			waitFor(t, "the message", func() (found bool) {
				err := store.Outbox().Read(0, func(e sink.Entry) bool {
					messages, err := unpack(e.Frames)
					if err != nil {
						t.Fatal(err)
					}
					found = found || slices.Contains(messages, sent{id(0), 2})
					return !found
				})
				if err != nil {
					t.Fatal(err)
				}
				return found
			})
		})
	}
}
