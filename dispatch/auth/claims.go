package auth

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// maxCapacity bounds what a token may claim; more conversations than this at a time is a mistake, not an agent.
const maxCapacity = 10_000

// maxWeight bounds what a token may claim: an agent who serves a hundred times as many as others is a mistake too.
const maxWeight = 100

// latest is the last second of the year 9999, so that an expiry always fits the wire's milliseconds.
var latest = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// claims is the JSON of a token's payload. Other registered claims (iss, aud, jti) are ignored: a key is trusted for this
// installation or it is not configured.
type claims struct {
	Subject   string           `json:"sub"`
	Role      string           `json:"role"`
	Groups    []string         `json:"groups,omitempty"`
	Name      string           `json:"name,omitempty"`
	Capacity  int              `json:"capacity,omitempty"`
	Weight    int              `json:"weight,omitempty"`
	Skills    []string         `json:"skills,omitempty"`
	Languages []string         `json:"languages,omitempty"`
	ExpiresAt *jwt.NumericDate `json:"exp"`
	NotBefore *jwt.NumericDate `json:"nbf,omitempty"`
	IssuedAt  *jwt.NumericDate `json:"iat,omitempty"`
}

// checkTimes is exact for exp, so that every part of the server agrees on when a token ends; leeway forgives an issuer
// whose clock is ahead.
func (c *claims) checkTimes(now time.Time, leeway time.Duration) error {
	switch {
	case c.ExpiresAt == nil:
		return invalid("the claim exp is missing")
	case c.ExpiresAt.After(latest) || c.ExpiresAt.Unix() < 0:
		return invalid("the claim exp is not a time in seconds since 1970")
	case !now.Before(c.ExpiresAt.Time):
		return &Error{Reason: fmt.Sprintf("it ended %s ago", now.Sub(c.ExpiresAt.Time).Round(time.Second)), kind: ErrExpired}
	case c.NotBefore != nil && c.NotBefore.After(now.Add(leeway)):
		return invalid("it is not valid yet (nbf); compare the clocks of the issuer and of the server")
	case c.IssuedAt != nil && c.IssuedAt.After(now.Add(leeway)):
		return invalid("it was issued in the future (iat); compare the clocks of the issuer and of the server")
	}
	return nil
}

// identity checks what the claims say of the bearer.
func (c *claims) identity() (Identity, error) {
	role, err := frame.ParseRole(c.Role)
	if err != nil {
		return Identity{}, invalid("the claim role is not visitor, agent or supervisor")
	}
	id := Identity{User: c.Subject, Name: c.Name, Role: role, Groups: c.Groups, Capacity: c.Capacity, Weight: c.Weight, Skills: c.Skills, Languages: c.Languages}
	if c.ExpiresAt != nil {
		id.Expires = c.ExpiresAt.Time
	}
	return id, id.check()
}

// check verifies the bounds of everything that is text or a number.
func (id *Identity) check() error {
	if !validName(id.User) {
		return invalid("the claim sub is not 1 to 128 bytes of UTF-8")
	}
	if id.Name != "" && !validName(id.Name) {
		return invalid("the claim name is longer than 128 bytes or not UTF-8")
	}
	if len(id.Groups) > MaxGroups {
		return invalid("the claim groups has more than 64 entries")
	}
	for _, g := range id.Groups {
		if !validName(g) {
			return invalid("an entry of the claim groups is not 1 to 128 bytes of UTF-8")
		}
	}
	if id.Capacity < 0 || id.Capacity > maxCapacity {
		return invalid("the claim capacity is not between 0 and 10000")
	}
	if id.Weight < 0 || id.Weight > maxWeight {
		return invalid("the claim weight is not between 0 and 100")
	}
	if !validSkills(id.Skills) {
		return invalid("the claim skills is not at most 64 entries of 1 to 64 bytes of UTF-8")
	}
	if !validSkills(id.Languages) {
		return invalid("the claim languages is not at most 64 entries of 1 to 64 bytes of UTF-8")
	}
	return nil
}

func validSkills(list []string) bool {
	return len(list) <= MaxSkills && !slices.ContainsFunc(list, func(s string) bool { return len(s) > MaxSkill || !validName(s) })
}

func validName(s string) bool { return s != "" && len(s) <= MaxName && utf8.ValidString(s) }

// The methods below make claims a jwt.Claims; the parser does not call them, since the times are checked here.

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.ExpiresAt, nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.IssuedAt, nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore, nil }
func (c *claims) GetIssuer() (string, error)                   { return "", nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }
