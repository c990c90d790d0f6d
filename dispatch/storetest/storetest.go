// Package storetest is the contract of dispatch.Store as tests, for every implementation of it.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/frame"
)

// Run checks the store that open returns: a new, empty and available one at each call, closed by the test's cleanup.
func Run(t *testing.T, open func(t *testing.T) dispatch.Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s dispatch.Store)
	}{
		{"completes in the order of the commits", completionOrder},
		{"copies its arguments", copiesArguments},
		{"refuses an old generation, and keeps its place", oldGeneration},
		{"applies a transaction as a whole", atomicity},
		{"reads after a sequence, across records", readAfter},
		{"reads before a sequence, page by page", readBefore},
		{"loads a conversation with its tail", loadConversation},
		{"keeps members", members},
		{"keeps the index of open conversations", openConversations},
		{"keeps memos", memos},
		{"keeps what is known of unacked messages", escalations},
		{"keeps conversations apart", neighbours},
		{"takes transactions from many goroutines", concurrency},
		{"agrees with the model on random operations", random},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// patience bounds every wait of the suite; it never decides whether a slow store passes.
const patience = time.Minute

// Waiter is a Completion that a test can wait for, once for each commit.
type Waiter struct{ ended chan error }

// NewWaiter makes a Waiter for at most n commits at a time.
func NewWaiter(n int) *Waiter { return &Waiter{ended: make(chan error, n)} }

// Committed is called by the store.
func (w *Waiter) Committed(err error) { w.ended <- err }

// Wait returns how the next commit ended.
func (w *Waiter) Wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(patience):
		t.Fatal("a commit does not complete")
		return nil
	}
}

// commit makes one transaction and requires it to succeed.
func commit(t *testing.T, s dispatch.Store, fill func(tx dispatch.Tx)) {
	t.Helper()
	w := NewWaiter(1)
	tx := s.Begin(s.Generation())
	fill(tx)
	tx.Commit(w)
	if err := w.Wait(t); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

// Messages encodes the messages first..last of a conversation, each with a body of size bytes that tells its sequence.
func Messages(conv frame.ID, first, last uint64, size int) []byte {
	var b []byte
	for seq := first; seq <= last; seq++ {
		text := fmt.Sprintf("%d.", seq)
		body := append([]byte{0xc5, byte(size >> 8), byte(size)}, bytes.Repeat([]byte(text), size/len(text)+1)[:size]...)
		m := frame.Message{Conv: conv, Seq: seq, Prev: seq - 1, TimeMS: 1_700_000_000_000 + seq, Sender: []byte("ann"), ID: frame.ID{byte(seq), 1}, Body: body}
		b = m.Append(b)
	}
	return b
}

// Sequences returns the sequences of message frames in a row.
func Sequences(t testing.TB, frames []byte) (seqs []uint64) {
	t.Helper()
	for len(frames) > 0 {
		typ, f, rest, err := frame.Next(frames)
		if err != nil || typ != frame.TypeMessage {
			t.Fatalf("the store returned type %#x: %v", typ, err)
		}
		var m frame.Message
		if err := m.Parse(f); err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, m.Seq)
		frames = rest
	}
	return seqs
}

func sequence(first, last uint64) (seqs []uint64) {
	for seq := first; seq <= last; seq++ {
		seqs = append(seqs, seq)
	}
	return seqs
}

func wantSequences(t *testing.T, what string, frames []byte, want []uint64) {
	t.Helper()
	if got := Sequences(t, frames); !slices.Equal(got, want) {
		t.Errorf("%s: got the messages %d, want %d", what, got, want)
	}
}

type numbered struct {
	n    int
	ends func(n int, err error)
}

func (c numbered) Committed(err error) { c.ends(c.n, err) }

func completionOrder(t *testing.T, s dispatch.Store) {
	const total = 500
	var order []int // written on the completion goroutine, read after the last one
	done := make(chan struct{})
	for n := range total {
		tx := s.Begin(s.Generation())
		if n%3 != 0 { // every third is empty
			conv := frame.ID{byte(n % 7), 1}
			tx.Conversation(conv, []byte{byte(n)}, true)
		}
		tx.Commit(numbered{n, func(n int, err error) {
			if err != nil {
				t.Errorf("transaction %d: %v", n, err)
			}
			if order = append(order, n); len(order) == total {
				close(done)
			}
		}})
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("commits do not complete")
	}
	if !slices.IsSorted(order) {
		t.Errorf("completed in the order %d", order)
	}
}

func copiesArguments(t *testing.T, s dispatch.Store) {
	conv := frame.ID{1}
	frames, state := Messages(conv, 1, 2, 20), []byte("state")
	want := slices.Clone(frames)
	commit(t, s, func(tx dispatch.Tx) {
		tx.Messages(conv, 1, 2, frames)
		tx.Conversation(conv, state, true)
		clear(frames)
		clear(state)
	})
	gotState, got, ok, err := s.LoadConversation(conv, 10)
	if err != nil || !ok || string(gotState) != "state" || !bytes.Equal(got, want) {
		t.Errorf("got %q, %x, %v, %v", gotState, got, ok, err)
	}
}

func oldGeneration(t *testing.T, s dispatch.Store) {
	conv := frame.ID{1}
	w := NewWaiter(3)
	for i, generation := range []uint64{s.Generation(), s.Generation() - 1, s.Generation()} {
		tx := s.Begin(generation)
		tx.Messages(conv, uint64(i+1), uint64(i+1), Messages(conv, uint64(i+1), uint64(i+1), 10))
		tx.Commit(w)
	}
	for i, want := range []error{nil, dispatch.ErrUnavailable, nil} {
		if err := w.Wait(t); (err == nil) != (want == nil) {
			t.Errorf("transaction %d ended with %v, want %v", i, err, want)
		}
	}
	frames, _, _, err := s.ReadAfter(nil, conv, 0, 10, 10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	wantSequences(t, "after a refused one", frames, []uint64{1, 3})
}

func atomicity(t *testing.T, s dispatch.Store) {
	a, b := frame.ID{1}, frame.ID{2}
	for i := range uint64(50) {
		commit(t, s, func(tx dispatch.Tx) {
			tx.Messages(a, i+1, i+1, Messages(a, i+1, i+1, 10))
			tx.Messages(b, i+1, i+1, Messages(b, i+1, i+1, 10))
			tx.Conversation(a, []byte{byte(i)}, i%2 == 0)
			tx.Member("u", b, i%2 == 0)
		})
		for _, conv := range []frame.ID{a, b} {
			if _, last, _, err := s.ReadAfter(nil, conv, i, math.MaxUint64, 10, 1<<20); err != nil || last != i+1 {
				t.Fatalf("transaction %d of %x: last %d, %v", i, conv[:1], last, err)
			}
		}
		if state, _, _, _ := s.LoadConversation(a, 0); len(state) != 1 || state[0] != byte(i) {
			t.Fatalf("transaction %d: state %x", i, state)
		}
	}
}

// fill commits the messages 1..total in records of 1, 2, 3, ... messages, starting over at 7.
func fill(t *testing.T, s dispatch.Store, conv frame.ID, total uint64, size int) {
	t.Helper()
	n := uint64(1)
	for first := uint64(1); first <= total; {
		last := min(first+n-1, total)
		commit(t, s, func(tx dispatch.Tx) { tx.Messages(conv, first, last, Messages(conv, first, last, size)) })
		first, n = last+1, n%7+1
	}
}

func readAfter(t *testing.T, s dispatch.Store) {
	const total = 60
	conv := frame.ID{9}
	fill(t, s, conv, total, 100)
	prefix := []byte("kept")
	for after := uint64(0); after <= total+1; after++ {
		for _, upto := range []uint64{after, after + 1, 17, total, math.MaxUint64} {
			for _, maxCount := range []int{1, 5, 100} {
				to := min(upto, total, after+uint64(maxCount))
				frames, last, count, err := s.ReadAfter(prefix, conv, after, upto, maxCount, 1<<20)
				if err != nil || !bytes.HasPrefix(frames, prefix) {
					t.Fatalf("after %d: %v, %.8q", after, err, frames)
				}
				what := fmt.Sprintf("after %d upto %d count %d", after, upto, maxCount)
				wantSequences(t, what, frames[len(prefix):], sequence(after+1, to))
				if want := max(after, to); last != want || count != len(sequence(after+1, to)) {
					t.Errorf("%s: last %d, count %d, want last %d", what, last, count, want)
				}
			}
		}
	}
	one := len(Messages(conv, 20, 20, 100))
	for _, c := range []struct{ maxBytes, want int }{{0, 1}, {one, 1}, {2*one - 1, 1}, {2 * one, 2}, {7*one + 1, 7}} {
		frames, _, count, err := s.ReadAfter(nil, conv, 19, math.MaxUint64, 100, c.maxBytes)
		if err != nil || count != c.want || len(frames) != c.want*one {
			t.Errorf("at most %d bytes of messages of %d: %d messages, %d bytes, %v", c.maxBytes, one, count, len(frames), err)
		}
	}
	if frames, last, count, err := s.ReadAfter(nil, frame.ID{8}, 5, 10, 10, 10); len(frames) != 0 || last != 5 || count != 0 || err != nil {
		t.Errorf("an unknown conversation: %x, %d, %d, %v", frames, last, count, err)
	}
}

func readBefore(t *testing.T, s dispatch.Store) {
	const total = 60
	conv := frame.ID{9}
	fill(t, s, conv, total, 100)
	for before := uint64(0); before <= total+2; before++ {
		end := uint64(total)
		if before > 0 {
			end = min(before-1, total)
		}
		for _, maxCount := range []int{1, 4, 11, 100} {
			first := uint64(1)
			if end > uint64(maxCount) {
				first = end - uint64(maxCount) + 1
			}
			frames, count, more, err := s.ReadBefore(nil, conv, before, maxCount, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("before %d count %d", before, maxCount)
			wantSequences(t, what, frames, sequence(first, end))
			if count != len(sequence(first, end)) || more != (end > 0 && first > 1) {
				t.Errorf("%s: count %d, more %v", what, count, more)
			}
		}
	}
	one := len(Messages(conv, 20, 20, 100))
	for _, c := range []struct{ maxBytes, want int }{{0, 1}, {one, 1}, {2*one - 1, 1}, {2 * one, 2}, {7*one + 1, 7}} {
		frames, count, more, err := s.ReadBefore(nil, conv, 40, 100, c.maxBytes)
		if err != nil || count != c.want || len(frames) != c.want*one || !more {
			t.Errorf("at most %d bytes of messages of %d: %d messages, %d bytes, more %v, %v", c.maxBytes, one, count, len(frames), more, err)
		}
	}
	if frames, count, more, err := s.ReadBefore([]byte("x"), frame.ID{8}, 0, 10, 10); string(frames) != "x" || count != 0 || more || err != nil {
		t.Errorf("an unknown conversation: %q, %d, %v, %v", frames, count, more, err)
	}
}

func loadConversation(t *testing.T, s dispatch.Store) {
	conv := frame.ID{3}
	if _, _, ok, err := s.LoadConversation(conv, 5); ok || err != nil {
		t.Errorf("an unknown conversation: %v, %v", ok, err)
	}
	commit(t, s, func(tx dispatch.Tx) { tx.Conversation(conv, []byte("one"), true) })
	fill(t, s, conv, 20, 30)
	commit(t, s, func(tx dispatch.Tx) { tx.Conversation(conv, []byte("two"), false) })
	for _, tail := range []int{0, 1, 3, 20, 64} {
		state, frames, ok, err := s.LoadConversation(conv, tail)
		if string(state) != "two" || !ok || err != nil {
			t.Errorf("tail %d: %q, %v, %v", tail, state, ok, err)
		}
		wantSequences(t, fmt.Sprintf("tail %d", tail), frames, sequence(uint64(max(1, 21-tail)), 20))
	}
}

func listMembers(t *testing.T, s dispatch.Store, user string) (convs []frame.ID) {
	t.Helper()
	if err := s.Members(user, func(conv frame.ID) error { convs = append(convs, conv); return nil }); err != nil {
		t.Fatal(err)
	}
	return convs
}

func members(t *testing.T, s dispatch.Store) {
	a, b := frame.ID{1}, frame.ID{0xff, 0xff}
	commit(t, s, func(tx dispatch.Tx) {
		tx.Member("ann", a, true)
		tx.Member("ann", b, true)
		tx.Member("ann\x00", a, true)
		tx.Member("an", b, true)
		tx.Member("", a, true)
		tx.Member("ann", a, true) // again
	})
	commit(t, s, func(tx dispatch.Tx) {
		tx.Member("an", b, false)
		tx.Member("nobody", b, false)
	})
	for user, want := range map[string][]frame.ID{"ann": {a, b}, "ann\x00": {a}, "an": nil, "": {a}, "bob": nil} {
		if got := listMembers(t, s, user); !slices.Equal(got, want) {
			t.Errorf("%q is in %x, want %x", user, got, want)
		}
	}
	stop := errors.New("stop")
	calls := 0
	if err := s.Members("ann", func(frame.ID) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("an error of fn: %v after %d calls", err, calls)
	}
}

func listOpen(t *testing.T, s dispatch.Store) map[frame.ID]string {
	t.Helper()
	open := map[frame.ID]string{}
	if err := s.OpenConversations(func(conv frame.ID, state []byte) error {
		// A shard may well load what it is told of.
		if _, _, ok, err := s.LoadConversation(conv, 1); !ok || err != nil {
			t.Errorf("loading an open conversation: %v, %v", ok, err)
		}
		open[conv] = string(state)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return open
}

func openConversations(t *testing.T, s dispatch.Store) {
	a, b, c := frame.ID{1}, frame.ID{2}, frame.ID{0xff, 0xff, 0xff}
	commit(t, s, func(tx dispatch.Tx) {
		tx.Conversation(a, []byte("a"), true)
		tx.Conversation(b, []byte("b"), true)
		tx.Conversation(c, nil, true)
	})
	commit(t, s, func(tx dispatch.Tx) {
		tx.Conversation(b, []byte("b closed"), false)
		tx.Conversation(a, []byte("a2"), true)
	})
	got := listOpen(t, s)
	if len(got) != 2 || got[a] != "a2" {
		t.Errorf("open: %q", got)
	}
	if state, ok := got[c]; !ok || state != "" {
		t.Errorf("an empty state: %q, %v", state, ok)
	}
	commit(t, s, func(tx dispatch.Tx) { tx.Conversation(b, []byte("b again"), true) })
	if got := listOpen(t, s); len(got) != 3 || got[b] != "b again" {
		t.Errorf("open: %q", got)
	}
	stop := errors.New("stop")
	if err := s.OpenConversations(func(frame.ID, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of fn: %v", err)
	}
}

func listMemos(t *testing.T, s dispatch.Store, prefix string) string {
	t.Helper()
	var all []string
	if err := s.Memos(prefix, func(key string, value []byte) error {
		all = append(all, fmt.Sprintf("%q=%q", key, value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func memos(t *testing.T, s dispatch.Store) {
	longest, most := strings.Repeat("k", dispatch.MemoKeyMax), bytes.Repeat([]byte("v"), dispatch.MemoValueMax)
	value := []byte("borrowed")
	commit(t, s, func(tx dispatch.Tx) {
		tx.Memo("b/2", []byte("old"))
		tx.Memo("b/2", []byte("two")) // the last one counts
		tx.Memo("b/1", []byte{})
		tx.Memo("b\xff", value)
		tx.Memo("c", []byte("gone"))
		tx.Memo("a", []byte("a"))
		tx.Memo(longest, most)
		tx.Memo("none", nil)
		clear(value)
		// What else there is does not get in between.
		tx.Conversation(frame.ID{'b'}, []byte("state"), true)
		tx.Member("b", frame.ID{1}, true)
	})
	commit(t, s, func(tx dispatch.Tx) { tx.Memo("c", nil) })
	for prefix, want := range map[string]string{
		"b/": `"b/1"="" "b/2"="two"`,
		"b":  `"b/1"="" "b/2"="two" "b\xff"="borrowed"`,
		"":   fmt.Sprintf(`"a"="a" "b/1"="" "b/2"="two" "b\xff"="borrowed" %q=%q`, longest, most),
		"c":  "",
	} {
		if got := listMemos(t, s, prefix); got != want {
			t.Errorf("with %q: %.300s\nwant %.300s", prefix, got, want)
		}
	}
	stop := errors.New("stop")
	calls := 0
	if err := s.Memos("b", func(string, []byte) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("an error of fn: %v after %d calls", err, calls)
	}
	tx, w := s.Begin(s.Generation()-1), NewWaiter(1)
	tx.Memo("refused", []byte("x"))
	tx.Commit(w)
	if err := w.Wait(t); err == nil || listMemos(t, s, "refused") != "" {
		t.Errorf("a refused transaction ended with %v, and left %q", err, listMemos(t, s, "refused"))
	}
}

func escalations(t *testing.T, s dispatch.Store) {
	list := func() (all []string) {
		t.Helper()
		if err := s.Escalations(func(conv frame.ID, user string, record []byte) error {
			all = append(all, fmt.Sprintf("%x %s %s", conv[0], user, record))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	record := []byte("1")
	commit(t, s, func(tx dispatch.Tx) {
		tx.Escalation(frame.ID{0xff}, "visitor/ann", record)
		tx.Escalation(frame.ID{1}, "visitor/ann", record)
		tx.Escalation(frame.ID{1}, "agent/bob", []byte{})
		tx.Escalation(frame.ID{1}, "", []byte("closed"))
		tx.Notify("mail", frame.ID{1}, []byte("missed"))
		record[0] = '2'
	})
	if got, want := list(), []string{"1  closed", "1 agent/bob ", "1 visitor/ann 1", "ff visitor/ann 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	commit(t, s, func(tx dispatch.Tx) {
		tx.Escalation(frame.ID{1}, "visitor/ann", []byte("3"))
		tx.Escalation(frame.ID{1}, "", nil)
		tx.Escalation(frame.ID{2}, "agent/bob", nil)
	})
	if got, want := list(), []string{"1 agent/bob ", "1 visitor/ann 3", "ff visitor/ann 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	stop := errors.New("stop")
	if err := s.Escalations(func(frame.ID, string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of fn: %v", err)
	}
}

// neighbours looks at conversations whose ids are next to each other, and at the greatest.
func neighbours(t *testing.T, s dispatch.Store) {
	full := func(last byte) (id frame.ID) {
		for i := range id {
			id[i] = 0xff
		}
		id[15] = last
		return id
	}
	convs := []frame.ID{{0: 1}, {0: 1, 15: 1}, {0: 1, 14: 1}, full(0xfe), full(0xff)}
	for i, conv := range convs {
		fill(t, s, conv, uint64(i+3), 10)
	}
	for i, conv := range convs {
		frames, _, _, err := s.ReadAfter(nil, conv, 0, math.MaxUint64, 100, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		wantSequences(t, "forward", frames, sequence(1, uint64(i+3)))
		frames, _, _, err = s.ReadBefore(nil, conv, math.MaxUint64, 100, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		wantSequences(t, "backward", frames, sequence(1, uint64(i+3)))
	}
}

func concurrency(t *testing.T, s dispatch.Store) {
	const shards, total = 4, 200
	var wg sync.WaitGroup
	for shard := range shards {
		wg.Go(func() {
			conv := frame.ID{byte(shard + 1)}
			w := NewWaiter(total)
			for i := range uint64(total) {
				tx := s.Begin(s.Generation())
				tx.Messages(conv, i+1, i+1, Messages(conv, i+1, i+1, 20))
				tx.Commit(w)
				if _, _, _, err := s.ReadAfter(nil, conv, 0, math.MaxUint64, 10, 1<<20); err != nil {
					t.Error(err)
				}
			}
			for range total {
				if err := w.Wait(t); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for shard := range shards {
		frames, _, _, err := s.ReadAfter(nil, frame.ID{byte(shard + 1)}, 0, math.MaxUint64, total+1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		wantSequences(t, "after all", frames, sequence(1, total))
	}
}
