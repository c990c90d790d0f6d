package dispatch

import (
	"maps"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// TestRefusalsOfManyConversations: a full ring keeps the order of each conversation that a connection talks to, not just of one.
func TestRefusalsOfManyConversations(t *testing.T) {
	var s session
	send := func(conv, id byte) []byte {
		return (&frame.Send{Ref: 1, Conv: frame.ID{conv}, Level: 2, ID: frame.ID{id}, Body: []byte{0xc0}}).Append(nil)
	}
	s.refuse(frame.TypeSend, send(1, 1))
	s.refuse(frame.TypeSend, send(2, 1))
	for conv := byte(1); conv <= 2; conv++ {
		if s.mayPass(frame.TypeSend, send(conv, 2)) {
			t.Errorf("conversation %d: the second message passes before the first, which was refused", conv)
		}
		if !s.mayPass(frame.TypeSend, send(conv, 1)) || !s.mayPass(frame.TypeSend, send(conv, 2)) {
			t.Errorf("conversation %d: the messages do not pass in order", conv)
		}
	}
	if s.rare != nil {
		t.Error("an idle session holds what only a few need")
	}
}

// TestRefusedLast: a message that comes again right after its refusal passes, because nothing goes before it any more.
func TestRefusedLast(t *testing.T) {
	var s session
	send := func(id byte) []byte {
		return (&frame.Send{Ref: 1, Conv: frame.ID{1}, Level: 2, ID: frame.ID{id}, Body: []byte{0xc0}}).Append(nil)
	}
	for id := byte(2); id <= 4; id++ {
		s.refuse(frame.TypeSend, send(id))
	}
	for _, id := range []byte{1, 3, 5} {
		if s.mayPass(frame.TypeSend, send(id)) {
			t.Errorf("message %d passes before message 2, which was refused", id)
		}
	}
	s.refuse(frame.TypeSend, send(1)) // refused elsewhere before message 2 was refused here
	if !s.mayPass(frame.TypeSend, send(1)) || s.rare != nil {
		t.Error("the first message does not pass")
	}
}

// TestDetachCountsWhenTaken: a conversation is forgotten only when a runner has taken the detach.
func TestDetachCountsWhenTaken(t *testing.T) {
	var s session
	conv := frame.ID{1}
	s.join(conv, 1)
	f := (&frame.Detach{Ref: 1, Conv: conv}).Append(nil)
	s.refuse(frame.TypeDetach, f)
	if !s.knows(conv) {
		t.Error("a refused detach made the session forget the conversation")
	}
	if s.passed(frame.TypeDetach, f); s.knows(conv) {
		t.Error("the conversation is still known")
	}
}

// TestSessionsAreUsedAgain: a record comes back empty, and what is in use is never given out twice.
func TestSessionsAreUsedAgain(t *testing.T) {
	var p sessions
	used := map[*session]bool{}
	for range 3 * sessionChunk {
		s := p.take()
		if used[s] {
			t.Fatal("a record in use was given out again")
		}
		used[s] = true
		s.checking, s.due = true, 7
		s.join(frame.ID{1}, 1)
		s.rarely()
	}
	for s := range used {
		p.give(s)
	}
	for range len(used) {
		if s := p.take(); !used[s] || s.who != nil || s.checking || s.due != 0 || !s.conv.IsZero() || s.rare != nil {
			t.Fatalf("%+v", s)
		}
	}
}

// TestSessionSize guards the memory of an idle connection.
func TestSessionSize(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 40 {
		t.Errorf("a session takes %d bytes", n)
	}
	if n := unsafe.Sizeof(core.Identity{}); n > 48 {
		t.Errorf("an identity takes %d bytes", n)
	}
}

// TestConversationsAsInAnObviousModel: a session remembers what was joined and not left, up to its limit, and is lean again when there is at most one.
func TestConversationsAsInAnObviousModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var s session
	model := map[frame.ID]bool{}
	const limit = 3
	for range 20_000 {
		conv := frame.ID{byte(1 + r.IntN(5))}
		if r.IntN(2) == 0 {
			s.leave(conv)
			delete(model, conv)
		} else if joined := s.join(conv, limit); joined != (model[conv] || len(model) < limit) {
			t.Fatalf("join of %d beside %v: %v", conv[0], model, joined)
		} else if joined {
			model[conv] = true
		}
		got := map[frame.ID]bool{}
		s.each(func(c frame.ID) { got[c] = true })
		if !maps.Equal(got, model) || s.conversations() != len(model) {
			t.Fatalf("%v, want %v", got, model)
		}
		if s.rare != nil && len(s.rare.convs) == 0 {
			t.Fatal("it holds what it does not need")
		}
	}
	if !s.join(frame.ID{}, 0) || s.knows(frame.ID{1, 1}) {
		t.Error("the zero id counts")
	}
}

// TestTakeOver: a machine's refusal goes before the gate's, and the last of both is the gate's.
func TestTakeOver(t *testing.T) {
	var s session
	conv := frame.ID{1}
	send := func(id byte) []byte {
		return (&frame.Send{Ref: 1, Conv: conv, Level: 2, ID: frame.ID{id}, Body: []byte{0xc0}}).Append(nil)
	}
	s.refuse(frame.TypeSend, send(3))
	s.refuse(frame.TypeSend, send(4))
	s.takeOver(conv, refusal{first: frame.ID{1}, last: frame.ID{2}})
	if r, _ := s.refusal(conv); r != (refusal{first: frame.ID{1}, last: frame.ID{4}}) {
		t.Errorf("%+v is remembered", r)
	}
	for _, id := range []byte{2, 3} {
		if s.mayPass(frame.TypeSend, send(id)) {
			t.Errorf("message %d passes before message 1", id)
		}
	}
	if !s.mayPass(frame.TypeSend, send(1)) || s.rare != nil {
		t.Error("the first message does not pass")
	}
}
