package core

import "github.com/switchyard-im/switchyard/frame"

// Audit is something that a supervisor did about a conversation of others, or about an agent.
type Audit struct {
	Action AuditAction
	By     string
	Conv   frame.ID // or its notes
	Group  string   // that the conversation is in now
	Agent  string   // who has it now; empty: nobody

	Status   frame.AgentStatus // AuditStatus: of the agent
	Capacity int
}

// AuditAction is what was done.
type AuditAction string

// What supervisors do.
const (
	AuditWatch    AuditAction = "watch"     // follows it without taking part
	AuditRead     AuditAction = "read"      // asked for a page of its history
	AuditJoin     AuditAction = "join"      // takes part
	AuditNote     AuditAction = "note"      // wrote one
	AuditTakeOver AuditAction = "take_over" // has it
	AuditTransfer AuditAction = "transfer"  // gave it to an agent or into a queue
	AuditClose    AuditAction = "close"
	AuditReopen   AuditAction = "reopen"
	AuditStatus   AuditAction = "status" // said the status of an agent; about no conversation
)

// audit notes what was done, if a supervisor did it. It is told when the batch is durable.
func (m *Machine) audit(action AuditAction, c *conversation, who *Identity) {
	if who.Role != frame.RoleSupervisor {
		return
	}
	a := Audit{Action: action, By: who.User, Conv: c.id}
	if c.areNotes() {
		c = m.convs[c.id.Host()] // loaded, or nobody would have been admitted
	}
	a.Group = c.groupName()
	if c.agent >= 0 {
		a.Agent = c.members[c.agent].user
	}
	m.out.Audit = append(m.out.Audit, a)
}
