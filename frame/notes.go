package frame

// notesBit is in the last byte of the id of a conversation's notes, and not in that of a conversation.
const notesBit = 1

// AreNotes tells whether an id is one of notes.
func (id ID) AreNotes() bool { return id[len(id)-1]&notesBit != 0 }

// Notes is the id of a conversation's notes; that of notes is itself.
func (id ID) Notes() ID {
	id[len(id)-1] |= notesBit
	return id
}

// Host is the conversation that notes are about; that of any other is itself.
func (id ID) Host() ID {
	id[len(id)-1] &^= notesBit
	return id
}
