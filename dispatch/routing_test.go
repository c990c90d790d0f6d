package dispatch_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/dispatch/hours"
	"github.com/switchyard-im/switchyard/frame"
)

// Two agents of capacity 10, the first with weight 3; "1" opens the conversation of visitor 1 and tells who got it, "-1" closes it; a second passes
// after each step. Each strategy takes another way.
func TestStrategies(t *testing.T) {
	for _, tc := range []struct {
		group       dispatch.GroupConfig
		steps, want string
	}{
		{dispatch.GroupConfig{}, "1 2 -2 3", "a b b"},
		{dispatch.GroupConfig{Strategy: desk.LeastActive}, "1 2 -2 -1 3", "a b a"},
		{dispatch.GroupConfig{Strategy: desk.RoundRobin}, "1 2 -2 3", "a b a"},
		{dispatch.GroupConfig{Strategy: desk.LongestIdle}, "1 2 -2 -1 3", "a b b"},
		{dispatch.GroupConfig{Strategy: desk.Weighted}, "1 2 3 4", "a a b a"},
		{dispatch.GroupConfig{}, "1 -1 1", "a b"},
		{dispatch.GroupConfig{Sticky: time.Hour}, "1 -1 1", "a a"},
		{dispatch.GroupConfig{Sticky: 500 * time.Millisecond}, "1 -1 1", "a b"},
	} {
		for _, cfg := range []dispatch.Config{{Groups: map[string]dispatch.GroupConfig{"g": tc.group}}, {DefaultGroup: tc.group}} {
			withCenter(t, cfg, func(c *center) {
				expires := time.Now().Add(time.Hour)
				agents := map[string]*conn{}
				agents["a"] = c.loginAs(auth.Identity{User: "a", Role: frame.RoleAgent, Groups: []string{"g"}, Capacity: 10, Weight: 3, Expires: expires})
				time.Sleep(time.Second)
				agents["b"] = c.loginAs(auth.Identity{User: "b", Role: frame.RoleAgent, Groups: []string{"g"}, Capacity: 10, Expires: expires})
				if got := c.follow(agents, tc.steps); got != tc.want {
					t.Errorf("%+v: %s: got %s, want %s", tc.group, tc.steps, got, tc.want)
				}
			})
		}
	}
}

// follow opens and closes the visitors' conversations, and tells who got those that were opened.
func (c *center) follow(agents map[string]*conn, steps string) string {
	visitors, open, got := map[string]*conn{}, map[string]frame.ID{}, []string{}
	for i, step := range strings.Fields(steps) {
		time.Sleep(time.Second)
		if name, ends := strings.CutPrefix(step, "-"); ends {
			c.send(visitors[name], (&frame.Close{Ref: 9, Conv: open[name]}).Append(nil))
			continue
		}
		if visitors[step] == nil {
			visitors[step] = c.login(fmt.Sprint("v", step), frame.RoleVisitor)
		}
		c.open(visitors[step], byte(1+i))
		open[step] = c.shown(visitors[step]).Conv
		for name, n := range agents {
			if c.last(n, frame.TypeConversation) != nil && c.shown(n).Conv == open[step] {
				got = append(got, name)
			}
		}
	}
	return strings.Join(got, " ")
}

func TestStrategyIsChecked(t *testing.T) {
	for _, cfg := range []dispatch.Config{
		{Loops: 1, Groups: map[string]dispatch.GroupConfig{"sales": {Strategy: "fastest"}}},
		{Loops: 1, DefaultGroup: dispatch.GroupConfig{Strategy: "fastest"}},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "choose least_active") {
			t.Error(err)
		}
	}
}

// The clock of the test begins at midnight. Who comes before the group opens waits for the moment, and then gets the agent who was free all the time; who
// comes after it gets one at once.
func TestOpening(t *testing.T) {
	h, err := hours.Parse("Mo-Su 00:05-12:00; zone UTC")
	if err != nil {
		t.Fatal(err)
	}
	withCenter(t, dispatch.Config{DefaultGroup: dispatch.GroupConfig{Hours: h, Outside: desk.OutsideQueue}}, func(c *center) {
		agent := c.loginAs(auth.Identity{User: "a", Role: frame.RoleAgent, Groups: []string{"g"}, Expires: time.Now().Add(time.Hour)})
		visitor := c.login("v", frame.RoleVisitor)
		c.open(visitor, 1)
		time.Sleep(4*time.Minute + 58*time.Second)
		if c.last(agent, frame.TypeConversation) != nil {
			t.Errorf("it was given away at %v", time.Now().UTC())
		}
		var p frame.Position
		if err := p.Parse(c.last(visitor, frame.TypePosition)); err != nil || p.WaitMS < 1000 {
			t.Errorf("%+v %v", p, err)
		}
		time.Sleep(4 * time.Second)
		if c.last(agent, frame.TypeConversation) == nil {
			t.Errorf("nobody has it at %v", time.Now().UTC())
		}
		early := c.shown(agent).Conv
		c.open(visitor, 2)
		time.Sleep(time.Second)
		if got := c.shown(agent).Conv; got == early || got.IsZero() {
			t.Errorf("the next one went to nobody: %v", got)
		}
	})
}

// A step of priority counts as much waiting as the group says: the second visitor comes 30 seconds after the first, with one step more.
func TestAge(t *testing.T) {
	for age, want := range map[time.Duration]string{0: "second", 10 * time.Second: "first"} {
		withCenter(t, dispatch.Config{DefaultGroup: dispatch.GroupConfig{Age: age}}, func(c *center) {
			c.open(c.login("first", frame.RoleVisitor), 1)
			time.Sleep(30 * time.Second)
			details, err := frame.AppendBody(nil, map[string]any{"priority": 1})
			if err != nil {
				t.Fatal(err)
			}
			c.send(c.login("second", frame.RoleVisitor), (&frame.Open{Ref: 7, Key: frame.ID{2}, Group: []byte("g"), Details: details}).Append(nil))
			agent := c.loginAs(auth.Identity{User: "a", Role: frame.RoleAgent, Groups: []string{"g"}, Capacity: 1, Expires: time.Now().Add(time.Hour)})
			time.Sleep(time.Second)
			if got := string(c.shown(agent).Visitor); got != want {
				t.Errorf("age %v: %s is first, want %s", age, got, want)
			}
		})
	}
}

// An agent who never answers loses the conversation each second; as the only one it gets it back after the time that the group says.
func TestAvoid(t *testing.T) {
	for avoid, want := range map[time.Duration]int{0: 1, 4 * time.Second: 10} {
		group := dispatch.GroupConfig{Avoid: avoid, FirstReply: dispatch.Timer{After: time.Second}}
		withCenter(t, dispatch.Config{DefaultGroup: group}, func(c *center) {
			c.loginAs(auth.Identity{User: "a", Role: frame.RoleAgent, Groups: []string{"g"}, Expires: time.Now().Add(time.Hour)})
			visitor := c.login("v", frame.RoleVisitor)
			c.open(visitor, 1)
			time.Sleep(50*time.Second - 500*time.Millisecond)
			c.nets.mu.Lock()
			defer c.nets.mu.Unlock()
			if got := bytes.Count(visitor.out, []byte("assigned")); got < want*8/10 || got > want {
				t.Errorf("avoid %v: assigned %d times, want %d", avoid, got, want)
			}
		})
	}
}

// An agent who asks twice at once to give a conversation away has it no more when the desk comes to the second request.
func TestTransferOfWhatOneHasNoMore(t *testing.T) {
	withCenter(t, dispatch.Config{}, func(c *center) {
		a := c.login("a", frame.RoleAgent)
		visitor := c.login("v", frame.RoleVisitor)
		c.open(visitor, 1)
		conv := c.shown(visitor).Conv
		b, d := c.login("b", frame.RoleAgent), c.login("d", frame.RoleAgent)
		both := (&frame.Transfer{Ref: 2, Conv: conv, Agent: []byte("b")}).Append(nil)
		both = (&frame.Transfer{Ref: 3, Conv: conv, Agent: []byte("d")}).Append(both)
		c.send(a, both)
		var ack frame.Ack
		if err := ack.Parse(c.last(a, frame.TypeAck)); err != nil || ack.Ref != 2 {
			t.Errorf("acked %+v, %v", ack, err)
		}
		if got := c.refusal(a); got.Ref != 3 || got.Code != frame.ErrorForbidden {
			t.Errorf("refused %+v", got)
		}
		if got := c.shown(b); got.Conv != conv || string(got.Agent) != "b" || c.last(d, frame.TypeConversation) != nil {
			t.Errorf("b has %+v", got)
		}
	})
}
