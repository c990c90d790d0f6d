package core

import (
	"fmt"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestMarksAreSpread: thousands of marks that rose in the same second do not fall into one batch, and all are written at the latest with the
// second tick.
func TestMarksAreSpread(t *testing.T) {
	const conversations = 1000
	h := newHarness(t, Config{})
	for i := range conversations {
		v := fmt.Sprintf("v%d", i)
		h.step([]string{"user " + v + " visitor", "open 1 " + v + " ref=1 key=C group=g"})
	}
	h.batched(func() {
		for _, who := range h.users {
			mark := frame.Mark{Type: frame.TypeDelivered, Conv: ConversationID(who.User, frame.ID{15: 'C'}), Seq: 1}
			h.m.Frame(Origin{Conn: 1, Who: who}, mark.Type, mark.Append(nil), 1)
		}
	})
	written := 0
	batch := func(event func()) int {
		n := len(h.batched(event).Writes)
		written += n
		return n
	}
	if n := batch(h.m.Tick); n != marksPerTick+marksPerBatch {
		t.Errorf("the first tick writes %d conversations", n)
	}
	for range 10 {
		if n := batch(func() {}); n != marksPerBatch {
			t.Errorf("a batch writes %d conversations", n)
		}
	}
	if batch(h.m.Tick); written != conversations {
		t.Errorf("%d of %d conversations were written after the second tick", written, conversations)
	}
	if n := batch(h.m.Tick); n != 0 || h.m.due != 0 || h.m.dirty != nil {
		t.Errorf("%d are written once more", n)
	}
}
