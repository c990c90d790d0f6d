package dispatch

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/dispatch/hours"
)

// GroupConfig is how a group works. The zero value is the least active agent, a queue as long as need be, no timers, and always open.
type GroupConfig struct {
	Strategy        desk.Strategy          // default least_active
	MaxQueue        int                    // conversations that wait; beyond them the fallback gets who comes, else it is refused; 0: any number
	Fallback        string                 // group that gets what this one has no room for, or is closed for; empty: none
	Age             time.Duration          // each step of priority counts as having waited this much longer; default 1m
	Sticky          time.Duration          // a visitor who comes back within this time gets its last agent, if that one is free; 0: anybody
	Avoid           time.Duration          // an agent does not get back within it what was taken from it; default 1m
	RequireLanguage bool                   // only agents who speak the visitor's language; else they are merely preferred
	FirstReply      Timer                  // from the assignment on, until the agent writes
	IdleAgent       Timer                  // from the visitor's first message without an answer on
	IdleVisitor     Timer                  // from the agent's last message on, until the visitor writes
	Reopen          time.Duration          // a closed conversation may go on within it; 0: never
	Hours           *hours.Hours           // when it is open; nil: always
	Outside         desk.Outside           // what becomes of who comes when it is not; default: the fallback if there is one, else it is refused
	Texts           map[desk.Reason]string // what visitors are told when a conversation is closed for a reason, or waits for the group to open
}

// Timer is what happens when nobody writes for a time, in whole seconds. Zero times are off.
type Timer struct {
	Warn  time.Duration // after it there is a warning
	After time.Duration // after it, counted from the same moment, Then
	Then  desk.Action   // default: requeue when the agent is late, close when the visitor is
}

// maxText bounds a text for visitors.
const maxText = 1000 // bytes

// toldReasons are those for which there may be a text.
var toldReasons = []desk.Reason{desk.QueueFull, desk.OutOfHours, desk.NoFirstReply, desk.AgentIdle, desk.VisitorIdle}

// desk returns what the desk is told.
func (c *Config) desk() desk.Config {
	d := desk.Config{
		DefaultCapacity: c.DefaultCapacity, OfflineGraceMS: c.OfflineGrace.Milliseconds(),
		Default: c.DefaultGroup.desk(), Groups: make(map[string]desk.GroupConfig, len(c.Groups)),
	}
	for name, g := range c.Groups {
		d.Groups[name] = g.desk()
	}
	return d
}

func (g GroupConfig) desk() desk.GroupConfig {
	d := desk.GroupConfig{
		Strategy: g.Strategy, MaxQueue: g.MaxQueue, Fallback: g.Fallback,
		AgeMS: g.Age.Milliseconds(), StickyMS: g.Sticky.Milliseconds(), AvoidMS: g.Avoid.Milliseconds(),
		FirstReply: g.FirstReply.desk(), IdleAgent: g.IdleAgent.desk(), IdleVisitor: g.IdleVisitor.desk(),
		Outside: g.Outside, RequireLanguage: g.RequireLanguage,
	}
	if g.Hours != nil {
		d.Hours = g.Hours
	}
	return d
}

func (t Timer) desk() desk.Timer {
	return desk.Timer{WarnMS: t.Warn.Milliseconds(), AfterMS: t.After.Milliseconds(), Then: t.Then}
}

// rules returns what the machines are told.
func (g GroupConfig) rules() core.GroupRules {
	timed := g.FirstReply.on() || g.IdleAgent.on() || g.IdleVisitor.on()
	return core.GroupRules{Timed: timed, Sticky: g.Sticky > 0, ReopenMS: g.Reopen.Milliseconds(), Texts: g.Texts}
}

func (t Timer) on() bool { return t.Warn > 0 || t.After > 0 }

func (c *Config) validateGroups() error {
	if err := c.DefaultGroup.validate("default"); err != nil {
		return err
	}
	for name, g := range c.Groups {
		if err := g.validate(name); err != nil {
			return err
		}
	}
	return c.desk().Validate()
}

// validate checks what the desk does not know.
func (g GroupConfig) validate(name string) error {
	for which, t := range map[string]Timer{"first reply": g.FirstReply, "idle agent": g.IdleAgent, "idle visitor": g.IdleVisitor} {
		if t.Warn%time.Second != 0 || t.After%time.Second != 0 {
			return fmt.Errorf("dispatch: group %s: timer of the %s: timers count in whole seconds; write them so", name, which)
		}
	}
	if g.Reopen < 0 {
		return fmt.Errorf("dispatch: group %s: the time to open again may not be negative; 0 is never", name)
	}
	for why, text := range g.Texts {
		if !slices.Contains(toldReasons, why) {
			return fmt.Errorf("dispatch: group %s: no text is told for %q; there are texts for %v", name, why, toldReasons)
		}
		if len(text) > maxText {
			return fmt.Errorf("dispatch: group %s: the text for %s has %d bytes; at most %d", name, why, len(text), maxText)
		}
	}
	return nil
}
