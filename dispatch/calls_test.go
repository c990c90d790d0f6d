package dispatch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// call makes one and returns the ack's sequence, the conversation frame, or the error frame.
func (c *center) call(who *core.Identity, f []byte) (seq uint64, conv frame.Conversation, refused frame.Error) {
	c.t.Helper()
	answer, err := c.Call(c.t.Context(), who, f)
	if err != nil {
		c.t.Fatal(err)
	}
	typ, f, _, err := frame.Next(answer)
	switch typ {
	case frame.TypeAck:
		var a frame.Ack
		err = errors.Join(err, a.Parse(f))
		seq = a.Seq
	case frame.TypeConversation:
		err = errors.Join(err, conv.Parse(f))
	case frame.TypeError:
		err = errors.Join(err, refused.Parse(f))
	default:
		c.t.Fatalf("answered by %v", typ)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return seq, conv, refused
}

// TestCalls does over calls what clients do over connections: each is answered by its own frame, once it is durable.
func TestCalls(t *testing.T) {
	withCenter(t, dispatch.Config{Runners: 2}, func(c *center) {
		ann := &core.Identity{User: "ann", Role: frame.RoleVisitor}
		crm := &core.Identity{User: "crm", Role: frame.RoleSystem}
		_, conv, _ := c.call(ann, (&frame.Open{Ref: dispatch.CallRef, Key: frame.ID{1}, Group: []byte("g")}).Append(nil))
		if conv.Conv != core.ConversationID("ann", frame.ID{1}) || conv.State != frame.StateQueued {
			t.Fatalf("opened %+v", conv)
		}
		send := (&frame.Send{Ref: dispatch.CallRef, Conv: conv.Conv, Level: 2, ID: frame.ID{2}, Body: []byte{0xa1, 'x'}}).Append(nil)
		first, _, _ := c.call(crm, send)
		if again, _, _ := c.call(crm, send); first != 2 || again != 2 {
			t.Errorf("stored as %d, and again as %d", first, again)
		}
		if _, _, refused := c.call(&core.Identity{User: "shop", Role: frame.RoleSystem, Profile: &desk.Profile{Groups: []string{"other"}}}, send); refused.Code != frame.ErrorForbidden {
			t.Errorf("another group's: %+v", refused)
		}
		if _, _, refused := c.call(crm, (&frame.Status{Ref: dispatch.CallRef, Status: frame.AgentAway, User: []byte("bob")}).Append(nil)); refused.Code != frame.ErrorForbidden {
			t.Errorf("an agent whom nobody knows: %+v", refused)
		}
		bob := c.login("bob", frame.RoleAgent)
		time.Sleep(time.Second)
		if _, _, refused := c.call(crm, (&frame.Status{Ref: dispatch.CallRef, Status: frame.AgentAway, User: []byte("bob")}).Append(nil)); refused.Code != 0 {
			t.Errorf("an agent: %+v", refused)
		}
		agents, err := c.Agents(c.t.Context(), "g")
		if err != nil || len(agents) != 1 || agents[0].Name != "bob" || agents[0].Status != frame.AgentAway || agents[0].Load != 1 || agents[0].Capacity != 5 {
			t.Errorf("the agents of g are %+v, %v", agents, err)
		}
		if seq, _, refused := c.call(crm, (&frame.Transfer{Ref: dispatch.CallRef, Conv: conv.Conv}).Append(nil)); seq == 0 {
			t.Errorf("transferred: %d %+v", seq, refused)
		}
		if q, err := c.Queue(c.t.Context(), "g", 10); err != nil || q.Total != 1 || len(q.Entries) != 1 || q.Entries[0].Conv != conv.Conv {
			t.Errorf("the queue is %+v, %v", q, err)
		}
		if seq, _, _ := c.call(crm, (&frame.Close{Ref: dispatch.CallRef, Conv: conv.Conv}).Append(nil)); seq == 0 {
			t.Error("not closed")
		}
		if _, _, refused := c.call(crm, (&frame.Send{Ref: dispatch.CallRef, Conv: conv.Conv, Level: 1, Body: []byte{0xc0}}).Append(nil)); refused.Code != frame.ErrorClosed {
			t.Errorf("sent after the end: %+v", refused)
		}
		_ = bob
	})
}

// A call that finds the store down is refused, and a retry, which is another call, is taken; one that nobody answers ends with its context.
func TestCallsMeetTrouble(t *testing.T) {
	withCenter(t, dispatch.Config{}, func(c *center) {
		ann := &core.Identity{User: "ann", Role: frame.RoleVisitor}
		crm := &core.Identity{User: "crm", Role: frame.RoleSystem}
		_, conv, _ := c.call(ann, (&frame.Open{Ref: dispatch.CallRef, Key: frame.ID{1}, Group: []byte("g")}).Append(nil))
		send := (&frame.Send{Ref: dispatch.CallRef, Conv: conv.Conv, Level: 2, ID: frame.ID{2}, Body: []byte{0xa1, 'x'}}).Append(nil)
		c.store.Fail()
		if _, _, refused := c.call(crm, send); refused.Code != frame.ErrorUnavailable || refused.RetryMS == 0 {
			t.Errorf("without a store: %+v", refused)
		}
		c.store.Recover()
		time.Sleep(time.Second)
		seq, _, refused := c.call(crm, send)
		if refused.Code == frame.ErrorUnavailable { // the first batch after an interruption may be refused
			seq, _, refused = c.call(crm, send)
		}
		if seq != 2 {
			t.Errorf("after it: %d %+v", seq, refused)
		}
		ctx, cancel := context.WithCancel(c.t.Context())
		cancel()
		if _, err := c.Call(ctx, crm, send); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for _, f := range [][]byte{nil, {0x91}, (&frame.Heartbeat{}).Append(nil), append(send, send...)} {
			if _, err := c.Call(c.t.Context(), crm, f); err == nil {
				t.Errorf("% x is taken", f)
			}
		}
	})
}

// Calls are given up with new connections, before messages of those who are connected.
func TestCallsAreShed(t *testing.T) {
	var used atomic.Int64
	withCenter(t, dispatch.Config{Memory: func() float64 { return float64(used.Load()) / 100 }}, func(c *center) {
		ann := &core.Identity{User: "ann", Role: frame.RoleVisitor}
		open := (&frame.Open{Ref: dispatch.CallRef, Key: frame.ID{1}, Group: []byte("g")}).Append(nil)
		c.call(ann, open)
		used.Store(99)
		time.Sleep(10 * time.Second)
		if c.Gate().Admits() {
			t.Fatal("connections are taken")
		}
		if _, err := c.Call(c.t.Context(), ann, open); !errors.Is(err, dispatch.ErrOverloaded) {
			t.Errorf("a call is answered with %v", err)
		}
		used.Store(10)
		time.Sleep(time.Minute)
		if _, conv, _ := c.call(ann, open); conv.Conv.IsZero() {
			t.Error("after the pressure a call is not answered")
		}
	})
}
