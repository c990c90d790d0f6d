package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// users is who is connected, with which devices. Almost everybody has exactly one, so that one costs no more than its place in a map.
//
// Invariant: a user in more is in one as well; the device there is not in the list, and no list is empty.
type users struct {
	one  [frame.RoleSystem + 1]map[string]frame.ConnID // by role, because a key without it takes two thirds of the room
	more map[UserKey][]frame.ConnID                    // the other devices
}

func newUsers() users {
	u := users{more: make(map[UserKey][]frame.ConnID)}
	for role := range u.one {
		u.one[role] = make(map[string]frame.ConnID)
	}
	return u
}

// first returns one device of the user, if there is any.
func (u *users) first(key UserKey) (conn frame.ConnID, online bool) {
	conn, online = u.one[key.Role][key.Name]
	return conn, online
}

// online is the number of users.
func (u *users) online() (n int) {
	for _, m := range u.one {
		n += len(m)
	}
	return n
}

// has tells whether the user has this device.
func (u *users) has(key UserKey, conn frame.ConnID) bool {
	first, online := u.first(key)
	return online && first == conn || slices.Contains(u.more[key], conn)
}

// add gives the user a device, once.
func (u *users) add(key UserKey, conn frame.ConnID) {
	if _, online := u.first(key); !online {
		u.one[key.Role][key.Name] = conn
	} else if !u.has(key, conn) {
		u.more[key] = append(u.more[key], conn)
	}
}

// remove takes a device from the user; last tells that it was the last one.
func (u *users) remove(key UserKey, conn frame.ConnID) (last bool) {
	if !u.has(key, conn) {
		return false
	}
	more := u.more[key]
	switch {
	case len(more) == 0:
		delete(u.one[key.Role], key.Name)
		return true
	case u.one[key.Role][key.Name] == conn:
		u.one[key.Role][key.Name], more = more[0], more[1:]
	default:
		more = slices.DeleteFunc(more, func(c frame.ConnID) bool { return c == conn })
	}
	if u.more[key] = more; len(more) == 0 {
		delete(u.more, key)
	}
	return false
}

// each calls fn for the user's devices.
func (u *users) each(key UserKey, fn func(frame.ConnID)) {
	if conn, online := u.first(key); online {
		fn(conn)
	}
	for _, conn := range u.more[key] {
		fn(conn)
	}
}

// Online tells that a device of a user authenticated, or refreshed its token. With list, the user's open conversations are shown to it.
func (m *Machine) Online(from Origin, list bool) {
	key := from.Who.Key()
	m.users.add(key, from.Conn)
	if from.Who.Role == frame.RoleAgent {
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskAgentUp, Agent: from.Who.User, Profile: from.Who.Profile})
	}
	if list {
		m.out.Jobs = append(m.out.Jobs, Job{Op: JobMembers, Conn: from.Conn, User: key})
	}
}

// Knows tells whether a device is online.
func (m *Machine) Knows(from Origin) bool { return m.users.has(from.Who.Key(), from.Conn) }

// Offline tells that a device was closed.
func (m *Machine) Offline(from Origin) {
	key := from.Who.Key()
	if key.Role != frame.RoleVisitor {
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskUnwatch, For: Request{Conn: from.Conn}})
	}
	if m.users.remove(key, from.Conn) && key.Role == frame.RoleAgent {
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskAgentDown, Agent: key.Name})
	}
}

// Notify sends frames to all devices of a user but one.
func (m *Machine) Notify(key UserKey, frames []byte, except frame.ConnID) {
	if _, online := m.users.first(key); !online {
		return
	}
	off, from := len(m.out.Buf), len(m.out.Targets)
	m.out.Buf = append(m.out.Buf, frames...)
	m.users.each(key, func(d frame.ConnID) {
		if d != except {
			m.to(d, off)
		}
	})
	m.certain(from)
}

// status is what an agent says of itself, or a supervisor of an agent.
func (m *Machine) status(from Origin, f []byte, arrived int64) {
	var s frame.Status
	if err := s.Parse(f); err != nil {
		m.badFrame(parked{from: from, typ: frame.TypeStatus, frame: f}, err)
		return
	}
	agent := from.Who.User
	if len(s.User) > 0 {
		agent = string(s.User)
	}
	if from.Who.Role != frame.RoleAgent && (from.Who.Role == frame.RoleVisitor || len(s.User) == 0) || from.Who.Role == frame.RoleAgent && agent != from.Who.User {
		m.refuse(from.Conn, s.Ref, frame.ErrorForbidden, "agents say their own status, supervisors that of an agent whom they name")
		return
	}
	if s.Status > frame.AgentBusy {
		m.refuse(from.Conn, s.Ref, frame.ErrorBadRequest, "the status is 0 (offline), 1 (online), 2 (away) or 3 (busy)")
		return
	}
	capacity := int(min(s.Capacity, capacityMax))
	by := Request{Conn: from.Conn, Ref: s.Ref, Who: from.Who, Arrived: arrived}
	if from.Who.Role == frame.RoleAgent {
		m.Say(Said{Agent: agent, Status: s.Status, Capacity: capacity, For: by})
		return
	}
	// The desk knows whether the agent is of one of the groups.
	m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskSay, Agent: agent, Status: s.Status, Capacity: capacity, Groups: from.Who.Groups(), For: by})
}

// capacityMax is the most that may be said.
const capacityMax = 10_000

// watch asks the desk for a queue.
func (m *Machine) watch(from Origin, f []byte, arrived int64) {
	var w frame.Watch
	if err := w.Parse(f); err != nil {
		m.badFrame(parked{from: from, typ: frame.TypeWatch, frame: f}, err)
		return
	}
	if !from.Who.oversees(string(w.Group)) {
		m.refuse(from.Conn, w.Ref, frame.ErrorForbidden, "only agents and supervisors of the group see its queue")
		return
	}
	const limitMax = 200
	m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskWatch, Group: string(w.Group), Limit: int(min(w.Limit, limitMax)),
		For: Request{Conn: from.Conn, Ref: w.Ref, Who: from.Who, Arrived: arrived}})
}
