package history

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/switchyard-im/switchyard/frame"
)

// erasedName takes the place of the name of a user who was erased.
const erasedName = "erased"

// erasure knows what is left of the messages of a user who is erased. Fixed after construction.
type erasure struct {
	user string
	name []byte // the same
}

// ErrUser is what Erase ends with for a name that no user can have.
var ErrUser = errors.New("history: this cannot be erased")

func newErasure(user string) (erasure, error) {
	switch {
	case user == "" || len(user) > frame.MaxName || !utf8.ValidString(user):
		return erasure{}, fmt.Errorf("%w: a user has 1 to %d bytes of UTF-8", ErrUser, frame.MaxName)
	case user == erasedName:
		return erasure{}, fmt.Errorf("%w: %q stands for all who were erased", ErrUser, erasedName)
	}
	return erasure{user: user, name: []byte(user)}, nil
}

// message returns what takes the place of m; false if it has nothing of the user. The place stays: conversation, sequence, predecessor, time.
func (e *erasure) message(m *frame.Message) (to frame.Message, ok bool) {
	to = *m
	if m.Kind != frame.KindEvent {
		if !bytes.Equal(m.Sender, e.name) {
			return to, false
		}
		to.Sender, to.ID, to.Body = []byte(erasedName), frame.ID{}, nil
		return to, true
	}
	to.Body, ok = e.event(m.Body)
	return to, ok
}

// notNames are the fields of an event that never name a user.
var notNames = map[string]bool{"event": true, "group": true, "reason": true, "comment": true, "subject": true, "language": true, "text": true}

// written are the fields of an event that whoever caused it has written.
var written = []string{"comment", "subject", "attributes"}

// event replaces the user's name in the body of an event, and takes out what he has written there; false if it has neither.
func (e *erasure) event(body []byte) (to []byte, ok bool) {
	if !bytes.Contains(body, e.name) {
		return body, false
	}
	var m map[string]any
	if frame.DecodeBody(body, &m) != nil {
		return body, false
	}
	for key, value := range m {
		if value == any(e.user) && !notNames[key] {
			m[key], ok = erasedName, true
		}
	}
	if !ok {
		return body, false
	}
	for _, key := range written {
		if m["by"] == erasedName || m["visitor"] == erasedName {
			delete(m, key)
		}
	}
	to, err := frame.AppendBody(nil, m)
	if err != nil {
		panic("BUG: history: an event does not encode: " + err.Error())
	}
	return to, true
}

// letter erases the user from a dead letter, and tells whether he was in it. Of bytes that are no message nothing is kept if they have his name.
func (e *erasure) letter(d *deadLetter) bool {
	switch {
	case d.Frames != nil:
		if !bytes.Contains(d.Frames, e.name) {
			return false
		}
		d.Frames = []byte(erasedName)
	case frame.Kind(d.Kind) == frame.KindEvent:
		to, ok := e.event(d.Body)
		if !ok {
			return false
		}
		d.Body = to
	case d.Sender != e.user:
		return false
	default:
		d.Sender, d.ID, d.Body = erasedName, "", nil
	}
	d.Text = ""
	d.Error = "it was not taken, and then erased" // the cause may quote the row
	return true
}
