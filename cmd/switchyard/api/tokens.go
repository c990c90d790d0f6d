package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

// How long a visitor's token may be valid. An application asks for a new one whenever it needs one, so it need not be long.
const (
	tokenStandard = time.Hour
	tokenMax      = 30 * 24 * time.Hour
)

// createToken answers POST /v1/tokens with a token for a visitor.
func (s *Server) createToken(r *request) (any, error) {
	var body struct {
		User   string   `json:"user"`
		Name   string   `json:"name"`
		Groups []string `json:"groups"`
		TTL    int64    `json:"ttl_s"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	ttl := time.Duration(min(max(body.TTL, -1), int64(tokenMax/time.Second)+1)) * time.Second
	if ttl == 0 {
		ttl = tokenStandard
	}
	if ttl < time.Second || ttl > tokenMax {
		return nil, badRequest(fmt.Sprintf("ttl_s is from 1 to %d", int64(tokenMax/time.Second)))
	}
	for _, g := range body.Groups {
		if !r.key.Oversees(g) {
			return nil, &problem{http.StatusForbidden, "forbidden", fmt.Sprintf("the key %q is not for the group %q", r.key.Name, g), 0}
		}
	}
	if len(body.Groups) == 0 {
		body.Groups = r.key.Groups
	}
	signer, ok := s.cfg.Verifier.Signer()
	if !ok {
		return nil, &problem{http.StatusConflict, "conflict", "the server has no key that can sign: name a private key, or a secret, in auth.keys", 0}
	}
	now := time.Now()
	expires := now.Add(ttl).Truncate(time.Second)
	token, err := signer.Sign(auth.Identity{User: body.User, Name: body.Name, Role: frame.RoleVisitor, Groups: body.Groups, Expires: expires}, now)
	if err != nil {
		return nil, badRequest(err.Error())
	}
	return map[string]any{"token": token, "expires_ms": expires.UnixMilli()}, nil
}
