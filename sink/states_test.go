package sink_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// TestRewriteStates changes the records of some closed conversations, in more steps than one, while the power may go at any time after.
func TestRewriteStates(t *testing.T) {
	const convs = 3000
	mem := vfs.NewCrashableMem()
	store := openFor(t, mem, quiet("store"))
	id := func(i int) frame.ID { return frame.ID{byte(i >> 8), byte(i)} }
	w := storetest.NewWaiter(1)
	for i := 0; i < convs; {
		tx := store.Begin(store.Generation())
		for range 500 {
			tx.Conversation(id(i), []byte{byte(i % 3)}, i%5 == 0)
			i++
		}
		tx.Commit(w)
		if err := w.Wait(t); err != nil {
			t.Fatal(err)
		}
	}
	opened, seen := 0, 0
	change := func(conv frame.ID, state []byte, open bool) ([]byte, bool, error) {
		seen++
		if open {
			opened++
		}
		return []byte("changed"), !open && state[0] == 1, nil
	}
	changed, err := store.RewriteStates(context.Background(), change)
	if err != nil || changed == 0 || seen != convs || opened != convs/5 {
		t.Fatalf("%d of %d changed, %d open: %v", changed, seen, opened, err)
	}
	check := func(store *sink.Store) {
		for i := range convs {
			want := []byte{byte(i % 3)}
			if i%3 == 1 && i%5 != 0 {
				want = []byte("changed")
			}
			if state, _, ok, err := store.LoadConversation(id(i), 1); err != nil || !ok || !bytes.Equal(state, want) {
				t.Fatalf("conversation %d has %q, %v, %v; want %q", i, state, ok, err, want)
			}
		}
	}
	check(store)
	check(openFor(t, mem.CrashClone(vfs.CrashCloneCfg{}), quiet("store")))
	if again, err := store.RewriteStates(context.Background(), change); err != nil || again != 0 {
		t.Errorf("again %d changed, %v", again, err)
	}
	fails := errors.New("fails")
	if _, err := store.RewriteStates(context.Background(), func(frame.ID, []byte, bool) ([]byte, bool, error) { return nil, false, fails }); !errors.Is(err, fails) {
		t.Errorf("%v", err)
	}
}
