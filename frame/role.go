package frame

import "fmt"

// Role is what a user is: the role claim of a token, and the role in Welcome.
type Role uint8

// The roles.
const (
	RoleVisitor    Role = iota + 1 // opens conversations
	RoleAgent                      // is assigned conversations of its groups
	RoleSupervisor                 // follows and closes conversations of its groups

	RoleSystem // an application that uses the server's HTTP interface; no token has it
)

var roleNames = [...]string{RoleVisitor: "visitor", RoleAgent: "agent", RoleSupervisor: "supervisor", RoleSystem: "system"}

// String is the role's name on the wire and in tokens.
func (r Role) String() string {
	if r < RoleVisitor || r > RoleSystem {
		return fmt.Sprintf("Role(%d)", uint8(r))
	}
	return roleNames[r]
}

// ParseRole is the reverse of String, for the roles that a token may have.
func ParseRole(s string) (Role, error) {
	for r := RoleVisitor; r <= RoleSupervisor; r++ {
		if roleNames[r] == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("frame: the role must be visitor, agent or supervisor, not %.40q", s)
}
