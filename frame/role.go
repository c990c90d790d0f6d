package frame

import "fmt"

// Role is what a user is: the role claim of a token, and the role in Welcome.
type Role uint8

// The roles.
const (
	RoleVisitor    Role = iota + 1 // opens conversations
	RoleAgent                      // is assigned conversations of its groups
	RoleSupervisor                 // follows and closes conversations of its groups
)

var roleNames = [...]string{RoleVisitor: "visitor", RoleAgent: "agent", RoleSupervisor: "supervisor"}

// String is the role's name on the wire and in tokens.
func (r Role) String() string {
	if r < RoleVisitor || r > RoleSupervisor {
		return fmt.Sprintf("Role(%d)", uint8(r))
	}
	return roleNames[r]
}

// ParseRole is the reverse of String.
func ParseRole(s string) (Role, error) {
	for r := RoleVisitor; r <= RoleSupervisor; r++ {
		if roleNames[r] == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("frame: the role must be visitor, agent or supervisor, not %.40q", s)
}
