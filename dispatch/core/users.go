package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// user is who is connected, with which devices. Invariant: a user in the map has at least one device.
type user struct {
	devices []frame.ConnID
}

// Online tells that a device of a user authenticated, or refreshed its token. With list, the user's open conversations are shown to it.
func (m *Machine) Online(from Origin, list bool) {
	key := from.Who.Key()
	u := m.users[key]
	if u == nil {
		u = &user{}
		m.users[key] = u
	}
	if !slices.Contains(u.devices, from.Conn) {
		u.devices = append(u.devices, from.Conn)
	}
	if from.Who.Role == frame.RoleAgent {
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskAgentUp, Agent: from.Who.User, Groups: from.Who.Groups, Capacity: from.Who.Capacity})
	}
	if list {
		m.out.Jobs = append(m.out.Jobs, Job{Op: JobMembers, Conn: from.Conn, User: key})
	}
}

// Knows tells whether a device is online.
func (m *Machine) Knows(from Origin) bool {
	u := m.users[from.Who.Key()]
	return u != nil && slices.Contains(u.devices, from.Conn)
}

// Offline tells that a device was closed.
func (m *Machine) Offline(from Origin) {
	key := from.Who.Key()
	u := m.users[key]
	if u == nil {
		return
	}
	u.devices = slices.DeleteFunc(u.devices, func(c frame.ConnID) bool { return c == from.Conn })
	if len(u.devices) > 0 {
		return
	}
	delete(m.users, key)
	if key.Role == frame.RoleAgent {
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskAgentDown, Agent: key.Name})
	}
}

// Notify sends frames to all devices of a user but one.
func (m *Machine) Notify(key UserKey, frames []byte, except frame.ConnID) {
	u := m.users[key]
	if u == nil {
		return
	}
	off, from := len(m.out.Buf), len(m.out.Targets)
	m.out.Buf = append(m.out.Buf, frames...)
	for _, d := range u.devices {
		if d != except {
			m.to(d, off)
		}
	}
	m.certain(from)
}

// status tells the desk whether an agent takes conversations.
func (m *Machine) status(from Origin, f []byte, arrived int64) {
	var s frame.Status
	if err := s.Parse(f); err != nil {
		m.badFrame(parked{from: from, typ: frame.TypeStatus, frame: f}, err)
		return
	}
	if from.Who.Role != frame.RoleAgent {
		m.refuse(from.Conn, s.Ref, frame.ErrorForbidden, "only agents have a status")
		return
	}
	if s.Status > frame.AgentAway {
		m.refuse(from.Conn, s.Ref, frame.ErrorBadRequest, "the status is 0 (offline), 1 (online) or 2 (away)")
		return
	}
	const capacityMax = 10_000
	capacity := int(min(s.Capacity, capacityMax))
	m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskStatus, Agent: from.Who.User, Status: s.Status, Capacity: capacity})
	m.ack(from.Conn, s.Ref, 0, uint64(m.now), arrived)
}
