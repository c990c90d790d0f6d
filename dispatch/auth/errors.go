package auth

import "errors"

// The two ways in which a token is refused. A client with an expired token gets a new one and comes back; with an invalid
// one it would only be refused again.
var (
	ErrExpired = errors.New("auth: the token has expired")
	ErrInvalid = errors.New("auth: the token is invalid")
)

// Error says why a token is refused; errors.Is tells ErrExpired from ErrInvalid. The text is safe to log and to send: it
// never contains a part of the token.
type Error struct {
	Reason string // for example "it is signed with another key"
	kind   error
}

// Error joins the kind and the reason.
func (e *Error) Error() string { return e.kind.Error() + ": " + e.Reason }

// Unwrap returns ErrExpired or ErrInvalid.
func (e *Error) Unwrap() error { return e.kind }

func invalid(reason string) error { return &Error{Reason: reason, kind: ErrInvalid} }
