package core

import (
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// GroupRules is what a machine has to know of a group.
type GroupRules struct {
	Timed    bool                   // it has timers, so the desk is told who writes, and the record says who is waited for
	Sticky   bool                   // who served a visitor last is remembered
	ReopenMS int64                  // a closed conversation may go on within this time; 0: never
	Texts    map[desk.Reason]string // what visitors are told, in the event closed for a reason, and in queued while the group is closed
}

// details is what a conversation has beside its group and its agent once anything happened to it but being opened and assigned; most have none while
// nobody waits for them, so it hangs off a pointer.
type details struct {
	life     uint32     // how often it went on after it was closed, or came back to the desk: decisions about an earlier life do not count
	priority uint8      //
	need     desk.Need  // what was asked for at open
	queuedMS int64      // since when it waits, if that is not since it was opened
	front    bool       // it waits before others
	closedMS int64      // when it was closed last
	waits    desk.Waits // whom an assigned conversation waits for, in a group with timers
	sinceMS  int64      // since when
	warned   bool       // who is waited for was warned
	held     bool       // its timers stand still
	stars    uint8      // the visitor's last rating; 0: none
}

// detailed returns c.details, made if need be.
func (c *conversation) detailed() *details {
	if c.details == nil {
		c.details = &details{}
	}
	return c.details
}

// detail returns the details, which are empty if there are none.
func (c *conversation) detail() details {
	if c.details == nil {
		return details{}
	}
	return *c.details
}

// shown is the state as the wire has it.
func (c *conversation) shown() frame.ConversationState {
	if c.state == frame.StateAssigned && c.details != nil && c.details.held {
		return frame.StateHeld
	}
	return c.state
}

// await notes whom an assigned conversation waits for from now on. The record says so, or a restart would begin the timers anew.
func (m *Machine) await(c *conversation, w desk.Waits) {
	d := c.detailed()
	d.waits, d.sinceMS, d.warned, d.held = w, m.now, false, false
	m.touch(c).putState = true
}

// wrote ends a hold, and tells the desk who wrote, where somebody is waited for. An agent's row of messages within a second counts once.
func (m *Machine) wrote(c *conversation, sender int8) {
	timed := c.state == frame.StateAssigned && c.members[c.agent].role == frame.RoleAgent && c.group.rules.Timed
	if !timed && c.shown() != frame.StateHeld {
		return
	}
	d := c.detail()
	byAgent := sender == c.agent
	w := d.waits.After(byAgent)
	if sender != 0 && !byAgent || w == d.waits && !d.held && (!byAgent || m.now-d.sinceMS < 1000) {
		return
	}
	m.await(c, w)
	if timed {
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskWrote, Conv: c.id, Agent: c.members[c.agent].user, ByAgent: byAgent})
	}
}

// noNeed is what most ask for. Never written.
var noNeed desk.Need

// opened is what the desk is told of a conversation that waits.
func (c *conversation) opened() DeskEvent {
	d, need := c.detail(), &noNeed
	if c.details != nil {
		need = &c.details.need // it never changes
	}
	return DeskEvent{Kind: DeskOpened, Conv: c.id, Group: c.groupName(), Visitor: c.members[0].user, AtMS: c.waitsSince(), Life: d.life, Priority: int(d.priority), Need: need}
}

// takenOver tells whether a supervisor has it, so that it is none of the desk's.
func (c *conversation) takenOver() bool {
	return c.agent >= 0 && c.members[c.agent].role == frame.RoleSupervisor
}

// waitsFrom notes since when it waits by the desk's clock; 0: as it was.
func (c *conversation) waitsFrom(atMS int64) {
	if atMS != 0 && atMS != c.waitsSince() {
		c.detailed().queuedMS = atMS
	}
}

// waitsSince is when it came into its queue.
func (c *conversation) waitsSince() int64 {
	if c.details != nil && c.details.queuedMS != 0 {
		return c.details.queuedMS
	}
	return c.openedMS
}
