package frame

import (
	"errors"
	"testing"
)

func TestID(t *testing.T) {
	id := ID{0x01, 0xab, 15: 0xff}
	const text = "01ab00000000000000000000000000ff"
	if id.String() != text || id.IsZero() || !(ID{}).IsZero() {
		t.Errorf("String() = %s", id)
	}
	for _, s := range []string{text, "01AB00000000000000000000000000FF"} {
		if got, err := ParseID(s); err != nil || got != id {
			t.Errorf("ParseID(%s) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", text[1:], text + "0", "0x" + text[2:], "g" + text[1:], "00000000000000000000000000000000", "é" + text[2:]} {
		if got, err := ParseID(s); !errors.Is(err, ErrID) || !got.IsZero() {
			t.Errorf("ParseID(%s) = %v, %v", s, got, err)
		}
	}
}

func TestSequence(t *testing.T) {
	for _, c := range []struct{ epoch, n, seq uint64 }{{0, 0, 0}, {0, 1, 1}, {1, 0, 1 << 37}, {3, 5, 3<<37 + 5}, {1<<16 - 1, 1<<37 - 1, MaxSequence}} {
		seq := Sequence(c.epoch, c.n)
		if seq != c.seq || SequenceEpoch(seq) != c.epoch || SequenceNumber(seq) != c.n {
			t.Errorf("Sequence(%d, %d) = %d: %d, %d", c.epoch, c.n, seq, SequenceEpoch(seq), SequenceNumber(seq))
		}
	}
}

func TestConnID(t *testing.T) {
	c := MakeConnID(1023, 63, 1<<24-1, 1<<24-2)
	if c.Node() != 1023 || c.Loop() != 63 || c.Slot() != 1<<24-1 || c.Generation() != 1<<24-2 {
		t.Errorf("%x: %d, %d, %d, %d", uint64(c), c.Node(), c.Loop(), c.Slot(), c.Generation())
	}
	c = MakeConnID(1, 2, 3, 4)
	if c.Node() != 1 || c.Loop() != 2 || c.Slot() != 3 || c.Generation() != 4 {
		t.Errorf("%x: %d, %d, %d, %d", uint64(c), c.Node(), c.Loop(), c.Slot(), c.Generation())
	}
}

func TestRefs(t *testing.T) {
	var r Refs
	r.Set(3)
	for n := 1; n <= 3; n++ {
		if last := r.Done(); last != (n == 3) {
			t.Errorf("hand-over %d of 3: Done() = %v", n, last)
		}
	}
}

func TestRole(t *testing.T) {
	for _, r := range []Role{RoleVisitor, RoleAgent, RoleSupervisor} {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Errorf("ParseRole(%s) = %v, %v", r, got, err)
		}
	}
	for _, s := range []string{"", "Agent", "admin"} {
		if r, err := ParseRole(s); err == nil {
			t.Errorf("ParseRole(%q) = %v", s, r)
		}
	}
	if Role(0).String() != "Role(0)" || Role(9).String() != "Role(9)" {
		t.Error("names of what is no role")
	}
}
