package sink_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// erase empties the messages of a sender.
func erase(sender string) func(*frame.Message) (frame.Message, bool) {
	return func(m *frame.Message) (frame.Message, bool) {
		to := *m
		to.Sender, to.Body = []byte("erased"), nil
		return to, string(m.Sender) == sender
	}
}

// fromTwo are messages first..last, of which every third is from eve and the others from adam.
func fromTwo(conv frame.ID, first, last uint64) (frames []byte) {
	for seq := first; seq <= last; seq++ {
		m := frame.Message{Conv: conv, Seq: seq, Prev: seq - 1, TimeMS: 1000 + seq, Sender: []byte("adam"), Body: []byte("\xa2hi")}
		if seq%3 == 0 {
			m.Sender = []byte("eve")
		}
		frames = m.Append(frames)
	}
	return frames
}

// parsed calls fn for each message of a conversation.
func parsed(t *testing.T, store *sink.Store, conv frame.ID, fn func(m frame.Message, f []byte)) {
	t.Helper()
	var frames []byte
	waitWhileUnavailable(t, func() (err error) {
		frames, _, _, err = store.ReadAfter(nil, conv, 0, math.MaxUint64, math.MaxInt, math.MaxInt)
		return err
	})
	for len(frames) > 0 {
		_, f, rest, err := frame.Next(frames)
		if err != nil {
			t.Fatal(err)
		}
		var m frame.Message
		if err := m.Parse(f); err != nil {
			t.Fatal(err)
		}
		fn(m, f)
		frames = rest
	}
}

// waitWhileUnavailable reads until the store can. A store that is available may only be about to notice that a write has failed.
func waitWhileUnavailable(t *testing.T, read func() error) {
	t.Helper()
	waitFor(t, "the store", func() bool {
		err := read()
		if err != nil && !errors.Is(err, sink.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// TestRewrite erases what one of two wrote, in more conversations than fit into one step. All else is as it was, and the history gets the change.
func TestRewrite(t *testing.T) {
	const convs, each = 1500, 6
	fs := vfs.NewMem()
	store := openFor(t, fs, withOutbox(quiet("store")))
	id := func(i int) frame.ID { return frame.ID{byte(i), byte(i >> 8), 7} }
	w := storetest.NewWaiter(1)
	for i := 0; i < convs; {
		tx := store.Begin(store.Generation())
		for range 100 {
			tx.Messages(id(i), 1, 4, fromTwo(id(i), 1, 4)) // the third is hers
			tx.Messages(id(i), 5, each-1, fromTwo(id(i), 5, each-1))
			if i%2 == 0 {
				tx.Messages(id(i), each, each, fromTwo(id(i), each, each)) // hers alone
			}
			i++
		}
		tx.Commit(w)
		if err := w.Wait(t); err != nil {
			t.Fatal(err)
		}
	}
	shipAll(t, store.Outbox())
	n, err := store.Rewrite(context.Background(), erase("eve"))
	if want := convs + convs/2; n != want || err != nil {
		t.Fatalf("%d messages were changed, %v; want %d", n, err, want)
	}
	again, err := store.Rewrite(context.Background(), erase("eve"))
	if again != 0 || err != nil {
		t.Errorf("the second time %d messages were changed, %v", again, err)
	}
	b, err := take(store.Outbox(), 0, math.MaxInt)
	if err != nil || len(b.messages) != convs*4+convs/2 { // whole records
		t.Errorf("the outbox got %d messages, %v", len(b.messages), err)
	}
	for _, restarted := range []bool{false, true} {
		for i := range convs {
			seq := uint64(0)
			parsed(t, store, id(i), func(m frame.Message, f []byte) {
				seq++
				switch was := fromTwo(id(i), seq, seq); {
				case m.Seq != seq || m.Prev != seq-1 || m.TimeMS != 1000+seq:
					t.Errorf("message %d is %+v", seq, m)
				case seq%3 == 0 && (string(m.Sender) != "erased" || len(m.Body) > 1):
					t.Errorf("message %d is not erased: %+v", seq, m)
				case seq%3 > 0 && string(f) != string(was):
					t.Errorf("message %d has changed: %+v", seq, m)
				}
			})
			if want := each - uint64(i%2); seq != want {
				t.Fatalf("%d messages, want %d; restarted %v", seq, want, restarted)
			}
		}
		closeStore(t, store)
		store = openFor(t, fs, withOutbox(quiet("store")))
	}
}

// TestRewriteUnderFaults rewrites while messages are accepted, shipped and deleted, and operations fail.
func TestRewriteUnderFaults(t *testing.T) {
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	fs := newFaulty(vfs.NewMem())
	cfg := sink.Pruning(withOutbox(quiet("store")), time.Millisecond, 20)
	cfg.MemTableSize, cfg.RetentionBytes = 1<<20, 300_000
	store := openFor(t, fs, cfg)
	w, _, stop := startShipping(t, store, seed)
	defer stop()
	for range 8 {
		w.proceed(t, rng)
		heads := w.acked()
		done := make(chan error, 1)
		mark := rng.Uint64()
		go func() {
			_, err := store.Rewrite(context.Background(), func(m *frame.Message) (frame.Message, bool) {
				to := *m
				to.Sender = fmt.Append(nil, mark)
				return to, true
			})
			done <- err
		}()
		strike(t, rng, fs.faults, w)
		fs.faults.clear()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		waitFor(t, "availability", store.Available)
		for i, s := range w.shards {
			if heads[i] == 0 {
				continue // perhaps there is nothing yet
			}
			for _, conv := range []frame.ID{s.a, s.b} {
				var r modelRecord
				waitWhileUnavailable(t, func() (err error) { r, err = extent(store, conv); return err })
				if r.last < heads[i] {
					t.Fatalf("%x has %+v; %d was acknowledged", conv[:2], r, heads[i])
				}
				parsed(t, store, conv, func(m frame.Message, _ []byte) {
					if m.Seq <= heads[i] && string(m.Sender) != fmt.Sprint(mark) {
						t.Errorf("message %d of %d was not rewritten", m.Seq, heads[i])
					}
				})
			}
		}
	}
}

// TestWaitShipped waits for what was there when it was called.
func TestWaitShipped(t *testing.T) {
	store := openFor(t, vfs.NewMem(), withOutbox(quiet("store")))
	o := store.Outbox()
	if err := o.WaitShipped(context.Background()); err != nil {
		t.Error("with an empty outbox:", err)
	}
	if err := put(t, store, frame.ID{1}, 1, 1); err != nil {
		t.Fatal(err)
	}
	shipped := make(chan error, 1)
	go func() { shipped <- o.WaitShipped(context.Background()) }()
	select {
	case err := <-shipped:
		t.Error("before anything was shipped:", err)
	case <-time.After(20 * time.Millisecond):
	}
	shipAll(t, o)
	if err := <-shipped; err != nil {
		t.Error(err)
	}
}
