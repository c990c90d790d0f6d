package frame

import "errors"

// What Next finds wrong with a frame. All are answered with the error code bad_frame.
var (
	ErrTruncated = errors.New("frame: a declared length exceeds what is left")
	ErrNotFrame  = errors.New("frame: not an array that starts with a type from 0 to 255")
	ErrDepth     = errors.New("frame: arrays and maps nested too deeply")
	ErrCode      = errors.New("frame: byte 0xc1 begins no value")
	ErrExt       = errors.New("frame: extension types are not part of the protocol")
	ErrMapKey    = errors.New("frame: a map key is not a string")
	ErrUTF8      = errors.New("frame: a string is not UTF-8")
	ErrFloat     = errors.New("frame: a number is infinite or not a number")
)

// ErrTrailing is returned by CheckBody for bytes behind the value.
var ErrTrailing = errors.New("frame: more than one value")

// What Parse finds wrong with a field; it comes wrapped in a *FieldError.
var (
	ErrType     = errors.New("the frame has another type")
	ErrMissing  = errors.New("missing")
	ErrNotUint  = errors.New("not an unsigned integer")
	ErrRange    = errors.New("number too large")
	ErrNotBool  = errors.New("not a boolean")
	ErrNotText  = errors.New("not a string")
	ErrTooLong  = errors.New("string too long")
	ErrNotID    = errors.New("not an id of 16 bytes that are not all zero")
	ErrNotArray = errors.New("not an array")
)

// FieldError says which field of which frame Parse could not read, and why. The fields before it are set, so a request's
// ref is known when a later field is at fault. Answered with the error code bad_frame.
type FieldError struct {
	Type  Type
	Field string // as in PROTOCOL.md
	Err   error  // one of the sentinels above
}

func (e *FieldError) Error() string {
	return "frame: " + e.Type.String() + "." + e.Field + ": " + e.Err.Error()
}

// Unwrap returns the sentinel.
func (e *FieldError) Unwrap() error { return e.Err }
