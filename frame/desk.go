package frame

// The frames of the desk: who is there, who takes conversations.

// Append writes the frame behind dst.
func (m *Presence) Append(dst []byte) []byte {
	dst = appendID(appendFrame(dst, TypePresence, 4), m.Conv)
	dst = appendStr(dst, m.User)
	return appendBool(dst, m.Online)
}

// Parse reads a frame that Next returned; User borrows from it.
func (m *Presence) Parse(f []byte) error {
	r := newReader(f, TypePresence)
	m.Conv = r.id()
	m.User = r.text(MaxName)
	m.Online = r.bool()
	return r.done(TypePresence)
}

// Append writes the frame behind dst.
func (m *Status) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeStatus, 4), m.Ref)
	dst = appendUint(dst, uint64(m.Status))
	return appendUint(dst, m.Capacity)
}

// Parse reads a frame that Next returned.
func (m *Status) Parse(f []byte) error {
	r := newReader(f, TypeStatus)
	m.Ref = r.uint()
	m.Status = AgentStatus(r.small())
	m.Capacity = r.uint()
	return r.done(TypeStatus)
}
