package frame

// The frames that carry messages and what is known of them: send, ack, message, marks, receipts, signals, history.

// Append writes the frame behind dst; an empty Body is written as nil.
func (m *Send) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeSend, 7), m.Ref)
	dst = appendID(dst, m.Conv)
	dst = appendUint(dst, uint64(m.Level))
	dst = appendOptionalID(dst, m.ID)
	dst = appendUint(dst, m.Base)
	return appendBody(dst, m.Body)
}

// Parse reads a frame that Next returned; Body borrows from it.
func (m *Send) Parse(f []byte) error {
	r := newReader(f, TypeSend)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.Level = r.small()
	m.ID = r.optionalID()
	m.Base = r.uint()
	m.Body = r.body()
	return r.done(TypeSend)
}

// Append writes the frame behind dst.
func (m *Ack) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeAck, 4), m.Ref)
	dst = appendUint(dst, m.Seq)
	return appendUint(dst, m.TimeMS)
}

// Parse reads a frame that Next returned.
func (m *Ack) Parse(f []byte) error {
	r := newReader(f, TypeAck)
	m.Ref = r.uint()
	m.Seq = r.uint()
	m.TimeMS = r.uint()
	return r.done(TypeAck)
}

// Append writes the frame behind dst; an empty Body is written as nil.
func (m *Message) Append(dst []byte) []byte {
	dst = appendID(appendFrame(dst, TypeMessage, 9), m.Conv)
	dst = appendUint(dst, m.Seq)
	dst = appendUint(dst, m.Prev)
	dst = appendUint(dst, m.TimeMS)
	dst = appendStr(dst, m.Sender)
	dst = appendOptionalID(dst, m.ID)
	dst = appendUint(dst, uint64(m.Kind))
	return appendBody(dst, m.Body)
}

// Parse reads a frame that Next returned; Sender and Body borrow from it.
func (m *Message) Parse(f []byte) error {
	r := newReader(f, TypeMessage)
	m.Conv = r.id()
	m.Seq = r.uint()
	m.Prev = r.uint()
	m.TimeMS = r.uint()
	m.Sender = r.text(MaxName)
	m.ID = r.optionalID()
	m.Kind = Kind(r.small())
	m.Body = r.body()
	return r.done(TypeMessage)
}

// Append writes the frame behind dst; Type says which of the two.
func (m *Mark) Append(dst []byte) []byte {
	return appendUint(appendID(appendFrame(dst, m.Type, 3), m.Conv), m.Seq)
}

// Parse reads a frame that Next returned, of either type.
func (m *Mark) Parse(f []byte) error {
	typ, _, _, err := frameHead(f)
	if err != nil || typ != TypeRead {
		typ = TypeDelivered
	}
	r := newReader(f, typ)
	m.Type = typ
	m.Conv = r.id()
	m.Seq = r.uint()
	return r.done(typ)
}

// Append writes the frame behind dst.
func (m *Receipt) Append(dst []byte) []byte {
	dst = appendID(appendFrame(dst, TypeReceipt, 5), m.Conv)
	dst = appendStr(dst, m.User)
	dst = appendUint(dst, m.Delivered)
	return appendUint(dst, m.Read)
}

// Parse reads a frame that Next returned; User borrows from it.
func (m *Receipt) Parse(f []byte) error {
	r := newReader(f, TypeReceipt)
	m.Conv = r.id()
	m.User = r.text(MaxName)
	m.Delivered = r.uint()
	m.Read = r.uint()
	return r.done(TypeReceipt)
}

// Append writes the frame behind dst; an empty Body is written as nil.
func (m *Signal) Append(dst []byte) []byte {
	dst = appendID(appendFrame(dst, TypeSignal, 4), m.Conv)
	dst = appendStr(dst, m.Name)
	return appendBody(dst, m.Body)
}

// Parse reads a frame that Next returned; Name and Body borrow from it.
func (m *Signal) Parse(f []byte) error {
	r := newReader(f, TypeSignal)
	m.Conv = r.id()
	m.Name = r.text(MaxSignal)
	m.Body = r.body()
	return r.done(TypeSignal)
}

// Append writes the frame behind dst; an empty Body is written as nil.
func (m *Signaled) Append(dst []byte) []byte {
	dst = appendID(appendFrame(dst, TypeSignaled, 5), m.Conv)
	dst = appendStr(dst, m.Sender)
	dst = appendStr(dst, m.Name)
	return appendBody(dst, m.Body)
}

// Parse reads a frame that Next returned; Sender, Name and Body borrow from it.
func (m *Signaled) Parse(f []byte) error {
	r := newReader(f, TypeSignaled)
	m.Conv = r.id()
	m.Sender = r.text(MaxName)
	m.Name = r.text(MaxSignal)
	m.Body = r.body()
	return r.done(TypeSignaled)
}

// Append writes the frame behind dst.
func (m *History) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeHistory, 5), m.Ref)
	dst = appendID(dst, m.Conv)
	dst = appendUint(dst, m.Before)
	return appendUint(dst, m.Limit)
}

// Parse reads a frame that Next returned.
func (m *History) Parse(f []byte) error {
	r := newReader(f, TypeHistory)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.Before = r.uint()
	m.Limit = r.uint()
	return r.done(TypeHistory)
}

// Append writes the frame behind dst; Messages must be Count frames.
func (m *Page) Append(dst []byte) []byte {
	fields := 5
	if m.PartialFrom != 0 {
		fields++
	}
	dst = appendUint(appendFrame(dst, TypePage, fields), m.Ref)
	dst = appendID(dst, m.Conv)
	dst = appendBool(dst, m.More)
	dst = appendArrayHead(dst, m.Count)
	dst = append(dst, m.Messages...)
	if m.PartialFrom != 0 {
		dst = appendUint(dst, m.PartialFrom)
	}
	return dst
}

// Parse reads a frame that Next returned; Messages borrows from it and can be walked with Next.
func (m *Page) Parse(f []byte) error {
	r := newReader(f, TypePage)
	m.Ref = r.uint()
	m.Conv = r.id()
	m.More = r.bool()
	m.Count, m.Messages = r.frames()
	m.PartialFrom = 0
	if r.left > 0 {
		m.PartialFrom = r.uint()
	}
	return r.done(TypePage)
}
