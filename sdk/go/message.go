package switchyard

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// ID names a conversation or a message: 16 bytes, written as 32 hex digits.
type ID = frame.ID

// NewID returns a random ID.
func NewID() (id ID) {
	rand.Read(id[:])
	return id
}

// ParseID reads the 32 hex digits of an ID.
func ParseID(s string) (ID, error) { return frame.ParseID(s) }

// Raw is one encoded msgpack value. As a body it is sent as it is.
type Raw []byte

// Decode reads the value into what v points to, by the rules of github.com/vmihailenco/msgpack/v5.
func (r Raw) Decode(v any) error { return msgpack.Unmarshal(r, v) }

// Text returns the value if it is a string, else "".
func (r Raw) Text() string {
	var s string
	if r.Decode(&s) != nil {
		return ""
	}
	return s
}

// encodeBody turns what the application gives into one msgpack value that the protocol allows.
func encodeBody(body any) (Raw, error) {
	raw, ok := body.(Raw)
	if !ok {
		encoded, err := msgpack.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("switchyard: body: %w", err)
		}
		raw = encoded
	}
	if err := checkBody(raw); err != nil {
		return nil, fmt.Errorf("switchyard: body: %w; use strings, numbers, booleans, bytes, arrays and maps with string keys", err)
	}
	return raw, nil
}

// checkBody lets the frame package look at the body where the server will see it: last in a frame. It must be exactly one value.
func checkBody(raw Raw) error {
	whole := (&frame.Signal{Conv: ID{1}, Name: []byte("x"), Body: raw}).Append(nil)
	_, _, rest, err := frame.Next(whole)
	if err == nil && (len(rest) > 0 || len(raw) == 0) {
		return fmt.Errorf("%d bytes are not one msgpack value", len(raw))
	}
	return err
}

// Kind tells who wrote a message.
type Kind = frame.Kind

// The kinds of a message.
const (
	Chat  = frame.KindChat  // a participant
	Event = frame.KindEvent // the server: Body is a map with "event"
)

// Message is one message of a conversation.
type Message struct {
	Conversation ID
	Seq          uint64 // strictly increasing in the conversation
	Time         time.Time
	Sender       string // the user; empty: the server
	ID           ID     // the sender's id of the message; zero: none
	Kind         Kind
	Body         Raw
}

// ServerEvent is the body of a message of kind Event. Which fields there are depends on its name; PROTOCOL.md has the table.
type ServerEvent struct {
	Name    string `msgpack:"event"`
	Group   string `msgpack:"group"`
	Agent   string `msgpack:"agent"`
	From    string `msgpack:"from"`   // the agent who had the conversation
	Reason  string `msgpack:"reason"` //
	By      string `msgpack:"by"`     // the user who wanted it
	Text    string `msgpack:"text"`
	Rating  int    `msgpack:"rating"`
	Comment string `msgpack:"comment"`

	Priority   int               `msgpack:"priority"`
	Language   string            `msgpack:"language"`
	Required   []string          `msgpack:"required"`
	Preferred  []string          `msgpack:"preferred"`
	Subject    string            `msgpack:"subject"`
	Attributes map[string]string `msgpack:"attributes"`
}

// Event returns what a message of kind Event says; of another one nothing.
func (m Message) Event() (e ServerEvent) {
	if m.Kind != Event || m.Body.Decode(&e) != nil {
		return ServerEvent{}
	}
	return e
}

// EventName returns the name of a server's event ("assigned", "closed", ...), or "" for a chat message.
func (m Message) EventName() string {
	var body struct {
		Event string `msgpack:"event"`
	}
	if m.Kind != Event || m.Body.Decode(&body) != nil {
		return ""
	}
	return body.Event
}

// newMessage copies what the frame borrows.
func newMessage(f *frame.Message) Message {
	return Message{
		Conversation: f.Conv, Seq: f.Seq, Time: fromMS(f.TimeMS), Sender: string(f.Sender), ID: f.ID, Kind: f.Kind,
		Body: append(Raw(nil), f.Body...),
	}
}

// Accepted is the server's answer to a message: it is durable.
type Accepted struct {
	ID   ID
	Seq  uint64
	Time time.Time
}

// State is the life of a conversation.
type State = frame.ConversationState

// The states of a conversation.
const (
	Queued   = frame.StateQueued
	Assigned = frame.StateAssigned
	Closed   = frame.StateClosed
	Held     = frame.StateHeld // assigned, and its timers stand still
)

// Notice tells that a conversation of this user exists or changed.
type Notice struct {
	Conversation ID
	State        State
	Group        string
	Visitor      string
	Agent        string // empty while queued
	Head         uint64 // the sequence of its last message, 0 if none
}

func newNotice(f *frame.Conversation) Notice {
	return Notice{
		Conversation: f.Conv, State: f.State, Group: string(f.Group), Visitor: string(f.Visitor), Agent: string(f.Agent), Head: f.Head,
	}
}

// Receipt tells how far another participant got: the highest sequences.
type Receipt struct {
	Conversation ID
	User         string
	Delivered    uint64
	Read         uint64
}

// Signal is a transient notice of another participant, such as "typing".
type Signal struct {
	Conversation ID
	Sender       string
	Name         string
	Body         Raw
}

// Presence tells that the first device of a participant came or the last one went.
type Presence struct {
	Conversation ID
	User         string
	Online       bool
}

func fromMS(ms uint64) time.Time { return time.UnixMilli(int64(ms)) }

func milliseconds(ms uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}
