// Package auth turns a client's token into an identity and makes tokens for operators and tests.
//
// Tokens are JSON Web Tokens (RFC 7519) signed with HS256 or EdDSA (Ed25519). The key decides the algorithm: a token never
// chooses how it is checked, so "alg: none" and a public key used as an HMAC secret are refused. A Verifier is called by the
// workers of the auth pool; the keys come from files that cmd reads at start. The package knows nothing of connections: what
// an expired or invalid token does to one is decided by dispatch.
package auth

import (
	"fmt"
	"time"
)

// The bounds of a token and its claims, checked before anything is kept. All are bytes but MaxGroups.
const (
	MaxToken  = 8 << 10 // the whole token as the client sends it
	MaxName   = 128     // sub, name and each group
	MaxGroups = 64
)

// Role is what a user may do.
type Role uint8

// The roles. The zero Role is none and never leaves this package with a nil error.
const (
	Visitor Role = iota + 1
	Agent
	Supervisor
)

var roleNames = [...]string{Visitor: "visitor", Agent: "agent", Supervisor: "supervisor"}

// String returns the role as the claim and the wire spell it.
func (r Role) String() string {
	if r < Visitor || r > Supervisor {
		return fmt.Sprintf("role(%d)", uint8(r))
	}
	return roleNames[r]
}

// ParseRole reads the claim's spelling: visitor, agent or supervisor.
func ParseRole(s string) (Role, error) {
	for r := Visitor; r <= Supervisor; r++ {
		if roleNames[r] == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("auth: the role must be visitor, agent or supervisor, not %.40q", s)
}

// Identity is what a valid token says of its bearer. It borrows nothing from the token.
type Identity struct {
	User     string   // sub: 1 to 128 bytes of UTF-8, unique in this installation
	Name     string   // shown to others; may be empty
	Role     Role     //
	Groups   []string // where a visitor may open conversations, and which an agent serves; at most 64
	Capacity int      // conversations that an agent takes at a time; 0: the configured default
	Expires  time.Time
}
