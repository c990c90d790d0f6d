package core

// Sizes tells how many conversations and users the machine holds.
func (m *Machine) Sizes() (conversations, users int) { return len(m.convs), m.users.online() }
