package storetest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/memstore"
	"github.com/switchyard-im/switchyard/frame"
)

// random does the same random operations on the store and on memstore, and compares what both read.
func random(t *testing.T, s dispatch.Store) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	model := memstore.New()
	defer model.Close()
	w := &walk{t: t, rng: rand.New(rand.NewPCG(seed, 0)), store: s, model: model, heads: map[frame.ID]uint64{}}
	for range 400 {
		w.commit()
		if w.rng.IntN(4) == 0 {
			w.settle()
			w.compare()
		}
	}
	w.settle()
	w.compareAll()
}

type walk struct {
	t            *testing.T
	rng          *rand.Rand
	store, model dispatch.Store
	heads        map[frame.ID]uint64
	pending      []*Waiter
}

func (w *walk) conv() frame.ID { return frame.ID{byte(w.rng.IntN(6)), 5} }
func (w *walk) user() string   { return fmt.Sprint("user", w.rng.IntN(4)) }

// commit makes one random transaction, the same in both, and does not wait for it.
func (w *walk) commit() {
	done := NewWaiter(2)
	a, b := w.store.Begin(w.store.Generation()), w.model.Begin(w.model.Generation())
	both := func(f func(dispatch.Tx)) { f(a); f(b) }
	for range w.rng.IntN(6) {
		conv, flag := w.conv(), w.rng.IntN(2) == 0
		switch w.rng.IntN(6) {
		case 0:
			state := []byte(fmt.Sprint("state", w.rng.IntN(1000)))
			both(func(tx dispatch.Tx) { tx.Conversation(conv, state, flag) })
		case 1:
			user := w.user()
			both(func(tx dispatch.Tx) { tx.Member(user, conv, flag) })
		case 2:
			key, value := fmt.Sprint("memo", w.rng.IntN(20)), []byte(nil)
			if flag {
				value = fmt.Append(nil, w.rng.IntN(1000))
			}
			both(func(tx dispatch.Tx) { tx.Memo(key, value) })
		default:
			first := w.heads[conv] + 1 + uint64(w.rng.IntN(2)*w.rng.IntN(1000)) // sometimes with a gap, as a new epoch makes
			last := first + uint64(w.rng.IntN(9))
			frames := Messages(conv, first, last, w.rng.IntN(300))
			both(func(tx dispatch.Tx) { tx.Messages(conv, first, last, frames) })
			w.heads[conv] = last
		}
	}
	both(func(tx dispatch.Tx) { tx.Commit(done) })
	w.pending = append(w.pending, done)
	if len(w.pending) == 16 {
		w.settle()
	}
}

// settle waits for all commits.
func (w *walk) settle() {
	for _, p := range w.pending {
		for range 2 {
			if err := p.Wait(w.t); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.pending = w.pending[:0]
}

// compare does one random read of each kind.
func (w *walk) compare() {
	conv := w.conv()
	head := int64(w.heads[conv])
	after, upto := uint64(w.rng.Int64N(head+2)), uint64(w.rng.Int64N(head+2))
	maxCount, maxBytes := 1+w.rng.IntN(30), w.rng.IntN(4000)
	w.same("after", func(s dispatch.Store) string {
		frames, last, count, err := s.ReadAfter(nil, conv, after, upto, maxCount, maxBytes)
		return fmt.Sprintf("%x %d %d %v", frames, last, count, err)
	})
	w.same("before", func(s dispatch.Store) string {
		frames, count, more, err := s.ReadBefore(nil, conv, after, maxCount, maxBytes)
		return fmt.Sprintf("%x %d %v %v", frames, count, more, err)
	})
	w.same("load", func(s dispatch.Store) string {
		state, frames, ok, err := s.LoadConversation(conv, maxCount)
		return fmt.Sprintf("%q %x %v %v", state, frames, ok, err)
	})
	user := w.user()
	w.same("members", func(s dispatch.Store) string { return fmt.Sprintf("%x", listMembers(w.t, s, user)) })
	prefix := fmt.Sprint("memo", w.rng.IntN(3))
	w.same("memos", func(s dispatch.Store) string { return listMemos(w.t, s, prefix) })
	w.same("open", func(s dispatch.Store) string { return fmt.Sprintf("%q", listOpen(w.t, s)) })
}

func (w *walk) same(what string, read func(dispatch.Store) string) {
	w.t.Helper()
	if got, want := read(w.store), read(w.model); got != want {
		w.t.Fatalf("%s: the store has\n%.500s\nand the model\n%.500s", what, got, want)
	}
}

func (w *walk) compareAll() {
	for _, conv := range slices.SortedFunc(maps.Keys(w.heads), func(a, b frame.ID) int { return bytes.Compare(a[:], b[:]) }) {
		w.same("all", func(s dispatch.Store) string {
			frames, last, count, err := s.ReadAfter(nil, conv, 0, w.heads[conv], 1<<20, 1<<30)
			return fmt.Sprintf("%x %d %d %v", frames, last, count, err)
		})
	}
}
