package core

import "github.com/switchyard-im/switchyard/frame"

// EraseMember returns the state record of a conversation without the name of a user, in whatever role; ok is false if it does not have it. An empty name
// takes its place, which no token can have, so nobody gets the access that the user had.
func EraseMember(conv frame.ID, state []byte, user string) (to []byte, ok bool, err error) {
	c := conversation{id: conv}
	if err := newRecordReader().restore(&c, state, ""); err != nil {
		return nil, false, err
	}
	if !c.eraseMember(user) {
		return nil, false, nil
	}
	return appendRecord(nil, &c), true, nil
}

func (c *conversation) eraseMember(user string) (ok bool) {
	for i := range c.members {
		if c.members[i].user == user {
			c.members[i].user, ok = "", true
		}
	}
	return ok
}

// Erase takes the name of a user out of a closed conversation, or of notes, if it is in memory, so that the next mark does not write it again. The stored record has
// been rewritten before: if the conversation is just being loaded, it may have been read before that.
func (m *Machine) Erase(conv frame.ID, user string) {
	if c := m.convs[conv]; c != nil && c.load != cold {
		m.deliver(c, parked{kind: parkedErase, user: user})
	}
}

func (c *conversation) erase(user string) {
	if c.state == frame.StateClosed || c.state == stateNotes {
		c.eraseMember(user)
	}
}
