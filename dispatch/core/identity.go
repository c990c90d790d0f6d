package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// Identity is whom a connection speaks for. Immutable and shared; a refreshed token makes a new one. There is one for each connection, so it is
// packed into 32 bytes.
type Identity struct {
	User    string
	Profile *desk.Profile // what else the token says; nil: nothing; of visitors only Groups counts, and those who say the same share one
	Expires uint32        // Unix seconds
	Role    frame.Role
}

// Groups are those where a visitor may open conversations (none: everywhere), which an agent serves and a supervisor oversees.
func (w *Identity) Groups() []string {
	if w.Profile == nil {
		return nil
	}
	return w.Profile.Groups
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

// supervises tells whether the identity oversees the group. An application whose key names no groups oversees all.
func (w *Identity) supervises(group string) bool {
	switch w.Role {
	case frame.RoleSupervisor:
		return slices.Contains(w.Groups(), group)
	case frame.RoleSystem:
		return len(w.Groups()) == 0 || slices.Contains(w.Groups(), group)
	}
	return false
}
