package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/frame"
)

// TestCrowdedDesk asks for more than a desk that stands still may have waiting: clients are told to come again, what happens to conversations is kept, and
// all is as usual when it goes on.
func TestCrowdedDesk(t *testing.T) {
	withCenter(t, dispatch.Config{Runners: 1}, func(c *center) {
		agent, visitor := c.login("a", frame.RoleAgent), c.login("v", frame.RoleVisitor)
		c.send(agent, (&frame.Status{Ref: 9, Status: frame.AgentAway}).Append(nil))
		until := make(chan struct{})
		go func() { _ = c.StallDesk(context.Background(), until) }()
		synctest.Wait()
		c.open(visitor, 1)
		conv := c.shown(visitor).Conv
		for range dispatch.DeskCrowd + 100 {
			c.send(agent, (&frame.Claim{Ref: 3, Conv: conv}).Append(nil))
		}
		if got := c.refusal(agent); got.Code != frame.ErrorOverloaded || got.Ref != 3 {
			t.Errorf("claims are answered %d %q", got.Code, got.Text)
		}
		if waiting := c.counter("switchyard_frames_overloaded_total"); waiting < 90 || waiting > 110 {
			t.Errorf("%v claims were refused, of 100 too many", waiting)
		}
		for key := byte(2); key < 10; key++ { // never refused
			c.open(visitor, key)
		}
		close(until)
		synctest.Wait()
		if got := c.shown(agent); got.Conv != conv {
			t.Errorf("the agent claimed %s and was shown %s", conv, got.Conv)
		}
		c.send(agent, (&frame.Claim{Ref: 4, Conv: c.shown(visitor).Conv}).Append(nil))
		if got := c.refusal(agent); got.Ref == 4 {
			t.Errorf("afterwards: %d %q", got.Code, got.Text)
		}
	})
}
