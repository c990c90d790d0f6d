package core

import (
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestAssignmentFindsRoom: clients may fill what waits for a load, but the desk's decision is not refused, since nobody would repeat it.
func TestAssignmentFindsRoom(t *testing.T) {
	h := newHarness(t, Config{})
	visitor, key := &Identity{User: "v", Role: frame.RoleVisitor}, frame.ID{1}
	conv := ConversationID("v", key)
	m, e := h.m, new(Effects)
	m.Begin(1000, true, e)
	m.Frame(Origin{Conn: 1, Who: visitor}, frame.TypeOpen, (&frame.Open{Ref: 1, Key: key, Group: []byte("g")}).Append(nil), 0)
	for range waitingMax {
		m.Frame(Origin{Conn: 1, Who: visitor}, frame.TypeDetach, (&frame.Detach{Ref: 2, Conv: conv}).Append(nil), 0)
	}
	m.Assign(conv, "a")
	m.Loaded(conv, nil, nil, false, nil)
	m.End()
	h.check()
	if c := m.convs[conv]; c.state != frame.StateAssigned {
		t.Errorf("the conversation is in state %d after it was assigned", c.state)
	}
	if refused := countErrors(t, e); refused != 1 {
		t.Errorf("%d frames were refused, want the one too many", refused)
	}
}

func countErrors(t *testing.T, e *Effects) (n int) {
	t.Helper()
	for _, target := range e.Targets {
		typ, _, _, err := frame.Next(e.Buf[target.Off : target.Off+target.Len])
		if err != nil {
			t.Fatal(err)
		}
		if typ == frame.TypeError {
			n++
		}
	}
	return n
}
