package dispatch

import (
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/escalate"
	"github.com/switchyard-im/switchyard/frame"
)

// EscalationConfig says who is told of messages that somebody did not ack, when, and how. Without policies nobody is, and it costs nothing.
type EscalationConfig struct {
	Policies map[string][]escalate.Step
	Default  EscalationPolicies            // of groups that are not in Groups
	Groups   map[string]EscalationPolicies // by the group's name
	Grace    time.Duration                 // see escalate.Config; default 30s

	// Notice makes what is put into the lane of the effect's channel; called on the escalation's goroutine.
	Notice func(escalate.Effect) []byte
	// Queued returns the ids (escalate.NotificationID) of what waits in the lanes; called once, at start.
	Queued func() (map[string]bool, error)
}

// EscalationPolicies are names of policies; with an empty one nobody is told.
type EscalationPolicies struct {
	Visitors string
	Staff    string // of the agent, or the supervisor, who has the conversation
}

func (c *EscalationConfig) policies(group string) EscalationPolicies {
	if p, ok := c.Groups[group]; ok {
		return p
	}
	return c.Default
}

func (c *EscalationConfig) policy(group string, role frame.Role) string {
	p := c.policies(group)
	if role == frame.RoleVisitor {
		return p.Visitors
	}
	return p.Staff
}

// machine is what the shards have to know.
func (c *EscalationConfig) machine() (e core.Escalate) {
	add := func(p EscalationPolicies) {
		e.Visitors, e.Staff = e.Visitors || p.Visitors != "", e.Staff || p.Staff != ""
	}
	add(c.Default)
	for _, p := range c.Groups {
		add(p)
	}
	return e
}

func (c *EscalationConfig) on() bool { return c.machine() != core.Escalate{} }

func (c *EscalationConfig) validate() error {
	check := func(group string, p EscalationPolicies) error {
		for _, name := range []string{p.Visitors, p.Staff} {
			if name != "" && c.Policies[name] == nil {
				return fmt.Errorf("dispatch: escalation of %s: there is no policy %q: define it, or take the name out", group, name)
			}
		}
		return nil
	}
	if err := check("all groups", c.Default); err != nil {
		return err
	}
	for group, p := range c.Groups {
		if err := check("group "+group, p); err != nil {
			return err
		}
	}
	_, err := escalate.New(escalate.Config{Policies: c.Policies, Grace: c.Grace}, 0)
	return err
}
