package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// load is how much of a conversation is in memory.
type load uint8

const (
	cold     load = iota // nothing: the next event asks the store
	loading              // a JobLoad is under way, events wait
	looking              // loaded, but a JobLookup is under way, events wait
	loaded               // events are handled as they come
	awaiting             // notes that are loaded, but their host is not: events wait
)

// conversation is what a machine holds of one conversation.
//
// Invariants, checked by check:
//  1. loaded or looking: members[0] is the visitor, and agent is a member or -1. Notes have no visitor and no agent.
//  2. StateAssigned has an agent, StateQueued has none.
//  3. window holds every message of (floor, head], ascending, and no other.
//  4. No connection is attached twice. attached[i].member is a valid index or -1 (a supervisor, and whoever follows notes).
//  5. A member's marks do not pass head, and read <= delivered.
//  6. Nothing waits when it is loaded; when it is cold only what the server itself wants, until Tick asks again.
//  7. trouble is nil if there is nothing in it.
//
// It lies in a chunk, and thousands are idle at any time, so its size counts (TestConversationSize). The first member and the first attachment lie in
// it, for most have no other while nobody writes.
type conversation struct {
	id   frame.ID
	home *chunk // fixed

	group    *group // nil until it exists
	openedMS int64
	members  []member
	attached []attachment

	head    uint64   // the last sequence given
	window  *window  // nil: empty
	trouble *trouble // nil: none, as for almost every one at any time

	details *details // nil: none

	usedMS  uint32 // the lower half of the time of the last event, for eviction
	touched int32  // 1 + index in Machine.touched; 0: not in it
	load    load
	state   frame.ConversationState
	agent   int8  // index in members, -1: none
	place   uint8 // in home; fixed

	marksDirty bool // marks are newer than the stored record

	ownMember     [1]member     // where members begins
	ownAttachment [1]attachment // where attached begins
}

// empty makes c a cold conversation of which nothing is known.
func (c *conversation) empty(id frame.ID) {
	*c = conversation{id: id, home: c.home, place: c.place, agent: -1}
	c.members, c.attached = c.ownMember[:0], c.ownAttachment[:0]
}

// trouble is what a conversation holds while it is loaded, or after something was refused, failed or came again late.
type trouble struct {
	waiting  []parked  // events, until it is loaded
	barriers []barrier // connections whose last message was refused for now
	resync   bool      // a commit failed: after the load deliver what is durable and past released
	released uint64    // with resync: the last sequence whose delivery was released
	wideMS   int64     // the window may be wide until then; 0: it is not
}

// troubled returns c.trouble, made if need be.
func (c *conversation) troubled() *trouble {
	if c.trouble == nil {
		c.trouble = &trouble{}
	}
	return c.trouble
}

// settle drops c.trouble when nothing is left of it.
func (c *conversation) settle() {
	if t := c.trouble; t != nil && len(t.waiting)+len(t.barriers) == 0 && !t.resync && t.wideMS == 0 {
		c.trouble = nil
	}
}

// waiting returns the events that wait for a load or a lookup.
func (c *conversation) waiting() []parked {
	if c.trouble == nil {
		return nil
	}
	return c.trouble.waiting
}

// wait replaces the events that wait.
func (c *conversation) wait(events []parked) {
	switch {
	case len(events) > 0:
		c.troubled().waiting = events
	case c.trouble != nil:
		c.trouble.waiting = nil
		c.settle()
	}
}

// next takes the first event that waits.
func (c *conversation) next() parked {
	p := c.waiting()[0]
	c.wait(c.waiting()[1:])
	return p
}

// waitsFor tells whether an event of a connection waits.
func (c *conversation) waitsFor(conn frame.ConnID) bool {
	return slices.ContainsFunc(c.waiting(), func(p parked) bool { return p.from.Conn == conn })
}

// resync tells whether a failed commit has not been made up for yet.
func (c *conversation) resync() bool { return c.trouble != nil && c.trouble.resync }

// groupsKept bounds the table of groups; conversations of further ones have one each.
const groupsKept = 1024

// group is what the conversations of one have in common.
type group struct {
	name  string
	rules *GroupRules
}

// groupOf returns the group of this name, which all its conversations share.
func (m *Machine) groupOf(name string) *group {
	if shared, ok := m.groups[name]; ok {
		return shared
	}
	g := &group{name: name, rules: &m.cfg.DefaultGroup}
	if r, ok := m.cfg.Groups[name]; ok {
		g.rules = &r
	}
	if len(m.groups) < groupsKept {
		m.groups[name] = g
	}
	return g
}

// groupName is empty for a conversation that does not exist.
func (c *conversation) groupName() string {
	if c.group == nil {
		return ""
	}
	return c.group.name
}

// member is a participant, present or past.
type member struct {
	user      string
	delivered uint64
	read      uint64
	role      frame.Role
	announced bool // what the others were last told of its presence
}

// key names the member among all users.
func (mb *member) key() UserKey { return UserKey{Role: mb.role, Name: mb.user} }

// attachment is one connection that receives the conversation.
type attachment struct {
	conn     frame.ConnID
	after    uint64 // catching: delivered up to here
	member   int8   // index in members, -1: a supervisor who watches, or notes
	catching bool   // a replay is under way: no live deliveries until it has reached head
}

// parked is an event that waits for a load or a lookup; it owns its bytes.
type parked struct {
	kind    parkedKind
	from    Origin
	typ     frame.Type
	frame   []byte
	arrived int64
	leaves  bool // the connection is detached when this is handled

	decision *Decision // parkedDecision
	user     string    // parkedErase
}

type parkedKind uint8

const (
	parkedFrame parkedKind = iota
	parkedDecision
	parkedShow
	parkedErase
)

// waitingMax bounds what waits for one load; more is answered overloaded. A decision always finds room, since nobody would repeat it. A
// detach counts although it is refused: the connection's loop has forgotten the conversation, and will not tell it when the connection ends.
const waitingMax = 1024

// touched is a conversation that the batch concerns, and what it gathers for it. It lies with the machine, since most conversations are idle
// at any time.
type touched struct {
	conv  *conversation
	batch batchState
}

// batchState is what a conversation gathers within one batch.
type batchState struct {
	firstMessage int32 // index in machine.messages + 1, 0: none
	lastMessage  int32
	firstSeq     uint64
	putState     bool
	marks        uint64 // bit set of members whose marks rose
	left         uint64 // bit set of members who had it before
	presence     bool   // somebody was attached or detached
	moved        bool   // it went into another group
	markConn     frame.ConnID
}

// memberOf returns the index of a user, or -1.
func (c *conversation) memberOf(user string) int8 {
	for i := range c.members {
		if c.members[i].user == user {
			return int8(i)
		}
	}
	return -1
}

// membersMax bounds the participants over a conversation's life (marks are a bit set).
const membersMax = 64

// full tells whether nobody new can take part.
func (c *conversation) full() bool { return len(c.members) == membersMax }

// addMember returns the index of the user, who is a member from now on; -1 if there is no room.
func (c *conversation) addMember(user string, role frame.Role) int8 {
	if i := c.memberOf(user); i >= 0 {
		return i
	}
	if c.full() {
		return -1
	}
	c.members = append(c.members, member{user: user, role: role})
	return int8(len(c.members) - 1)
}

// systems is under how many names applications have sent.
func (c *conversation) systems() (n int) {
	for i := range c.members {
		if c.members[i].role == frame.RoleSystem {
			n++
		}
	}
	return n
}

// attachmentOf returns the index of a connection, or -1.
func (c *conversation) attachmentOf(conn frame.ConnID) int {
	return slices.IndexFunc(c.attached, func(a attachment) bool { return a.conn == conn })
}

// attach makes conn a live receiver; it replaces what the connection had before. A member's name becomes the identity's copy of it, so that it is
// kept once.
func (c *conversation) attach(a attachment, who *Identity) {
	if a.member >= 0 {
		c.members[a.member].user = who.User
	}
	if i := c.attachmentOf(a.conn); i >= 0 {
		c.attached[i] = a
		return
	}
	c.attached = append(c.attached, a)
}

// detach removes a connection and tells whether it was attached. The order of the others does not matter.
func (c *conversation) detach(conn frame.ConnID) bool {
	i := c.attachmentOf(conn)
	if i < 0 {
		return false
	}
	last := len(c.attached) - 1
	c.attached[i] = c.attached[last]
	c.attached = c.attached[:last]
	if last == 0 {
		c.attached = c.ownAttachment[:0] // an idle conversation holds no other array
	}
	return true
}

// mayTakePart tells whether the identity may send; its member index is valid then, but for notes.
func (c *conversation) mayTakePart(who *Identity) (int8, bool) {
	i := c.memberOf(who.User)
	if c.areNotes() {
		return i, true // see admits; -1: becomes a member by writing
	}
	if i < 0 || c.members[i].role != who.Role {
		return -1, false
	}
	return i, c.takesPart(i)
}

// takesPart tells whether a member does now: the visitor, the agent, and supervisors who have joined.
func (c *conversation) takesPart(i int8) bool {
	return i == 0 || i == c.agent || c.members[i].role == frame.RoleSupervisor
}

// mayFollow tells whether the identity may attach, page the history and close: who takes part, and supervisors of the group. The
// index is -1 for a supervisor.
func (c *conversation) mayFollow(who *Identity) (int8, bool) {
	if c.areNotes() {
		return -1, true // see admits
	}
	if i, ok := c.mayTakePart(who); ok {
		return i, true
	}
	return -1, who.supervises(c.groupName())
}
