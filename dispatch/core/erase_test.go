package core

import (
	"bytes"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestEraseMember: the name is gone from the record, in every role, all else stays, and nobody gets the access that it gave.
func TestEraseMember(t *testing.T) {
	c := conversation{state: frame.StateClosed, group: &group{name: "sales"}, openedMS: 7, agent: 1, members: []member{
		{user: "eve", role: frame.RoleVisitor, delivered: 3, read: 2}, {user: "bob", role: frame.RoleAgent, delivered: 3}, {user: "eve", role: frame.RoleAgent},
	}}
	state := appendRecord(nil, &c)
	to, ok, err := EraseMember(c.id, state, "eve")
	if err != nil || !ok || bytes.Contains(to, []byte("eve")) {
		t.Fatalf("%q, %v, %v", to, ok, err)
	}
	c.members[0].user, c.members[2].user = "", ""
	if want := appendRecord(nil, &c); !bytes.Equal(to, want) {
		t.Errorf("%q, not %q", to, want)
	}
	access, err := DecodeAccess(c.id, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	for user, may := range map[string]bool{"eve": false, "erased": false, "bob": false} {
		if access.MayRead(&Identity{User: user, Role: frame.RoleVisitor}) != may {
			t.Errorf("%q may read: %v", user, !may)
		}
	}
	if !access.MayRead(&Identity{User: "bob", Role: frame.RoleAgent}) {
		t.Error("the other one may not read any more")
	}
	if _, ok, err := EraseMember(c.id, to, "eve"); ok || err != nil {
		t.Errorf("again: %v, %v", ok, err)
	}
	if _, _, err := EraseMember(c.id, []byte("no record"), "eve"); err == nil {
		t.Error("what is no record is erased")
	}
}

// TestEraseInMemory: the marks of others in a closed conversation do not bring back the name of one who was erased, whether the conversation was in memory
// or just being loaded. An open one is left as it is.
func TestEraseInMemory(t *testing.T) {
	for _, loading := range []bool{false, true} {
		h, conv := begun(t)
		h.batched(func() { h.m.Erase(conv, "v") })
		if h.m.convs[conv].members[0].user != "v" {
			t.Error("an open conversation was changed")
		}
		h.step([]string{"resume 2 a ref=2 C after=0"})
		h.step([]string{"close 2 a ref=3 C"})
		stored := h.store.convs[conv]
		old := bytes.Clone(stored.state)
		if loading { // what the load brings was read before the record was rewritten
			h.m = New(h.m.cfg)
			h.batched(func() { h.event([]string{"resume", "2", "a", "ref=4", "C", "after=0"}) })
		}
		to, ok, err := EraseMember(conv, old, "v")
		if err != nil || !ok {
			t.Fatalf("%v, %v", ok, err)
		}
		stored.state = to
		h.batched(func() { h.m.Erase(conv, "v") })
		if loading {
			h.batched(func() { h.m.Loaded(conv, old, stored.last(), true, nil) })
		}
		h.step([]string{"read 2 a C 2"})
		h.now += 10_000
		h.step([]string{"tick"})
		if state := h.store.convs[conv].state; bytes.Equal(state, to) || bytes.Contains(state, []byte("\xa1v")) {
			t.Errorf("loading %v: the record is %q", loading, state)
		}
	}
}

// TestEraseOfNobody: a conversation that is not in memory is not loaded for it.
func TestEraseOfNobody(t *testing.T) {
	h := newHarness(t, Config{})
	if e := h.batched(func() { h.m.Erase(frame.ID{1}, "v") }); len(e.Jobs) > 0 || len(h.m.convs) > 0 {
		t.Errorf("%+v", e.Jobs)
	}
}
