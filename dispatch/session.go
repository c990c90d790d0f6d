package dispatch

import (
	"slices"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// session is what the gate knows of one connection. Owned by the connection's loop; a few dozen bytes, since there is one for each idle
// connection.
type session struct {
	who      *core.Identity // nil until a token was accepted
	convs    []frame.ID     // what it may be attached to; told when it closes
	checking bool           // a token is with the auth pool
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
