package core

import (
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// record is the stored form of a conversation's state; fields are only ever added at the end.
type record struct {
	//lint:ignore U1000 the msgpack package reads the tag
	_msgpack struct{} `msgpack:",as_array"`
	Version  int
	State    frame.ConversationState
	Group    string
	OpenedMS int64
	Agent    int8
	Members  []recordMember
}

type recordMember struct {
	//lint:ignore U1000 the msgpack package reads the tag
	_msgpack  struct{} `msgpack:",as_array"`
	User      string
	Role      frame.Role
	Delivered uint64
	Read      uint64
}

const recordVersion = 1

// appendRecord encodes the durable part of c.
func appendRecord(dst []byte, c *conversation) []byte {
	r := record{Version: recordVersion, State: c.state, Group: c.group, OpenedMS: c.openedMS, Agent: c.agent}
	r.Members = make([]recordMember, len(c.members))
	for i, m := range c.members {
		r.Members[i] = recordMember{User: m.user, Role: m.role, Delivered: m.delivered, Read: m.read}
	}
	b, err := msgpack.Marshal(&r)
	if err != nil {
		panic("BUG: core: a conversation record does not encode: " + err.Error())
	}
	return append(dst, b...)
}

// valid tells whether a conversation made of the record keeps its invariants 1, 2 and, but for the head, 5.
func (r *record) valid() bool {
	n := len(r.Members)
	ok := r.Version == recordVersion && n > 0 && r.Agent >= -1 && int(r.Agent) < n
	switch r.State {
	case frame.StateQueued:
		ok = ok && r.Agent < 0
	case frame.StateAssigned:
		ok = ok && r.Agent >= 0
	case frame.StateClosed:
	default:
		return false
	}
	return ok && !slices.ContainsFunc(r.Members, func(m recordMember) bool {
		return m.Read > m.Delivered || m.Role < frame.RoleVisitor || m.Role > frame.RoleSupervisor
	})
}

// restore fills the durable part of c. The name likely is the one of a member, probably; it spares a copy.
func (r *recordReader) restore(c *conversation, data []byte, likely string) error {
	rec, err := r.read(data, likely)
	if err != nil {
		return fmt.Errorf("core: state record of conversation %s: %w", c.id, err)
	}
	if !rec.valid() {
		return fmt.Errorf("core: state record of conversation %s has version %d, state %d, %d members, agent %d: written by another version of Switchyard?",
			c.id, rec.Version, rec.State, len(rec.Members), rec.Agent)
	}
	c.state, c.group, c.openedMS, c.agent = rec.State, rec.Group, rec.OpenedMS, rec.Agent
	var announced map[string]bool // after a failed commit, what the others were told still holds
	for _, m := range c.members {
		if announced == nil {
			announced = make(map[string]bool, len(c.members))
		}
		announced[m.user] = m.announced
	}
	c.members = c.members[:0]
	for _, m := range rec.Members {
		c.members = append(c.members, member{user: m.User, role: m.Role, delivered: m.Delivered, read: m.Read, announced: announced[m.User]})
	}
	return nil
}

// OpenRecord is what the desk needs of a conversation when the server starts.
type OpenRecord struct {
	Group    string
	Visitor  string
	OpenedMS int64
	Agent    string // empty: queued
}

// OpenDecoder reads state records for the desk. Not safe for concurrent use.
type OpenDecoder struct{ records *recordReader }

// NewOpenDecoder makes a decoder that has read nothing.
func NewOpenDecoder() *OpenDecoder { return &OpenDecoder{newRecordReader()} }

// Decode reads a state record. Records of the same group that follow one another share its name.
func (d *OpenDecoder) Decode(conv frame.ID, data []byte) (OpenRecord, error) {
	c := conversation{id: conv}
	if err := d.records.restore(&c, data, ""); err != nil {
		return OpenRecord{}, err
	}
	o := OpenRecord{Group: c.group, Visitor: c.members[0].user, OpenedMS: c.openedMS}
	if c.agent >= 0 {
		o.Agent = c.members[c.agent].user
	}
	return o, nil
}

// event is the body of a message of KindEvent.
type event struct {
	Event  string `msgpack:"event"`            // opened, assigned, closed
	Group  string `msgpack:"group,omitempty"`  // opened
	Agent  string `msgpack:"agent,omitempty"`  // assigned
	Reason string `msgpack:"reason,omitempty"` // assigned
	By     string `msgpack:"by,omitempty"`     // opened, closed
}

// encode returns the body as one msgpack value.
func (e event) encode() []byte {
	b, err := msgpack.Marshal(&e)
	if err != nil {
		panic("BUG: core: an event does not encode: " + err.Error())
	}
	return b
}

// Access tells who may read a conversation, for those who read the store without a machine.
type Access struct {
	Head uint64 // the last sequence; 0: none
	conv conversation
}

// DecodeAccess reads a state record, and the last message of the conversation (a row of message frames, the last one counts).
func DecodeAccess(conv frame.ID, state, tail []byte) (*Access, error) {
	a := &Access{conv: conversation{id: conv}}
	err := newRecordReader().restore(&a.conv, state, "")
	if err == nil {
		a.Head, err = lastSequence(tail)
	}
	return a, err
}

// Group is the group that the conversation belongs to.
func (a *Access) Group() string { return a.conv.group }

// MayRead tells whether the identity may read the conversation, by the rule of attach and history.
func (a *Access) MayRead(who *Identity) bool {
	_, ok := a.conv.mayFollow(who)
	return ok
}
