package escalate

import (
	"cmp"
	"fmt"
	"time"
)

// Step is one way to reach somebody who did not ack.
type Step struct {
	Name    string        // its identity in records: a step that gets another name is another step
	After   time.Duration // since the message was sent
	Channel string        // what fires, a name of the notifications' configuration; one for each step
	Digest  bool          // one notification for all that is unacked when the first of it is due, instead of one for each message
}

// Config says what is escalated, and how.
type Config struct {
	// Policies are the steps by name, the soonest first. Sent names one for each recipient.
	Policies map[string][]Step
	// Grace is how long after a start nothing fires that became due while the server was down: nobody could ack, and who comes back must
	// have the time to. A step with a shorter time has that time. 0: 30 s.
	Grace time.Duration
	// MaxGap is the time that may pass between two events, ticks included; of a longer one only this counts. The clock was set, or the
	// machine was suspended: in neither case had anybody the time to ack. 0: 5 s.
	MaxGap time.Duration
}

// maxSteps bounds a policy; more is a mistake.
const maxSteps = 8

func (c Config) withDefaults() Config {
	c.Grace = cmp.Or(c.Grace, 30*time.Second)
	c.MaxGap = cmp.Or(c.MaxGap, 5*time.Second)
	return c
}

func (c Config) validate() error {
	if c.Grace < 0 || c.MaxGap < 0 {
		return fmt.Errorf("escalate: grace %s and gap %s: they must not be negative", c.Grace, c.MaxGap)
	}
	for name, steps := range c.Policies {
		if err := validateSteps(steps); err != nil {
			return fmt.Errorf("escalate: policy %q: %w", name, err)
		}
	}
	return nil
}

func validateSteps(steps []Step) error {
	if len(steps) == 0 || len(steps) > maxSteps {
		return fmt.Errorf("%d steps: write one to %d, or remove the policy", len(steps), maxSteps)
	}
	names := map[string]bool{}
	for i, s := range steps {
		switch {
		case s.Name == "" || names[s.Name]:
			return fmt.Errorf("step %d is named %q: give each step a name of its own", i+1, s.Name)
		case s.Channel == "":
			return fmt.Errorf("step %q has no channel: name a notification channel", s.Name)
		case s.After < time.Second:
			return fmt.Errorf("step %q fires after %s: write at least 1s, a client needs time to ack", s.Name, s.After)
		case i > 0 && s.After <= steps[i-1].After:
			return fmt.Errorf("step %q fires after %s, the step before it after %s: write later steps with longer times", s.Name, s.After, steps[i-1].After)
		}
		names[s.Name] = true
	}
	return nil
}
