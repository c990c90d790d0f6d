package dispatch

import (
	"testing"

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
		if s.mayPass(frame.TypeSend, send(conv, 2), 1) {
			t.Errorf("conversation %d: the second message passes before the first, which was refused", conv)
		}
		if !s.mayPass(frame.TypeSend, send(conv, 1), 1) || !s.mayPass(frame.TypeSend, send(conv, 2), 1) {
			t.Errorf("conversation %d: the messages do not pass in order", conv)
		}
	}
	if s.refused != nil {
		t.Error("an idle session holds a map")
	}
}

// TestDetachCountsWhenTaken: a conversation is forgotten only when a runner has taken the detach.
func TestDetachCountsWhenTaken(t *testing.T) {
	var s session
	conv := frame.ID{1}
	s.join(conv, 1)
	f := (&frame.Detach{Ref: 1, Conv: conv}).Append(nil)
	s.refuse(frame.TypeDetach, f, 0)
	if len(s.convs) != 1 {
		t.Error("a refused detach made the session forget the conversation")
	}
	if s.passed(frame.TypeDetach, f); len(s.convs) != 0 {
		t.Error("the conversation is still known")
	}
}
