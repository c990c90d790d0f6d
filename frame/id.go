package frame

import (
	"encoding/hex"
	"errors"
)

// ErrID is returned by ParseID for anything but 32 hexadecimal digits that are not all zero.
var ErrID = errors.New("frame: an id is 32 hexadecimal digits, not all zero")

// ID names a conversation, or is a client's own id of a message it sends: 16 bytes, bin 16 on the msgpack wire and 32
// lower-case hex digits in JSON, URLs and logs. The zero ID is not valid on the wire; nil stands for "none".
type ID [16]byte

// IsZero tells whether the ID stands for "none".
func (id ID) IsZero() bool { return id == ID{} }

// String returns 32 lower-case hex digits.
func (id ID) String() string { return string(id.AppendText(nil)) }

// AppendText appends what String returns.
func (id ID) AppendText(dst []byte) []byte { return hex.AppendEncode(dst, id[:]) }

// ParseID reads what String returns; upper-case digits are accepted too.
func ParseID(s string) (ID, error) {
	id, ok := parseHexID([]byte(s))
	if !ok || id.IsZero() {
		return ID{}, ErrID
	}
	return id, nil
}

func parseHexID(s []byte) (id ID, ok bool) {
	if len(s) != 2*len(id) {
		return ID{}, false
	}
	_, err := hex.Decode(id[:], s)
	return id, err == nil
}
