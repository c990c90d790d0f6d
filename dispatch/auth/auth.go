// Package auth turns a client's token into an identity and makes tokens for operators and tests.
//
// Tokens are JSON Web Tokens (RFC 7519) signed with HS256 or EdDSA (Ed25519). The key decides the algorithm: a token never
// chooses how it is checked, so "alg: none" and a public key used as an HMAC secret are refused. A Verifier is called by the
// workers of the auth pool; the keys come from files that cmd reads at start. The package knows nothing of connections: what
// an expired or invalid token does to one is decided by dispatch.
package auth

import (
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// The bounds of a token and its claims, checked before anything is kept. All are bytes but MaxGroups and MaxSkills.
const (
	MaxToken  = 8 << 10 // the whole token as the client sends it
	MaxName   = 128     // sub, name and each group
	MaxGroups = 64
	MaxSkill  = 64 // each skill and language; what a visitor may ask for is as long
	MaxSkills = 64 // skills, and as many languages
)

// Identity is what a valid token says of its bearer. It borrows nothing from the token.
type Identity struct {
	User      string // sub: 1 to 128 bytes of UTF-8, unique in this installation
	Name      string // shown to others; may be empty
	Role      frame.Role
	Groups    []string // where a visitor may open conversations, and which an agent serves; at most 64
	Capacity  int      // conversations that an agent takes at a time; 0: the configured default
	Weight    int      // of an agent: conversations in relation to others, where its group goes by weight; at most 100; 0: 1
	Skills    []string // of an agent: conversations that require others do not come to it; at most 64 of 64 bytes
	Languages []string // of an agent; likewise; none: it is taken to speak all
	Expires   time.Time
}
