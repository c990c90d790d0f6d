package core

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/switchyard-im/switchyard/frame"
)

// Memo is a small record that outlives a restart and belongs to no conversation.
type Memo struct {
	Key   string
	Value []byte // nil: it is removed
}

// What the keys of memos begin with.
const (
	StatusMemos   = "status/"   // and the agent's name: the status that a person set, if that is not online
	CapacityMemos = "capacity/" // and the agent's name: the capacity that a person set
)

// Said is what a person said of an agent.
type Said struct {
	Agent    string
	Status   frame.AgentStatus
	Capacity int     // 0 leaves what was said last
	For      Request // who said it
}

// Say keeps what was said of an agent, and tells the desk and whoever said it once that is durable. It belongs to the machine of the agent, so that of two who
// say something the last one is right after a restart, too.
func (m *Machine) Say(s Said) {
	if !m.available {
		m.refuseUnavailable(s.For.Conn, s.For.Ref)
		return
	}
	status := Memo{Key: StatusMemos + s.Agent}
	if s.Status != frame.AgentOnline {
		status.Value = []byte{byte(s.Status)}
	}
	m.out.Memos = append(m.out.Memos, status)
	if s.Capacity > 0 {
		m.out.Memos = append(m.out.Memos, Memo{CapacityMemos + s.Agent, binary.AppendUvarint(nil, uint64(s.Capacity))})
	}
	m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskStatus, Agent: s.Agent, Status: s.Status, Capacity: s.Capacity})
	if s.For.Who.Role == frame.RoleSupervisor {
		m.out.Audit = append(m.out.Audit, Audit{Action: AuditStatus, By: s.For.Who.User, Agent: s.Agent, Status: s.Status, Capacity: s.Capacity})
	}
	m.ack(s.For.Conn, s.For.Ref, 0, uint64(m.now), s.For.Arrived)
}

// DecodeSaid reads a status or a capacity. Of an agent who has both memos each gives its part; of a capacity the status is online.
func DecodeSaid(key string, value []byte) (s Said, err error) {
	agent, isStatus := strings.CutPrefix(key, StatusMemos)
	if isStatus && len(value) == 1 && frame.AgentStatus(value[0]) <= frame.AgentBusy {
		return Said{Agent: agent, Status: frame.AgentStatus(value[0])}, nil
	}
	agent, isCapacity := strings.CutPrefix(key, CapacityMemos)
	if n, used := binary.Uvarint(value); isCapacity && used == len(value) && n > 0 && n <= capacityMax {
		return Said{Agent: agent, Status: frame.AgentOnline, Capacity: int(n)}, nil
	}
	return Said{}, fmt.Errorf("core: the memo %q holds %x: written by another version of Switchyard?", key, value)
}
