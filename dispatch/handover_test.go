package dispatch_test

import (
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/frame"
)

// TestRefusalOutlivesItsConversation: a message of a connection that is not attached is refused, and its conversation leaves memory. What the
// connection sent behind that message may come as late as it likes, and is not stored before it. A connection that has ended keeps nothing in memory.
func TestRefusalOutlivesItsConversation(t *testing.T) {
	withCenter(t, dispatch.Config{EvictAfter: 5 * time.Second}, func(c *center) {
		first, second, ended := c.login("v", frame.RoleVisitor), c.login("v", frame.RoleVisitor), c.login("v", frame.RoleVisitor)
		c.open(first, 1)
		conv := c.shown(first).Conv
		c.send(first, (&frame.Detach{Ref: 9, Conv: conv}).Append(nil))
		send := func(n *conn, id byte) (code, seq uint64) {
			c.nets.mu.Lock()
			n.out = n.out[:0]
			c.nets.mu.Unlock()
			c.send(n, (&frame.Send{Ref: uint64(id), Conv: conv, Level: 2, ID: frame.ID{id}, Base: 1, Body: []byte{0xc0}}).Append(nil))
			var a frame.Ack
			if f := c.last(n, frame.TypeAck); f != nil {
				if err := a.Parse(f); err != nil {
					t.Fatal(err)
				}
			}
			return c.refusal(n).Code, a.Seq
		}
		c.store.Fail()
		for n, id := range map[*conn]byte{second: 1, ended: 9} {
			if code, _ := send(n, id); code != frame.ErrorUnavailable {
				t.Fatalf("a message while the store is down got error %d", code)
			}
		}
		c.store.Recover()
		c.nets.mu.Lock()
		c.Gate().Closed(ended)
		delete(c.nets.conns, ended.id)
		c.nets.mu.Unlock()

		time.Sleep(20 * time.Second)
		if held := c.gauge("switchyard_conversations_in_memory"); held != 0 {
			t.Fatalf("%v conversations are in memory still", held)
		}
		if code, _ := send(second, 2); code != frame.ErrorOverloaded {
			t.Errorf("the message behind the refused one got error %d", code)
		}
		for i, id := range []byte{1, 2} {
			if code, seq := send(second, id); code != 0 || seq != uint64(2+i) {
				t.Errorf("message %d, sent again in order, got error %d and sequence %d", id, code, seq)
			}
		}
	})
}
