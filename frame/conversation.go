package frame

// The frames that open, follow and close a conversation.

// Append writes the frame behind dst.
func (m *Open) Append(dst []byte) []byte {
	fields := 4
	if len(m.Details) > 0 {
		fields++
	}
	dst = appendUint(appendFrame(dst, TypeOpen, fields), m.Ref)
	dst = appendID(dst, m.Key)
	dst = appendStr(dst, m.Group)
	return append(dst, m.Details...)
}

// Parse reads a frame that Next returned; Group and Details borrow from it.
func (m *Open) Parse(f []byte) error {
	r := newReader(f, TypeOpen)
	m.Ref = r.uint()
	m.Key = r.id()
	m.Group = r.text(MaxName)
	m.Details = nil
	if r.left > 0 {
		m.Details = r.body()
	}
	return r.done(TypeOpen)
}

// Append writes the frame behind dst.
func (m *Conversation) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeConversation, 8), m.Ref)
	dst = appendID(dst, m.Conv)
	dst = appendUint(dst, uint64(m.State))
	dst = appendStr(dst, m.Group)
	dst = appendStr(dst, m.Visitor)
	dst = appendStr(dst, m.Agent)
	return appendUint(dst, m.Head)
}

// Parse reads a frame that Next returned; the names borrow from it.
func (m *Conversation) Parse(f []byte) error {
	r := newReader(f, TypeConversation)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.State = ConversationState(r.small())
	m.Group = r.text(MaxName)
	m.Visitor = r.text(MaxName)
	m.Agent = r.text(MaxName)
	m.Head = r.uint()
	return r.done(TypeConversation)
}

// appendRequest writes a frame of nothing but ref and conversation.
func appendRequest(dst []byte, t Type, ref uint64, conv ID) []byte {
	return appendID(appendUint(appendFrame(dst, t, 3), ref), conv)
}

func parseRequest(f []byte, t Type, ref *uint64, conv *ID) error {
	r := newReader(f, t)
	*ref = r.uint()
	*conv = r.id()
	return r.done(t)
}

// Append writes the frame behind dst.
func (m *Attach) Append(dst []byte) []byte { return appendRequest(dst, TypeAttach, m.Ref, m.Conv) }

// Parse reads a frame that Next returned.
func (m *Attach) Parse(f []byte) error { return parseRequest(f, TypeAttach, &m.Ref, &m.Conv) }

// Append writes the frame behind dst.
func (m *Detach) Append(dst []byte) []byte { return appendRequest(dst, TypeDetach, m.Ref, m.Conv) }

// Parse reads a frame that Next returned.
func (m *Detach) Parse(f []byte) error { return parseRequest(f, TypeDetach, &m.Ref, &m.Conv) }

// Append writes the frame behind dst.
func (m *Close) Append(dst []byte) []byte { return appendRequest(dst, TypeClose, m.Ref, m.Conv) }

// Parse reads a frame that Next returned.
func (m *Close) Parse(f []byte) error { return parseRequest(f, TypeClose, &m.Ref, &m.Conv) }

// Append writes the frame behind dst.
func (m *Reopen) Append(dst []byte) []byte { return appendRequest(dst, TypeReopen, m.Ref, m.Conv) }

// Parse reads a frame that Next returned.
func (m *Reopen) Parse(f []byte) error { return parseRequest(f, TypeReopen, &m.Ref, &m.Conv) }

// Append writes the frame behind dst.
func (m *Join) Append(dst []byte) []byte { return appendRequest(dst, TypeJoin, m.Ref, m.Conv) }

// Parse reads a frame that Next returned.
func (m *Join) Parse(f []byte) error { return parseRequest(f, TypeJoin, &m.Ref, &m.Conv) }

// Append writes the frame behind dst.
func (m *Resume) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeResume, 4), m.Ref)
	dst = appendID(dst, m.Conv)
	return appendUint(dst, m.After)
}

// Parse reads a frame that Next returned.
func (m *Resume) Parse(f []byte) error {
	r := newReader(f, TypeResume)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.After = r.uint()
	return r.done(TypeResume)
}

// Append writes the frame behind dst.
func (m *Resumed) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeResumed, 7), m.Ref)
	dst = appendID(dst, m.Conv)
	dst = appendBool(dst, m.Recovered)
	dst = appendUint(dst, m.After)
	dst = appendUint(dst, m.Head)
	return appendUint(dst, m.Count)
}

// Parse reads a frame that Next returned.
func (m *Resumed) Parse(f []byte) error {
	r := newReader(f, TypeResumed)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.Recovered = r.bool()
	m.After = r.uint()
	m.Head = r.uint()
	m.Count = r.uint()
	return r.done(TypeResumed)
}
