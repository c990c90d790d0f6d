package core

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/switchyard-im/switchyard/frame"
)

// TestConversationSize guards the memory of an idle conversation: with its first member and its first attachment it takes its part of a page.
func TestConversationSize(t *testing.T) {
	const page, header = 8192, 8 // the runtime's, of an object with pointers
	if n := unsafe.Sizeof(conversation{}); n > 200 {
		t.Errorf("a conversation takes %d bytes", n)
	}
	if n := unsafe.Sizeof(chunk{}); n > page-header || n+unsafe.Sizeof(conversation{}) <= page-header {
		t.Errorf("a chunk takes %d bytes, which is not just a page", n)
	}
}

// TestChunks takes and gives at random: every conversation is nobody else's and begins empty, and no place is lost.
func TestChunks(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var s chunks
	model := map[*conversation]frame.ID{}
	taken := uint64(0)
	take := func() {
		taken++
		var id frame.ID
		binary.BigEndian.PutUint64(id[:], taken)
		c := s.take(id)
		if _, twice := model[c]; twice || c.id != id || c.agent != -1 || len(c.members)+len(c.attached) != 0 || c.trouble != nil {
			t.Fatalf("taken: %+v, in use already: %v", c, twice)
		}
		c.addMember("v", frame.RoleVisitor)
		c.attach(attachment{conn: 1}, &Identity{User: "v"})
		c.troubled().resync = true
		model[c] = id
	}
	give := func() {
		for c, id := range model {
			if c.id != id || &c.members[0] != &c.ownMember[0] || &c.attached[0] != &c.ownAttachment[0] {
				t.Fatalf("in use: %+v, want %s with a member and an attachment in place", c, id)
			}
			delete(model, c)
			s.give(c)
			return
		}
	}
	for range 20_000 {
		switch n := r.IntN(100); {
		case n == 0:
			s.trim()
		case n < 50+len(model)/20:
			give()
		default:
			take()
		}
		if err := s.check(len(model)); err != nil {
			t.Fatal(err)
		}
	}
	for len(model) > 0 {
		give()
	}
	if s.trim(); len(s.open) != 0 {
		t.Errorf("%d chunks are kept although nothing is in use", len(s.open))
	}
}

// TestConversationComesBack: what a forgotten conversation knew is not found in the one that has its place next.
func TestConversationComesBack(t *testing.T) {
	m := New(Config{})
	var e Effects
	batch := func(at int64, f func()) {
		e.Reset()
		m.Begin(at, true, &e)
		f()
		m.End()
	}
	who := &Identity{User: "v", Role: frame.RoleVisitor}
	open := frame.Open{Ref: 1, Group: []byte("g"), Key: frame.ID{1}}
	id := ConversationID("v", open.Key)
	batch(0, func() { m.Frame(Origin{Conn: 7, Who: who}, frame.TypeOpen, open.Append(nil), 0) })
	batch(0, func() { m.Loaded(id, nil, nil, false, nil) })
	first := m.convs[id]
	if first == nil || len(first.attached) != 1 {
		t.Fatalf("opened: %+v", first)
	}
	batch(0, func() { m.Gone(id, 7) })
	batch(m.cfg.EvictMS, func() { m.Tick() })
	if len(m.convs) != 0 {
		t.Fatal("an idle conversation that nobody is attached to stays in memory")
	}
	other := frame.ID{2}
	batch(m.cfg.EvictMS, func() { m.Show(other, Origin{Conn: 8}) })
	if c := m.convs[other]; c != first || len(c.members) != 0 || c.head != 0 || c.group != nil || c.load != loading {
		t.Errorf("the next one begins as %+v", c)
	}
	if err := m.chunks.check(len(m.convs)); err != nil {
		t.Error(err)
	}
}

// TestClockSetBack: a conversation whose last event lies in the future is not idle.
func TestClockSetBack(t *testing.T) {
	h, conv := begun(t)
	h.batched(func() { h.m.Gone(conv, 1) })
	last := h.now
	for _, tc := range []struct {
		at   int64
		held bool
	}{{last - 1000, true}, {last - 3600_000, true}, {last + h.m.cfg.EvictMS - 1, true}, {last + h.m.cfg.EvictMS, false}} {
		h.now = tc.at
		h.batched(func() { h.m.Tick() })
		if held := h.m.convs[conv] != nil; held != tc.held {
			t.Errorf("%d ms after its last event: in memory %t", tc.at-last, held)
		}
	}
}
