package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Identity is whom a connection speaks for. Immutable and shared; a refreshed token makes a new one. There is one for each connection, so it is
// packed into 48 bytes.
type Identity struct {
	User     string
	Groups   []string
	Expires  uint32 // Unix seconds
	Capacity uint16 // of an agent: conversations at a time; 0: the configured default
	Weight   uint8  // of an agent: conversations in relation to others, where its group goes by weight; 0: 1
	Role     frame.Role
}

// UserKey names a user: the same name in another role is somebody else.
type UserKey struct {
	Role frame.Role
	Name string
}

// String is the key as the store knows it, for example "visitor/ann".
func (k UserKey) String() string { return k.Role.String() + "/" + k.Name }

// Key names the identity's user.
func (w *Identity) Key() UserKey { return UserKey{Role: w.Role, Name: w.User} }

// supervises tells whether the identity oversees the group.
func (w *Identity) supervises(group string) bool {
	return w.Role == frame.RoleSupervisor && slices.Contains(w.Groups, group)
}
