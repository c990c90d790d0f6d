package core

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// begun is a conversation C of visitor v (connection 1) and agent a (connection 2).
func begun(t *testing.T) (*harness, frame.ID) {
	h := newHarness(t, Config{})
	h.step([]string{"user v visitor", "user a agent groups=g", "online 1 v", "online 2 a", "open 1 v ref=1 key=C group=g"})
	h.step([]string{"assign C a"})
	return h, h.convs["C"]
}

// batched runs one batch whose reads are not carried out.
func (h *harness) batched(f func()) *Effects {
	e := new(Effects)
	h.m.Begin(h.now, !h.down, e)
	f()
	h.m.End()
	h.check()
	return e
}

func has(e *Effects, kind DeskKind) bool {
	return slices.ContainsFunc(e.Desk, func(d DeskEvent) bool { return d.Kind == kind })
}

// TestOpenOfClosedConnection: a connection that is closed while its open waits for the load leaves a conversation, but nothing attached.
func TestOpenOfClosedConnection(t *testing.T) {
	h := newHarness(t, Config{})
	v, key := &Identity{User: "v", Role: frame.RoleVisitor}, frame.ID{1}
	conv := ConversationID("v", key)
	e := h.batched(func() {
		h.m.Frame(Origin{1, v}, frame.TypeOpen, (&frame.Open{Ref: 1, Key: key, Group: []byte("g")}).Append(nil), 1)
		h.m.Gone(conv, 1)
		h.m.Loaded(conv, nil, nil, false, nil)
	})
	if c := h.m.convs[conv]; c == nil || c.state != frame.StateQueued || len(c.attached) > 0 {
		t.Errorf("the conversation is %+v", c)
	}
	if !has(e, DeskOpened) || len(e.Targets) > 0 {
		t.Errorf("desk %v, targets %v", e.Desk, e.Targets)
	}
}

// TestFailedLoadAfterFailedCommit: a store that stays away does not make the machine forget that the desk has to be told again.
func TestFailedLoadAfterFailedCommit(t *testing.T) {
	h := newHarness(t, Config{})
	h.step([]string{"user v visitor", "open 1 v ref=1 key=C group=g"})
	h.step([]string{"gone 1 C"})
	conv := h.convs["C"]
	h.batched(func() { h.m.Decide(conv, Decision{Group: "g", Agent: "a"}) }) // its commit fails
	h.batched(func() { h.m.Invalidate(conv, 1) })
	h.batched(func() { h.m.Loaded(conv, nil, nil, false, errors.New("away")) })
	if e := h.batched(h.m.Tick); len(e.Jobs) != 1 {
		t.Fatalf("the conversation is not asked for again: %v", e.Jobs)
	}
	s := h.store.convs[conv]
	e := h.batched(func() { h.m.Loaded(conv, s.state, s.last(), true, nil) })
	if !has(e, DeskOpened) {
		t.Error("the desk did not hear that the conversation still waits")
	}
	if !slices.ContainsFunc(e.Answers, func(a Answer) bool { return a.Kind == AnswerTold && a.Conv == conv && a.Conn == 0 }) {
		t.Error("if this commit fails too, nobody tells the desk")
	}
}

// TestMarksOutliveFailedCommit: the others saw them, and no client repeats them while its connection lives.
func TestMarksOutliveFailedCommit(t *testing.T) {
	h, conv := begun(t)
	h.step([]string{"delivered 1 v C 2"})
	h.step([]string{"read 1 v C 1"})
	h.step([]string{"fail", "tick"})
	if mb := h.m.convs[conv].members[0]; mb.delivered != 2 || mb.read != 1 {
		t.Errorf("the marks are %d and %d", mb.delivered, mb.read)
	}
	h.step([]string{"tick"})
	h.m = New(Config{})
	h.step([]string{"resume 1 v ref=1 C after=2"})
	if mb := h.m.convs[conv].members[0]; mb.delivered != 2 || mb.read != 1 {
		t.Errorf("after a restart the marks are %d and %d", mb.delivered, mb.read)
	}
}

// TestDetachOfFailedLoad: the connection's loop has forgotten the conversation; nothing would end the attachment when it closes.
func TestDetachOfFailedLoad(t *testing.T) {
	h, conv := begun(t)
	h.batched(func() { h.m.Invalidate(conv, math.MaxUint64) })
	e := h.batched(func() {
		h.event([]string{"detach", "1", "v", "ref=5", "C"})
		h.m.Loaded(conv, nil, nil, false, errors.New("away"))
	})
	if c := h.m.convs[conv]; c != nil && len(c.attached) > 0 {
		t.Errorf("attached: %+v", c.attached)
	}
	if n := countErrors(t, e); n != 0 {
		t.Errorf("%d errors, want an ack", n)
	}
}

// TestDetachWithoutRoom is the same with too much waiting; what the connection attaches by then does not stay either.
func TestDetachWithoutRoom(t *testing.T) {
	h, conv := begun(t)
	h.batched(func() { h.m.Invalidate(conv, math.MaxUint64) })
	s := h.store.convs[conv]
	h.batched(func() {
		h.event([]string{"attach", "1", "v", "ref=5", "C"})
		for range waitingMax {
			h.event([]string{"delivered", "2", "a", "C", "1"})
		}
		h.event([]string{"detach", "1", "v", "ref=6", "C"})
		h.m.Loaded(conv, s.state, s.last(), true, nil)
	})
	if c := h.m.convs[conv]; c.attachmentOf(1) >= 0 {
		t.Errorf("attached: %+v", c.attached)
	}
}

// TestUnattachedKeepsOrder: the refusal of an attachment does not let messages overtake one that was refused before.
func TestUnattachedKeepsOrder(t *testing.T) {
	h, conv := begun(t)
	h.batched(func() {
		h.m.Refused(conv, 1, frame.ID{1})
		h.m.Unattached(conv, 1)
	})
	c := h.m.convs[conv]
	if c.attachmentOf(1) >= 0 || c.mayPass(1, frame.ID{2}) {
		t.Errorf("attached %v, barriers %v", c.attached, c.trouble)
	}
}

// TestGoneKeepsOrder: what a closed connection sent after a refused message does not overtake it because it waited for the load meanwhile.
func TestGoneKeepsOrder(t *testing.T) {
	h, conv := begun(t)
	h.batched(func() {
		h.m.Refused(conv, 1, frame.ID{1})
		h.m.Invalidate(conv, 2)
	})
	s := h.store.convs[conv]
	e := h.batched(func() {
		h.event([]string{"send", "1", "v", "ref=8", "C", "id=y", "base=2", "body=b"})
		h.m.Gone(conv, 1)
		h.m.Loaded(conv, s.state, s.last(), true, nil)
	})
	if len(e.Writes) > 0 {
		t.Errorf("the message behind the refused one was accepted: %+v", e.Writes)
	}
}

// TestRefusedMeanwhileKeepsOrder: a message whose commit fails goes before one behind it that was refused at once, because the store was away
// by then.
func TestRefusedMeanwhileKeepsOrder(t *testing.T) {
	h, conv := begun(t)
	send := func(id string) func() {
		return func() { h.event([]string{"send", "1", "v", "ref=8", "C", "id=" + id, "base=2", "body=b"}) }
	}
	h.batched(send("1")) // its commit is under way
	h.batched(send("2"))
	h.down = true
	h.batched(send("3"))
	h.down = false
	h.batched(func() { // the commits fail
		h.m.Refused(conv, 1, frame.ID{'2'})
		h.m.Refused(conv, 1, frame.ID{'1'})
		h.m.Invalidate(conv, 2)
	})
	s := h.store.convs[conv]
	h.batched(func() { h.m.Loaded(conv, s.state, s.last(), true, nil) })
	if e := h.batched(send("4")); len(e.Writes) > 0 {
		t.Error("message 4 is accepted before those that were refused")
	}
	b := h.m.convs[conv].trouble.barriers[0]
	if got, want := b.refused.ids, []frame.ID{{'1'}, {'2'}, {'3'}, {'4'}}; !slices.Equal(got, want) {
		t.Errorf("refused were %v in this order, want %v", got, want)
	}
	e := h.batched(func() { send("1")(); send("2")(); send("3")() })
	if len(e.Writes) != 1 || e.Writes[0].First != 3 || e.Writes[0].Last != 5 {
		t.Errorf("writes %+v", e.Writes)
	}
}

// TestOpenBehindResume: a conversation that does not exist stays one, in memory, when an open waits behind what finds it missing.
func TestOpenBehindResume(t *testing.T) {
	h := newHarness(t, Config{})
	v, key := &Identity{User: "v", Role: frame.RoleVisitor}, frame.ID{1}
	conv := ConversationID("v", key)
	h.batched(func() {
		h.m.Frame(Origin{1, v}, frame.TypeResume, (&frame.Resume{Ref: 1, Conv: conv}).Append(nil), 1)
		h.m.Frame(Origin{2, v}, frame.TypeOpen, (&frame.Open{Ref: 1, Key: key, Group: []byte("g")}).Append(nil), 1)
		h.m.Loaded(conv, nil, nil, false, nil)
	})
	if c := h.m.convs[conv]; c == nil || c.attachmentOf(2) < 0 {
		t.Errorf("the conversation that was opened is lost: %+v", c)
	}
	other := frame.ID{9}
	h.batched(func() {
		h.m.Frame(Origin{1, v}, frame.TypeResume, (&frame.Resume{Ref: 1, Conv: other}).Append(nil), 1)
		h.m.Show(other, Origin{Conn: 1})
		h.m.Loaded(other, nil, nil, false, nil)
	})
	if h.m.convs[other] != nil {
		t.Error("a conversation that does not exist stays in memory")
	}
}

// TestCertain: what does not depend on the batch's writes goes out even if they are not kept; every refused request is an answer, so that
// its sender hears something then.
func TestCertain(t *testing.T) {
	h, conv := begun(t)
	key := UserKey{Role: frame.RoleAgent, Name: "a"}
	e := h.batched(func() {
		h.event([]string{"send", "1", "v", "ref=7", "C", "id=x", "base=99", "body=b"})
		h.m.Notify(key, (&frame.Heartbeat{}).Append(nil), 0)
		h.m.Show(conv, Origin{Conn: 2})
		h.event([]string{"delivered", "2", "a", "C", "2"})
		h.event([]string{"send", "1", "v", "ref=8", "C", "id=y", "base=2", "body=b"})
	})
	var types []frame.Type
	for _, i := range e.Certain {
		typ, _, _, err := frame.Next(e.Buf[e.Targets[i].Off:])
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, typ)
	}
	if want := []frame.Type{frame.TypeHeartbeat, frame.TypeConversation, frame.TypeReceipt}; !slices.Equal(types, want) {
		t.Errorf("certain are %v, want %v", types, want)
	}
	if len(e.Answers) != 2 || e.Answers[0].Ref != 7 || e.Answers[1].Ref != 8 {
		t.Errorf("answers %+v", e.Answers)
	}
}
