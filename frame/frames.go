package frame

// Type is the first element of every frame.
type Type uint8

// The frame types, in three groups: the connection (0x01-0x0f), conversations (0x10-0x2f) and the desk (0x30-0x4f).
// C is the client, S the server. PROTOCOL.md has the fields, byte by byte.
const (
	TypeHeartbeat    Type = 0x01 // C->S [t, client_ms]; S->C [t, client_ms, server_ms]
	TypeHello        Type = 0x02 // C->S
	TypeWelcome      Type = 0x03 // S->C
	TypeError        Type = 0x04 // S->C
	TypeDrain        Type = 0x05 // S->C
	TypeOpen         Type = 0x10 // C->S
	TypeConversation Type = 0x11 // S->C, the answer to open, and a notice
	TypeAttach       Type = 0x12 // C->S
	TypeResume       Type = 0x13 // C->S
	TypeResumed      Type = 0x14 // S->C
	TypeDetach       Type = 0x15 // C->S
	TypeClose        Type = 0x16 // C->S
	TypeReopen       Type = 0x17 // C->S
	TypeJoin         Type = 0x18 // C->S
	TypeSend         Type = 0x20 // C->S
	TypeAck          Type = 0x21 // S->C
	TypeMessage      Type = 0x22 // S->C, and the stored form
	TypeDelivered    Type = 0x23 // C->S
	TypeRead         Type = 0x24 // C->S
	TypeReceipt      Type = 0x25 // S->C
	TypeSignal       Type = 0x26 // C->S
	TypeSignaled     Type = 0x27 // S->C
	TypeHistory      Type = 0x28 // C->S
	TypePage         Type = 0x29 // S->C
	TypePresence     Type = 0x30 // S->C
	TypeStatus       Type = 0x31 // both
	TypeClaim        Type = 0x32 // C->S
	TypeTransfer     Type = 0x33 // C->S
	TypeHold         Type = 0x34 // C->S
	TypeRate         Type = 0x35 // C->S
	TypeWatch        Type = 0x36 // C->S
	TypeQueue        Type = 0x37 // S->C, the answer to watch
	TypeQueueChange  Type = 0x38 // S->C
	TypePosition     Type = 0x39 // S->C
)

// In every struct below, []byte fields borrow from the bytes that were parsed and expire with them. A field that is a
// Go string would cost an allocation, so names and texts are []byte too. Times are milliseconds since the Unix epoch.
// A Ref is the client's number for a request; the answer repeats it. Ref 0 asks for no answer but errors.

// Heartbeat is [0x01, client_ms] from the client and [0x01, client_ms, server_ms] from the server.
type Heartbeat struct {
	ClientMS uint64
	ServerMS uint64 // zero in the client's
}

// Hello is [0x02, ref, token, agent, flags]: authenticates the connection, or refreshes its token. An empty token means
// the bearer token of the upgrade request. Agent names the client software. Flag 1 asks for a Conversation frame for
// each open conversation of the user.
type Hello struct {
	Ref   uint64
	Token []byte
	Agent []byte
	Flags uint64
}

// HelloList in Hello.Flags asks for the user's open conversations.
const HelloList = 1

// Welcome is [0x03, ref, session, user, role, server_ms, expires_ms, heartbeat_ms, max_message, retry_min_ms, retry_max_ms, retry_jitter_ms].
type Welcome struct {
	Ref           uint64
	Session       ID     // names the connection in the server's logs (trace_id)
	User          []byte // the token's sub
	Role          []byte // visitor, agent or supervisor
	ServerMS      uint64
	ExpiresMS     uint64 // when the token expires
	HeartbeatMS   uint64 // the server pings after this much silence
	MaxMessage    uint64 // bytes of one WebSocket message that the server accepts
	RetryMinMS    uint64 // reconnect policy: first wait after the immediate try
	RetryMaxMS    uint64
	RetryJitterMS uint64
}

// Error is [0x04, ref, code, text, retry_ms]. Code is one of the table in codes; retry_ms is 0 where a retry is no use.
type Error struct {
	Ref     uint64
	Code    uint64
	Text    []byte
	RetryMS uint64
}

// Drain is [0x05, delay_ms, window_ms, target]: the server is going away; reconnect after delay plus a random part of window,
// to target if it is not empty.
type Drain struct {
	DelayMS  uint64
	WindowMS uint64
	Target   []byte
}

// Open is [0x10, ref, key, group, details]. The key is the client's own id for this conversation, so that a retry opens no second one:
// the conversation's id is derived from (user, key). Details may be left out: a map with what the conversation needs and is about.
type Open struct {
	Ref     uint64
	Key     ID
	Group   []byte
	Details []byte // one msgpack value; empty: left out
}

// ConversationState is the life of a conversation as the wire shows it.
type ConversationState uint8

// The states of a conversation.
const (
	StateQueued   ConversationState = 1
	StateAssigned ConversationState = 2
	StateClosed   ConversationState = 3
	StateHeld     ConversationState = 4 // assigned, and its timers stand still
)

// Conversation is [0x11, ref, conv, state, group, visitor, agent, head]: the answer to Open (ref), and without ref a notice to
// each device of a user who became part of a conversation. It attaches nothing: the device that wants the messages resumes.
// The device that sent Open is attached.
type Conversation struct {
	Ref     uint64
	Conv    ID
	State   ConversationState
	Group   []byte
	Visitor []byte
	Agent   []byte // empty while queued
	Head    uint64 // the sequence of the last message, 0 if none
}

// Attach is [0x12, ref, conv]: from now on deliver this conversation to this connection; answered by Resumed with count 0.
type Attach struct {
	Ref  uint64
	Conv ID
}

// Resume is [0x13, ref, conv, after]: attach, and first replay every message after that sequence.
type Resume struct {
	Ref   uint64
	Conv  ID
	After uint64
}

// Resumed is [0x14, ref, conv, recovered, after, head, count]: count messages follow, from after (exclusive) to head, before any
// newer one. If recovered is false, none follow: reload the history down from head.
type Resumed struct {
	Ref       uint64
	Conv      ID
	Recovered bool
	After     uint64
	Head      uint64
	Count     uint64
}

// Detach is [0x15, ref, conv]. Answered by Ack with the sequence at which delivery ended, 0 if it was not attached.
type Detach struct {
	Ref  uint64
	Conv ID
}

// Close is [0x16, ref, conv]: ends the conversation; answered by Ack with the sequence of the closing event.
type Close struct {
	Ref  uint64
	Conv ID
}

// Reopen is [0x17, ref, conv]: the conversation goes on after it was closed; answered by Ack with the sequence of the event.
type Reopen struct {
	Ref  uint64
	Conv ID
}

// Join is [0x18, ref, conv]: a supervisor takes part from now on; answered by Ack with the sequence of the event.
type Join struct {
	Ref  uint64
	Conv ID
}

// Send is [0x20, ref, conv, level, id, base, body]. Level 2: the message is stored once for (conversation, sender, id), however
// often it is sent. Base is the last sequence of the conversation that the client knew when it first sent this id; the server
// looks for an earlier copy after it, so it must not grow on a retry. Level 1: id is nil, and a retry may store it twice.
type Send struct {
	Ref   uint64
	Conv  ID
	Level uint8
	ID    ID     // zero: none
	Base  uint64 // 0: not known
	Body  []byte // one msgpack value of any kind, as it stands in the frame
}

// Ack is [0x21, ref, seq, time_ms]: the request ref is durable; the message has this sequence. A retry gets the first answer.
type Ack struct {
	Ref    uint64
	Seq    uint64
	TimeMS uint64
}

// Kind tells what the body of a message is.
type Kind uint8

// The kinds of a message.
const (
	KindChat  Kind = 0 // written by a participant
	KindEvent Kind = 1 // written by the server: body is a map with "event": opened, assigned, closed, ...
)

// Message is [0x22, conv, seq, prev, time_ms, sender, id, kind, body]: delivered to each attached connection but the one that sent
// it, and stored in just these bytes. Prev is the sequence before this one in the conversation (0: none), so a gap shows.
type Message struct {
	Conv   ID
	Seq    uint64
	Prev   uint64
	TimeMS uint64
	Sender []byte // empty: the server
	ID     ID     // zero: none
	Kind   Kind
	Body   []byte // one msgpack value
}

// Mark is [0x23 or 0x24, conv, seq]: everything up to seq was delivered to (0x23) or read by (0x24) this user. Cumulative.
type Mark struct {
	Type Type // TypeDelivered or TypeRead
	Conv ID
	Seq  uint64
}

// Receipt is [0x25, conv, user, delivered, read]: the marks of another participant, highest values.
type Receipt struct {
	Conv      ID
	User      []byte
	Delivered uint64
	Read      uint64
}

// Signal is [0x26, conv, name, body]: typing and other transient notices; level 0, never stored, the last one of a name wins.
type Signal struct {
	Conv ID
	Name []byte // for example "typing"; at most 32 bytes
	Body []byte // one msgpack value
}

// Signaled is [0x27, conv, sender, name, body].
type Signaled struct {
	Conv   ID
	Sender []byte
	Name   []byte
	Body   []byte
}

// History is [0x28, ref, conv, before, limit]: the limit messages before a sequence (0: from the head), newest page first.
type History struct {
	Ref    uint64
	Conv   ID
	Before uint64
	Limit  uint64 // 0: the default of 50; at most 200
}

// Page is [0x29, ref, conv, more, [message, ...], partial_from]: messages in ascending order; more tells whether older ones exist.
type Page struct {
	Ref      uint64
	Conv     ID
	More     bool
	Count    int
	Messages []byte // Count message frames one after the other
	// PartialFrom is 0 if the page is what was asked for. Else older messages belong into it that cannot be read now: it is complete from this
	// sequence on. It is left out of the frame if it is 0.
	PartialFrom uint64
}

// Presence is [0x30, conv, user, online]: a participant's devices came or went. Level 0.
type Presence struct {
	Conv   ID
	User   []byte
	Online bool
}

// AgentStatus is what an agent says of itself.
type AgentStatus uint8

// The statuses of an agent.
const (
	AgentOffline AgentStatus = 0
	AgentOnline  AgentStatus = 1
	AgentAway    AgentStatus = 2
	AgentBusy    AgentStatus = 3
)

// Status is [0x31, ref, status, capacity, user]: an agent takes conversations (online) or not; capacity 0 keeps the configured one. With
// the name of another user, which only supervisors give, it is about that agent. Answered by Ack.
type Status struct {
	Ref      uint64
	Status   AgentStatus
	Capacity uint64
	User     []byte // empty: left out
}

// Claim is [0x32, ref, conv]: an agent takes a conversation that waits. Answered by Ack with the sequence of the event, or by the error taken, whose
// text is the name of the agent who has it.
type Claim struct {
	Ref  uint64
	Conv ID
}

// Transfer is [0x33, ref, conv, group, agent, front]: the conversation goes to an agent, or into a queue. Answered by Ack with the sequence of
// the event.
type Transfer struct {
	Ref   uint64
	Conv  ID
	Group []byte // empty: the one that it is in
	Agent []byte // empty: whoever the group chooses
	Front bool   // before all who wait
}

// Hold is [0x34, ref, conv, on]: the timers stand still until somebody writes, or until hold comes with false. Answered by Ack with the sequence of
// the event.
type Hold struct {
	Ref  uint64
	Conv ID
	On   bool
}

// Rate is [0x35, ref, conv, stars, comment]: the visitor's opinion, 1 to 5; the last one counts. Answered by Ack with the sequence of the event.
type Rate struct {
	Ref     uint64
	Conv    ID
	Stars   uint8
	Comment []byte
}

// Watch is [0x36, ref, group, limit]: follow the group's queue; answered by Queue with the first limit entries. Limit 0 ends it; answered by Ack.
type Watch struct {
	Ref   uint64
	Group []byte
	Limit uint64
}

// Queue is [0x37, ref, group, version, total, [queue_change, ...]]: the beginning of a queue, as changes that add its entries in their order.
type Queue struct {
	Ref     uint64
	Group   []byte
	Version uint64
	Total   uint64 // that wait
	Count   int
	Entries []byte // Count queue_change frames one after the other
}

// QueueOp is what happened to an entry of a queue.
type QueueOp uint8

// The changes. What moves is removed and added.
const (
	QueueAdded   QueueOp = 1
	QueueRemoved QueueOp = 2
)

// QueueChange is [0x38, group, version, op, total, conv, visitor, since_ms, rank_ms, priority, front]: one change of a queue that is watched. The version
// is one more than that of the change before; after a gap watch again. The order of a queue is: front before others, then rank_ms, then conv.
type QueueChange struct {
	Group    []byte
	Version  uint64
	Op       QueueOp
	Total    uint64 // that wait after it
	Conv     ID
	Visitor  []byte
	SinceMS  uint64 // since when it waits
	RankMS   uint64 // the same, earlier by what its priority counts
	Priority uint64
	Front    bool
}

// Position is [0x39, conv, group, place, of, wait_ms]: tells a visitor where its conversation waits. Level 0, the last one wins.
type Position struct {
	Conv   ID
	Group  []byte
	Place  uint64 // 1 is next
	Of     uint64 // that wait
	WaitMS uint64 // expected; 0: not known yet
}
