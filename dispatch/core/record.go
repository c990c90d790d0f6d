package core

import (
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/switchyard-im/switchyard/dispatch/desk"
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
	Details  *recordDetails
}

// recordDetails is the stored form of details.
type recordDetails struct {
	//lint:ignore U1000 the msgpack package reads the tag
	_msgpack  struct{} `msgpack:",as_array"`
	Life      uint32
	Priority  uint8
	QueuedMS  int64
	Front     bool
	ClosedMS  int64
	Waits     desk.Waits
	SinceMS   int64
	Warned    bool
	Held      bool
	Stars     uint8
	Language  string
	Required  []string
	Preferred []string
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
	r := record{Version: recordVersion, State: c.state, Group: c.groupName(), OpenedMS: c.openedMS, Agent: c.agent}
	r.Members = make([]recordMember, len(c.members))
	for i, m := range c.members {
		r.Members[i] = recordMember{User: m.user, Role: m.role, Delivered: m.delivered, Read: m.read}
	}
	if d := c.details; d != nil {
		r.Details = &recordDetails{
			Life: d.life, Priority: d.priority, QueuedMS: d.queuedMS, Front: d.front, ClosedMS: d.closedMS, Waits: d.waits, SinceMS: d.sinceMS,
			Warned: d.warned, Held: d.held, Stars: d.stars, Language: d.need.Language, Required: d.need.Required, Preferred: d.need.Preferred,
		}
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
	case stateNotes:
		ok = ok && r.Agent < 0
	default:
		return false
	}
	return ok && !slices.ContainsFunc(r.Members, func(m recordMember) bool {
		return m.Read > m.Delivered || m.Role < frame.RoleVisitor || m.Role > frame.RoleSystem
	})
}

// restore fills the durable part of c. The name likely is the one of a member, probably; it spares a copy.
func (r *recordReader) restore(c *conversation, data []byte, likely string) error {
	rec, err := r.read(data, likely)
	if err != nil {
		return fmt.Errorf("core: state record of conversation %s: %w", c.id, err)
	}
	if !rec.valid() || c.areNotes() != (rec.State == stateNotes) {
		return fmt.Errorf("core: state record of conversation %s has version %d, state %d, %d members, agent %d: written by another version of Switchyard?",
			c.id, rec.Version, rec.State, len(rec.Members), rec.Agent)
	}
	if r.group == nil || r.group.name != rec.Group {
		r.group = &group{name: rec.Group}
	}
	c.state, c.group, c.openedMS, c.agent = rec.State, r.group, rec.OpenedMS, rec.Agent
	c.details = rec.Details.details()
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

// details is what the record has of them, nil if it has none.
func (d *recordDetails) details() *details {
	if d == nil {
		return nil
	}
	return &details{
		life: d.Life, priority: d.Priority, queuedMS: d.QueuedMS, front: d.Front, closedMS: d.ClosedMS, waits: d.Waits, sinceMS: d.SinceMS,
		warned: d.Warned, held: d.Held, stars: d.Stars, need: desk.Need{Language: d.Language, Required: d.Required, Preferred: d.Preferred},
	}
}

// OpenDecoder reads state records of open conversations for the desk when the server starts. Not safe for concurrent use.
type OpenDecoder struct{ records *recordReader }

// NewOpenDecoder makes a decoder that has read nothing.
func NewOpenDecoder() *OpenDecoder { return &OpenDecoder{newRecordReader()} }

// Decode reads the state record of an open conversation. Records of the same group that follow one another share its name. ok is false if it is none of the
// desk's.
func (d *OpenDecoder) Decode(conv frame.ID, data []byte) (r desk.Request, s desk.Served, ok bool, err error) {
	c := conversation{id: conv}
	if err := d.records.restore(&c, data, ""); err != nil {
		return r, s, false, err
	}
	detail := c.detail()
	r = desk.Request{
		Conv: conv, Group: c.groupName(), Visitor: c.members[0].user, AtMS: c.waitsSince(),
		Life: detail.life, Priority: int(detail.priority), Need: detail.need,
	}
	s = desk.Served{Front: detail.front, Waits: detail.waits, SinceMS: detail.sinceMS, Warned: detail.warned}
	if c.agent >= 0 {
		s.Agent = c.members[c.agent].user
	}
	return r, s, !c.takenOver(), nil
}

// event is the body of a message of KindEvent; PROTOCOL.md tells which has what.
type event struct {
	Event  string `msgpack:"event"`
	Group  string `msgpack:"group,omitempty"`
	Agent  string `msgpack:"agent,omitempty"`
	From   string `msgpack:"from,omitempty"`
	Reason string `msgpack:"reason,omitempty"`
	By     string `msgpack:"by,omitempty"`
	Text   string `msgpack:"text,omitempty"`

	OpensMS int64 `msgpack:"opens_ms,omitempty"`

	Rating  uint8  `msgpack:"rating,omitempty"`
	Comment string `msgpack:"comment,omitempty"`

	Priority   int               `msgpack:"priority,omitempty"`
	Language   string            `msgpack:"language,omitempty"`
	Required   []string          `msgpack:"required,omitempty"`
	Preferred  []string          `msgpack:"preferred,omitempty"`
	Subject    string            `msgpack:"subject,omitempty"`
	Attributes map[string]string `msgpack:"attributes,omitempty"`
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
func (a *Access) Group() string { return a.conv.groupName() }

// Shown is a conversation as its record has it.
type Shown struct {
	State    frame.ConversationState
	Group    string
	Visitor  string
	Agent    string // empty: nobody
	OpenedMS int64
	QueuedMS int64 // since when it waits, or waited last
	ClosedMS int64 // 0: it was never closed
	Priority int
	Language string
	Rating   int // 0: none
}

// Show returns what the record says.
func (a *Access) Show() Shown {
	c, d := &a.conv, a.conv.detail()
	s := Shown{
		State: c.shown(), Group: c.groupName(), Visitor: c.members[0].user, OpenedMS: c.openedMS, QueuedMS: c.waitsSince(), ClosedMS: d.closedMS,
		Priority: int(d.priority), Language: d.need.Language, Rating: int(d.stars),
	}
	if c.agent >= 0 {
		s.Agent = c.members[c.agent].user
	}
	return s
}

// MayRead tells whether the identity may read the conversation, by the rule of attach and history.
func (a *Access) MayRead(who *Identity) bool {
	if a.conv.areNotes() {
		return false // their host's record tells: MayReadNotes
	}
	_, ok := a.conv.mayFollow(who)
	return ok
}

// MayReadNotes tells whether the identity may read the notes of the conversation.
func (a *Access) MayReadNotes(who *Identity) bool { return who.staffOf(a.conv.groupName()) }
