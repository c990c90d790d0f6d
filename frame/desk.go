package frame

// The frames of the desk: who is there, who takes conversations, who waits.

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
	fields := 4
	if len(m.User) > 0 {
		fields++
	}
	dst = appendUint(appendFrame(dst, TypeStatus, fields), m.Ref)
	dst = appendUint(dst, uint64(m.Status))
	dst = appendUint(dst, m.Capacity)
	if len(m.User) > 0 {
		dst = appendStr(dst, m.User)
	}
	return dst
}

// Parse reads a frame that Next returned; User borrows from it.
func (m *Status) Parse(f []byte) error {
	r := newReader(f, TypeStatus)
	m.Ref = r.uint()
	m.Status = AgentStatus(r.small())
	m.Capacity = r.uint()
	m.User = nil
	if r.left > 0 {
		m.User = r.text(MaxName)
	}
	return r.done(TypeStatus)
}

// Append writes the frame behind dst.
func (m *Claim) Append(dst []byte) []byte { return appendRequest(dst, TypeClaim, m.Ref, m.Conv) }

// Parse reads a frame that Next returned.
func (m *Claim) Parse(f []byte) error { return parseRequest(f, TypeClaim, &m.Ref, &m.Conv) }

// Append writes the frame behind dst.
func (m *Transfer) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeTransfer, 6), m.Ref)
	dst = appendID(dst, m.Conv)
	dst = appendStr(dst, m.Group)
	dst = appendStr(dst, m.Agent)
	return appendBool(dst, m.Front)
}

// Parse reads a frame that Next returned; the names borrow from it.
func (m *Transfer) Parse(f []byte) error {
	r := newReader(f, TypeTransfer)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.Group = r.text(MaxName)
	m.Agent = r.text(MaxName)
	m.Front = r.bool()
	return r.done(TypeTransfer)
}

// Append writes the frame behind dst.
func (m *Hold) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeHold, 4), m.Ref)
	dst = appendID(dst, m.Conv)
	return appendBool(dst, m.On)
}

// Parse reads a frame that Next returned.
func (m *Hold) Parse(f []byte) error {
	r := newReader(f, TypeHold)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.On = r.bool()
	return r.done(TypeHold)
}

// Append writes the frame behind dst.
func (m *Rate) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeRate, 5), m.Ref)
	dst = appendID(dst, m.Conv)
	dst = appendUint(dst, uint64(m.Stars))
	return appendStr(dst, m.Comment)
}

// Parse reads a frame that Next returned; Comment borrows from it.
func (m *Rate) Parse(f []byte) error {
	r := newReader(f, TypeRate)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.Stars = r.small()
	m.Comment = r.text(MaxComment)
	return r.done(TypeRate)
}

// Append writes the frame behind dst.
func (m *Watch) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeWatch, 4), m.Ref)
	dst = appendStr(dst, m.Group)
	return appendUint(dst, m.Limit)
}

// Parse reads a frame that Next returned; Group borrows from it.
func (m *Watch) Parse(f []byte) error {
	r := newReader(f, TypeWatch)
	m.Ref = r.uint()
	m.Group = r.text(MaxName)
	m.Limit = r.uint()
	return r.done(TypeWatch)
}

// Append writes the frame behind dst; Entries must be Count frames.
func (m *Queue) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeQueue, 6), m.Ref)
	dst = appendStr(dst, m.Group)
	dst = appendUint(dst, m.Version)
	dst = appendUint(dst, m.Total)
	dst = appendArrayHead(dst, m.Count)
	return append(dst, m.Entries...)
}

// Parse reads a frame that Next returned; Group and Entries borrow from it, and Entries can be walked with Next.
func (m *Queue) Parse(f []byte) error {
	r := newReader(f, TypeQueue)
	m.Ref = r.uint()
	m.Group = r.text(MaxName)
	m.Version = r.uint()
	m.Total = r.uint()
	m.Count, m.Entries = r.frames()
	return r.done(TypeQueue)
}

// Append writes the frame behind dst.
func (m *QueueChange) Append(dst []byte) []byte {
	dst = appendStr(appendFrame(dst, TypeQueueChange, 11), m.Group)
	dst = appendUint(dst, m.Version)
	dst = appendUint(dst, uint64(m.Op))
	dst = appendUint(dst, m.Total)
	dst = appendID(dst, m.Conv)
	dst = appendStr(dst, m.Visitor)
	dst = appendUint(dst, m.SinceMS)
	dst = appendUint(dst, m.RankMS)
	dst = appendUint(dst, m.Priority)
	return appendBool(dst, m.Front)
}

// Parse reads a frame that Next returned; the names borrow from it.
func (m *QueueChange) Parse(f []byte) error {
	r := newReader(f, TypeQueueChange)
	m.Group = r.text(MaxName)
	m.Version = r.uint()
	m.Op = QueueOp(r.small())
	m.Total = r.uint()
	m.Conv = r.id()
	m.Visitor = r.text(MaxName)
	m.SinceMS = r.uint()
	m.RankMS = r.uint()
	m.Priority = r.uint()
	m.Front = r.bool()
	return r.done(TypeQueueChange)
}

// Append writes the frame behind dst.
func (m *Position) Append(dst []byte) []byte {
	dst = appendID(appendFrame(dst, TypePosition, 6), m.Conv)
	dst = appendStr(dst, m.Group)
	dst = appendUint(dst, m.Place)
	dst = appendUint(dst, m.Of)
	return appendUint(dst, m.WaitMS)
}

// Parse reads a frame that Next returned; Group borrows from it.
func (m *Position) Parse(f []byte) error {
	r := newReader(f, TypePosition)
	m.Conv = r.id()
	m.Group = r.text(MaxName)
	m.Place = r.uint()
	m.Of = r.uint()
	m.WaitMS = r.uint()
	return r.done(TypePosition)
}
