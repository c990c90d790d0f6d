package frame

// The frames of a connection: heartbeat, hello, welcome, error, drain.

// Append writes the client's form if ServerMS is zero, else the server's.
func (m *Heartbeat) Append(dst []byte) []byte {
	if m.ServerMS == 0 {
		return appendUint(appendFrame(dst, TypeHeartbeat, 2), m.ClientMS)
	}
	dst = appendUint(appendFrame(dst, TypeHeartbeat, 3), m.ClientMS)
	return appendUint(dst, m.ServerMS)
}

// Parse reads both forms.
func (m *Heartbeat) Parse(f []byte) error {
	r := newReader(f, TypeHeartbeat)
	*m = Heartbeat{ClientMS: r.uint()}
	if r.left > 0 {
		m.ServerMS = r.uint()
	}
	return r.done(TypeHeartbeat)
}

// Append writes the frame behind dst.
func (m *Hello) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeHello, 5), m.Ref)
	dst = appendStr(dst, m.Token)
	dst = appendStr(dst, m.Agent)
	return appendUint(dst, m.Flags)
}

// Parse reads a frame that Next returned; Token and Agent borrow from it.
func (m *Hello) Parse(f []byte) error {
	r := newReader(f, TypeHello)
	m.Ref = r.uint()
	m.Token = r.text(MaxToken)
	m.Agent = r.text(MaxName)
	m.Flags = r.uint()
	return r.done(TypeHello)
}

// Append writes the frame behind dst.
func (m *Welcome) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeWelcome, 12), m.Ref)
	dst = appendID(dst, m.Session)
	dst = appendStr(dst, m.User)
	dst = appendStr(dst, m.Role)
	dst = appendUint(dst, m.ServerMS)
	dst = appendUint(dst, m.ExpiresMS)
	dst = appendUint(dst, m.HeartbeatMS)
	dst = appendUint(dst, m.MaxMessage)
	dst = appendUint(dst, m.RetryMinMS)
	dst = appendUint(dst, m.RetryMaxMS)
	return appendUint(dst, m.RetryJitterMS)
}

// Parse reads a frame that Next returned; User and Role borrow from it.
func (m *Welcome) Parse(f []byte) error {
	r := newReader(f, TypeWelcome)
	m.Ref = r.uint()
	m.Session = r.id()
	m.User = r.text(MaxName)
	m.Role = r.text(MaxName)
	m.ServerMS = r.uint()
	m.ExpiresMS = r.uint()
	m.HeartbeatMS = r.uint()
	m.MaxMessage = r.uint()
	m.RetryMinMS = r.uint()
	m.RetryMaxMS = r.uint()
	m.RetryJitterMS = r.uint()
	return r.done(TypeWelcome)
}

// Append writes the frame behind dst.
func (m *Error) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeError, 5), m.Ref)
	dst = appendUint(dst, m.Code)
	dst = appendStr(dst, m.Text)
	return appendUint(dst, m.RetryMS)
}

// Parse reads a frame that Next returned; Text borrows from it.
func (m *Error) Parse(f []byte) error {
	r := newReader(f, TypeError)
	m.Ref = r.uint()
	m.Code = r.uint()
	m.Text = r.text(MaxText)
	m.RetryMS = r.uint()
	return r.done(TypeError)
}

// Append writes the frame behind dst.
func (m *Drain) Append(dst []byte) []byte {
	dst = appendUint(appendFrame(dst, TypeDrain, 4), m.DelayMS)
	dst = appendUint(dst, m.WindowMS)
	return appendStr(dst, m.Target)
}

// Parse reads a frame that Next returned; Target borrows from it.
func (m *Drain) Parse(f []byte) error {
	r := newReader(f, TypeDrain)
	m.DelayMS = r.uint()
	m.WindowMS = r.uint()
	m.Target = r.text(MaxTarget)
	return r.done(TypeDrain)
}
