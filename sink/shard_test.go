package sink_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// shard behaves as a shard of dispatch does: it numbers messages ahead of their commit, and after a refusal starts again from what
// the store has. Each transaction puts the same messages into two conversations, and their head into both states, so that a
// transaction kept by half shows.
type shard struct {
	a, b  frame.ID
	acked atomic.Uint64 // the highest sequence that was acknowledged
	limit atomic.Uint64 // it pauses here, so that a test with many rounds does not check ever more
}

func newShard(n int) *shard { return &shard{a: frame.ID{byte(n), 'a'}, b: frame.ID{byte(n), 'b'}} }

// memo is the key of a memo that says what the states say.
func (s *shard) memo() string { return string(s.a[:2]) }

// ack is the completion of the transaction that ends with seq.
type ack struct {
	shard  *shard
	seq    uint64
	failed *atomic.Bool
	wg     *sync.WaitGroup
}

func (a ack) Committed(err error) {
	defer a.wg.Done()
	switch {
	case err != nil:
		a.failed.Store(true)
	case a.failed.Load():
		panic("BUG: a transaction was kept after an earlier one of the same generation was refused")
	default:
		a.shard.acked.Store(a.seq)
	}
}

func state(head uint64) []byte { return binary.BigEndian.AppendUint64(nil, head) }

// run commits until stop. It returns an error if the store has lost something that was acknowledged.
func (s *shard) run(store *sink.Store, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		generation := store.Generation()
		head, err := s.load(store)
		switch {
		case errors.Is(err, sink.ErrUnavailable):
			time.Sleep(time.Millisecond)
		case err != nil:
			return err
		default:
			s.commitUntilRefused(store, generation, head, stop)
		}
	}
}

// load returns the head of both conversations, after checking them.
func (s *shard) load(store *sink.Store) (head uint64, err error) {
	acked := s.acked.Load()
	for i, conv := range []frame.ID{s.a, s.b} {
		st, _, ok, err := store.LoadConversation(conv, 1)
		if err != nil {
			return 0, err
		}
		h := uint64(0)
		if ok {
			h = binary.BigEndian.Uint64(st)
		}
		if i == 1 && h != head {
			return 0, fmt.Errorf("a transaction was kept by half: heads %d and %d", head, h)
		}
		head = h
	}
	if head < acked {
		return 0, fmt.Errorf("the store ends at %d, and %d was acknowledged", head, acked)
	}
	noted := uint64(0)
	if err := store.Memos(s.memo(), func(_ string, value []byte) error { noted = binary.BigEndian.Uint64(value); return nil }); err != nil {
		return 0, err
	}
	if noted != head {
		return 0, fmt.Errorf("a transaction was kept by half: head %d, and the memo of %d", head, noted)
	}
	return head, nil
}

func (s *shard) commitUntilRefused(store *sink.Store, generation, head uint64, stop <-chan struct{}) {
	var failed atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := 0; !failed.Load(); i++ {
		select {
		case <-stop:
			return
		default:
		}
		if i%8 == 0 {
			wg.Wait() // a few in flight, so that there are many batches
		}
		if head >= s.limit.Load() {
			time.Sleep(time.Millisecond)
			continue
		}
		tx := store.Begin(generation)
		if i%5 > 0 { // every fifth is empty
			first, last := head+1, head+1+uint64(i%3)
			for _, conv := range []frame.ID{s.a, s.b} {
				tx.Messages(conv, first, last, storetest.Messages(conv, first, last, 100+i%900))
				tx.Conversation(conv, state(last), true)
			}
			tx.Memo(s.memo(), state(last))
			tx.Member("u", s.a, i%2 == 0)
			tx.Member("u", s.b, i%2 == 0)
			head = last
		}
		wg.Add(1)
		tx.Commit(ack{shard: s, seq: head, failed: &failed, wg: &wg})
	}
}

// verify reads everything and compares it with what was acknowledged up to now.
func (s *shard) verify(store *sink.Store, acked uint64) error {
	head, err := (&shard{a: s.a, b: s.b}).load(store)
	if err != nil {
		return err
	}
	if head < acked {
		return fmt.Errorf("the store ends at %d, and %d was acknowledged", head, acked)
	}
	for _, conv := range []frame.ID{s.a, s.b} {
		frames, last, count, err := store.ReadAfter(nil, conv, 0, math.MaxUint64, math.MaxInt, math.MaxInt)
		if err != nil {
			return err
		}
		if last != head || uint64(count) != head {
			return fmt.Errorf("state says %d, and there are %d messages up to %d", head, count, last)
		}
		for seq := uint64(1); len(frames) > 0; seq++ {
			_, f, rest, err := frame.Next(frames)
			if err != nil {
				return err
			}
			var m frame.Message
			if err := m.Parse(f); err != nil || m.Seq != seq || m.Conv != conv {
				return fmt.Errorf("message %d is %d of %x: %v", seq, m.Seq, m.Conv, err)
			}
			frames = rest
		}
	}
	return nil
}

// workload is some shards that run against a store.
type workload struct {
	shards []*shard
	stop   chan struct{}
	wg     sync.WaitGroup
}

func startWorkload(t *testing.T, store *sink.Store, n int) *workload {
	w := &workload{stop: make(chan struct{})}
	for i := range n {
		s := newShard(i + 1)
		w.shards = append(w.shards, s)
		w.wg.Go(func() {
			if err := s.run(store, w.stop); err != nil {
				t.Errorf("shard %d: %v", i, err)
			}
		})
	}
	return w
}

// raise lets every shard write n more messages.
func (w *workload) raise(n uint64) {
	for _, s := range w.shards {
		s.limit.Store(s.acked.Load() + n)
	}
}

// proceed lets every shard write some more messages, and waits until the first has written a random part of them.
func (w *workload) proceed(t *testing.T, rng *rand.Rand) {
	t.Helper()
	const step = 40
	w.raise(step)
	n := w.shards[0].limit.Load() - uint64(1+rng.IntN(step))
	waitFor(t, "progress", func() bool { return w.shards[0].acked.Load() >= n })
}

func (w *workload) end() {
	close(w.stop)
	w.wg.Wait()
}

func (w *workload) acked() (seqs []uint64) {
	for _, s := range w.shards {
		seqs = append(seqs, s.acked.Load())
	}
	return seqs
}

func (w *workload) verify(t *testing.T, store *sink.Store, acked []uint64) {
	t.Helper()
	for i, s := range w.shards {
		if err := s.verify(store, acked[i]); err != nil {
			t.Errorf("shard %d: %v", i, err)
		}
	}
}

// waitFor polls a condition that another goroutine brings about.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not happen", what)
		}
	}
}
