package dispatch

import (
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// session is what the gate knows of one connection. Owned by the connection's loop; a few dozen bytes, since there is one for each idle
// connection.
type session struct {
	who      *core.Identity // nil until a token was accepted
	convs    []frame.ID     // what it may be attached to; told when it closes
	checking bool           // a token is with the auth pool
	refused  *refusal       // the first message that a full ring refused, until it comes again
	replays  *replays       // what is to be replayed to it; nil: nothing
}

// refusal keeps a connection's messages in order over a full ring, as core's barrier does over a failed commit: what is sent to the
// conversation after the refused message is refused too.
type refusal struct {
	conv, id frame.ID
	until    int64 // Unix nanoseconds
}

const refusalTime = int64(30 * time.Second)

// mayPass tells whether a frame may go on, and lifts the refusal if it is the message that was refused.
func (s *session) mayPass(typ frame.Type, f []byte, now int64) bool {
	if s.refused == nil || typ != frame.TypeSend {
		return true
	}
	var send frame.Send
	if send.Parse(f) != nil || send.Conv != s.refused.conv {
		return true
	}
	if send.ID != s.refused.id && now < s.refused.until {
		return false
	}
	s.refused = nil
	return true
}

// refuse remembers a frame that a full ring refused, if it is a message with an id.
func (s *session) refuse(typ frame.Type, f []byte, now int64) {
	var send frame.Send
	if s.refused == nil && typ == frame.TypeSend && send.Parse(f) == nil && send.Level == 2 {
		s.refused = &refusal{conv: send.Conv, id: send.ID, until: now + refusalTime}
	}
}

// join remembers a conversation; false: the session has too many.
func (s *session) join(conv frame.ID, limit int) bool {
	if slices.Contains(s.convs, conv) {
		return true
	}
	if len(s.convs) >= limit {
		return false
	}
	s.convs = append(s.convs, conv)
	return true
}

// leave forgets a conversation.
func (s *session) leave(conv frame.ID) {
	if i := slices.Index(s.convs, conv); i >= 0 {
		s.convs = slices.Delete(s.convs, i, i+1)
	}
}
