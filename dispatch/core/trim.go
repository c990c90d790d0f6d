package core

// Trim lets go of what has room for more than so many bytes or items. The effects are empty.
func (e *Effects) Trim(bytes, items int) {
	e.Buf = within(e.Buf, bytes)
	e.Targets, e.Certain, e.Answers = within(e.Targets, items), within(e.Certain, items), within(e.Answers, items)
	e.Writes, e.Jobs, e.Desk, e.Users = within(e.Writes, items), within(e.Jobs, items), within(e.Desk, items), within(e.Users, items)
	e.Unacked, e.Memos, e.Left, e.Audit = within(e.Unacked, items), within(e.Memos, items), within(e.Left, items), within(e.Audit, items)
}

// Trim does the same with the scratch space of batches. Between batches.
func (m *Machine) Trim(bytes, items int) {
	m.scratch, m.name = within(m.scratch, bytes), within(m.name, bytes)
	m.touched, m.messages, m.signals = within(m.touched, items), within(m.messages, items), within(m.signals, items)
}

// within is s, or nil if it has room for more than n.
func within[T any](s []T, n int) []T {
	if cap(s) > n {
		return nil
	}
	return s
}
