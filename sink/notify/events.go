package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// The types of what happens in a conversation: a message of a participant, and what the server did, by the name in its event.
const (
	typeMessage  = "message.created"
	typeChanged  = "conversation." // and opened, queued, assigned, closed, rated, ...
	typeNameless = "conversation.changed"
)

// Subscription says of what an endpoint is told.
type Subscription struct {
	Endpoint string
	// Types are types of notifications: message.created, conversation.closed, ..., all that begin alike (conversation.*), or all (*).
	Types []string
}

// Events makes notifications of messages, in the transaction that stores them. It is fixed after construction, so safe for concurrent use; the shards call
// it, and only if somebody subscribed.
type Events struct {
	subscriptions []Subscription
	log           *slog.Logger
}

// EventData is the data of such a notification.
type EventData struct {
	Seq       uint64 `json:"seq"`
	Sender    string `json:"sender,omitempty"`     // empty: the server
	MessageID string `json:"message_id,omitempty"` // that the sender gave
	// Body is the message's body as in the JSON form of the protocol: a text, or of an event an object with "event".
	Body    json.RawMessage `json:"body"`
	TooLong bool            `json:"too_long,omitempty"` // the body is left out, as it has more than MaxData
}

// NewEvents checks the subscriptions.
func NewEvents(subscriptions []Subscription, log *slog.Logger) (*Events, error) {
	var errs []error
	for _, s := range subscriptions {
		for _, pattern := range s.Types {
			if exact := strings.TrimSuffix(pattern, ".*"); pattern != "*" && !validType.MatchString(exact) {
				errs = append(errs, fmt.Errorf("notify: the endpoint %q is subscribed to %q: use a type as message.created, all that begin alike as conversation.*, or *", s.Endpoint, pattern))
			}
		}
	}
	return &Events{subscriptions: subscriptions, log: log}, errors.Join(errs...)
}

func (s *Subscription) has(kind string) bool {
	for _, pattern := range s.Types {
		prefix, open := strings.CutSuffix(pattern, "*") // "conversation." or ""
		if pattern == kind || open && strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return false
}

// noticer is what takes notices: a sink.Tx.
type noticer interface {
	Notify(lane string, conv frame.ID, body []byte)
}

// Messages puts a notification of each message into the lanes of those who subscribed to it. Frames are Message frames in a row.
func (e *Events) Messages(tx noticer, conv frame.ID, frames []byte) {
	for len(frames) > 0 {
		_, f, rest, err := frame.Next(frames)
		var m frame.Message
		if err == nil {
			err = m.Parse(f)
		}
		if err != nil {
			panic("BUG: notify: a message that is stored is none: " + err.Error())
		}
		e.message(tx, conv, &m)
		frames = rest
	}
}

func (e *Events) message(tx noticer, conv frame.ID, m *frame.Message) {
	kind := typeOf(m)
	var body []byte // made once, if anybody wants it
	for i := range e.subscriptions {
		if !e.subscriptions[i].has(kind) {
			continue
		}
		if body == nil {
			var err error
			if body, err = encodeMessage(conv, kind, m); err != nil {
				e.log.Error("notify: BUG: there is no notification of a message", "conversation", conv.String(), "seq", m.Seq, "cause", err)
				return
			}
		}
		tx.Notify(e.subscriptions[i].Endpoint, conv, body)
	}
}

func typeOf(m *frame.Message) string {
	if m.Kind != frame.KindEvent {
		return typeMessage
	}
	var fields map[string]any
	if frame.DecodeBody(m.Body, &fields) != nil {
		return typeNameless
	}
	name, _ := fields["event"].(string)
	if kind := typeChanged + name; len(kind) <= maxType && validType.MatchString(kind) {
		return kind
	}
	return typeNameless
}

// encodeMessage makes the notification. Its id is made of what names the message for ever, so it is the same whenever it is made.
func encodeMessage(conv frame.ID, kind string, m *frame.Message) ([]byte, error) {
	d := EventData{Seq: m.Seq, Sender: string(m.Sender)}
	if !m.ID.IsZero() {
		d.MessageID = m.ID.String()
	}
	body, err := frame.AppendBodyJSON(nil, m.Body)
	if err != nil {
		return nil, err
	}
	if d.Body = body; len(body) > MaxData-1024 { // the other fields are shorter than the rest
		d.Body, d.TooLong = json.RawMessage("null"), true
	}
	data, err := marshal(&d)
	if err != nil {
		return nil, err
	}
	return Encode(Notification{
		ID: fmt.Sprintf("msg_%s_%d", conv, m.Seq), Type: kind, Time: time.UnixMilli(int64(m.TimeMS)).UTC(), Conv: conv.String(), Data: data,
	})
}
