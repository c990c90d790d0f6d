package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxKeys bounds the keys of a Verifier: the current one, the next, and those of a few issuers. A token without a key id is
// tried against each.
const MaxKeys = 16

// DefaultLeeway is how far the issuer's clock may be ahead of ours.
const DefaultLeeway = 10 * time.Second

// Verifier checks tokens against a fixed set of keys. It is safe for concurrent use, and but for what it remembers of headers immutable after
// NewVerifier; a verification costs a few microseconds (HS256) to some tens (EdDSA) and never blocks.
type Verifier struct {
	keys    []Key
	leeway  time.Duration
	parser  *jwt.Parser
	headers headers
}

// NewVerifier takes 1 to MaxKeys keys. Two keys may not have the same id; several may have none. Leeway (0:
// DefaultLeeway) applies to nbf and iat only.
func NewVerifier(keys []Key, leeway time.Duration) (*Verifier, error) {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return nil, fmt.Errorf("auth: %d keys; configure 1 to %d", len(keys), MaxKeys)
	}
	if leeway == 0 {
		leeway = DefaultLeeway
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if k.verify == nil {
			return nil, errors.New("auth: a key was not made by ParseKey, LoadKey or GenerateKey")
		}
		if k.id != "" && seen[k.id] {
			return nil, fmt.Errorf("auth: two keys have the id %q; give each its own", k.id)
		}
		seen[k.id] = true
	}
	// The claims are checked here, not by the parser, so that each refusal has its own words and exp has no leeway.
	parser := jwt.NewParser(jwt.WithValidMethods([]string{algHS256, algEdDSA}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return &Verifier{keys: keys, leeway: leeway, parser: parser}, nil
}

// Signer returns the first key that can sign, too.
func (v *Verifier) Signer() (Key, bool) {
	for _, k := range v.keys {
		if k.CanSign() {
			return k, true
		}
	}
	return Key{}, false
}

// Verify returns the identity of a token that is valid at now, or an *Error. The token is only read during the call.
func (v *Verifier) Verify(token []byte, now time.Time) (Identity, error) {
	if len(token) == 0 {
		return Identity{}, invalid("it is empty")
	}
	if len(token) > MaxToken {
		return Identity{}, invalid("it is longer than 8 KiB")
	}
	var c claims
	if err := v.parse(string(token), &c); err != nil {
		return Identity{}, refusal(err)
	}
	if err := c.checkTimes(now, v.leeway); err != nil {
		return Identity{}, err
	}
	return c.identity()
}

// parse checks the signature and decodes the claims.
func (v *Verifier) parse(token string, c *claims) error {
	header, _, _ := strings.Cut(token, ".")
	if s := v.headers.find(header); s != nil {
		return s.parse(v.parser, token, len(header), c)
	}
	t, err := v.parser.ParseWithClaims(token, c, v.candidates)
	if err != nil {
		return err
	}
	set, err := v.candidates(t)
	if err != nil {
		return err
	}
	v.headers.remember(header, newSigners(t.Method, set.(jwt.VerificationKeySet).Keys))
	return nil
}

// candidates returns the keys that may have signed a token with this header: of its algorithm, and of its key id or
// without one.
func (v *Verifier) candidates(t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, invalid("its header has critical extensions (crit), and none is supported")
	}
	kid, named := t.Header["kid"].(string)
	var set jwt.VerificationKeySet
	for _, k := range v.keys {
		if k.alg == t.Method.Alg() && (!named || k.id == "" || k.id == kid) {
			set.Keys = append(set.Keys, k.verify)
		}
	}
	if len(set.Keys) == 0 {
		return nil, invalid("no configured key has its algorithm (alg) and key id (kid)")
	}
	return set, nil
}

// refusal names what the parser found. The parser's own text is dropped, because it may quote the token.
func refusal(err error) error {
	var own *Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, jwt.ErrTokenMalformed):
		return invalid("it is not a JSON Web Token with the claims of the documentation")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return invalid("its algorithm (alg) is unknown")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return invalid("it is signed with another key or algorithm")
	default:
		return invalid("it cannot be verified")
	}
}
