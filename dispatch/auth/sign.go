package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// Sign makes a token for the identity, issued at now and valid until id.Expires, with the key's id as kid. The identity
// must keep the same bounds that Verify checks.
func (k Key) Sign(id Identity, now time.Time) (string, error) {
	if !k.CanSign() {
		return "", ErrCannotSign
	}
	if _, err := frame.ParseRole(id.Role.String()); err != nil {
		return "", err
	}
	if err := id.check(); err != nil {
		return "", fmt.Errorf("auth: cannot sign: %s", reasonOf(err))
	}
	if !id.Expires.After(now) || id.Expires.After(latest) {
		return "", fmt.Errorf("auth: cannot sign: the token would end at %s; it must end after now and before the year 10000", id.Expires.UTC().Format(time.RFC3339))
	}
	return k.signClaims(&claims{
		Subject:   id.User,
		Role:      id.Role.String(),
		Groups:    id.Groups,
		Name:      id.Name,
		Capacity:  id.Capacity,
		Weight:    id.Weight,
		Skills:    id.Skills,
		Languages: id.Languages,
		ExpiresAt: jwt.NewNumericDate(id.Expires),
		IssuedAt:  jwt.NewNumericDate(now),
	})
}

func (k Key) signClaims(c jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(jwt.GetSigningMethod(k.alg), c)
	if k.id != "" {
		token.Header["kid"] = k.id
	}
	return token.SignedString(k.sign)
}

func reasonOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return err.Error()
}
