package core

import (
	"bytes"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestEraseMember: the name is gone from the record, in every role, all else stays, and nobody gets the access that it gave.
func TestEraseMember(t *testing.T) {
	c := conversation{state: frame.StateClosed, group: "sales", openedMS: 7, agent: 1, members: []member{
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
