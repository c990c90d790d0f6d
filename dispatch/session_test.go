package dispatch

import (
	"encoding/binary"
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
	s.refuse(frame.TypeSend, send(1, 1), 0)
	s.refuse(frame.TypeSend, send(2, 1), 0)
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

// refusing is a session whose messages to conversation 1 are refused.
type refusing struct{ session }

func (s *refusing) send(id byte) []byte {
	return (&frame.Send{Ref: 1, Conv: frame.ID{1}, Level: 2, ID: frame.ID{id}, Body: []byte{0xc0}}).Append(nil)
}

func (s *refusing) refuses(ids ...byte) {
	for _, id := range ids {
		s.refuse(frame.TypeSend, s.send(id), 0)
	}
}

func (s *refusing) passes(id byte) bool { return s.mayPass(frame.TypeSend, s.send(id)) }

// TestRefusedComesAgain: the first of the refused messages that comes again passes, since the client has given up those before it; then all do.
func TestRefusedComesAgain(t *testing.T) {
	for first := byte(2); first <= 4; first++ {
		var s refusing
		s.refuses(2, 3, 4)
		for _, id := range []byte{1, 5} {
			if s.passes(id) {
				t.Errorf("message %d passes before message 2, which was refused", id)
			}
		}
		if !s.passes(first) || s.rare != nil {
			t.Errorf("message %d, which is the first that comes again, does not pass", first)
		}
	}
}

// TestRefusedAgain: when the first that comes again is refused again, by a full ring, those behind it do not pass before it.
func TestRefusedAgain(t *testing.T) {
	var s refusing
	s.refuses(2, 3, 4)
	s.refuses(3)
	if s.passes(4) {
		t.Error("message 4 passes before message 3, which was refused again")
	}
	if s.refuses(4); !s.passes(3) || s.rare != nil {
		t.Error("message 3 does not pass")
	}
}

// TestDetachCountsWhenTaken: a conversation is forgotten only when a runner has taken the detach.
func TestDetachCountsWhenTaken(t *testing.T) {
	var s session
	conv := frame.ID{1}
	s.join(conv, 1)
	f := (&frame.Detach{Ref: 1, Conv: conv}).Append(nil)
	s.refuse(frame.TypeDetach, f, 0)
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
	if n := unsafe.Sizeof(core.Identity{}); n > 32 {
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

// TestTakeOver: a machine's refusals go before the gate's, unless the gate's tell of one of them that it came again since.
func TestTakeOver(t *testing.T) {
	take := func(gates ...byte) (s refusing) {
		var m core.Refusals
		m.Refuse(frame.ID{1}, knownMax)
		m.Refuse(frame.ID{2}, knownMax)
		s.refuses(gates...)
		if !s.takeOver(frame.ID{1}, &m, 0) {
			t.Fatal("there is no room")
		}
		return s
	}
	for id := byte(1); id <= 4; id++ {
		if s := take(3, 4); s.rare.known != 4 || !s.passes(id) || s.rare != nil {
			t.Errorf("message %d, the first that comes again, does not pass", id)
		}
	}
	if s := take(3, 4, 2); s.rare.known != 1 || s.passes(3) || s.passes(4) || !s.passes(2) {
		t.Error("message 2 was refused again, and another passes before it")
	}
	if s := take(); !s.passes(1) {
		t.Error("message 1 does not pass")
	}
}

// TestManyRefusals: what a connection's refusals hold is bounded. With a conversation too many the session says so, and forgets none.
func TestManyRefusals(t *testing.T) {
	var s session
	id := func(n int) (id frame.ID) {
		binary.BigEndian.PutUint32(id[:], uint32(n))
		return id
	}
	send := func(conv, n int) []byte {
		return (&frame.Send{Ref: 1, Conv: id(conv), Level: 2, ID: id(n), Body: []byte{0xc0}}).Append(nil)
	}
	const limit = refusedMax + 10
	for conv := 1; conv <= limit; conv++ {
		for n := 1; n <= 6; n++ {
			if !s.refuse(frame.TypeSend, send(conv, n), limit) {
				t.Fatalf("conversation %d: there is no room", conv)
			}
		}
	}
	if s.rare.known < knownMax || s.rare.known > knownMax+limit {
		t.Errorf("%d messages are known", s.rare.known)
	}
	if s.refuse(frame.TypeSend, send(limit+1, 1), limit) || s.takeOver(id(limit+1), new(core.Refusals), 0) {
		t.Error("a conversation too many is remembered")
	}
	for conv := 1; conv <= limit; conv++ {
		if s.mayPass(frame.TypeSend, send(conv, 9)) || !s.mayPass(frame.TypeSend, send(conv, 1)) {
			t.Fatalf("conversation %d does not keep the order", conv)
		}
	}
	if s.rare != nil {
		t.Errorf("%+v is left", s.rare)
	}
}
