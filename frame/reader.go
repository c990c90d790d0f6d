package frame

import (
	"encoding/binary"
	"math"
)

// reader reads the fields of one frame in order. The first failure sticks: what is read after it is zero, and done reports it.
// It lives on the stack of one Parse.
type reader struct {
	b     []byte // the elements not read yet
	left  int    // how many there are
	field int    // the index of the next one; the type is 0
	err   error  // the first failure, at field
}

func newReader(f []byte, want Type) (r reader) {
	typ, n, b, err := frameHead(f)
	switch {
	case err != nil:
		r.err = err
	case typ != want:
		r.err = ErrType
	default:
		r = reader{b: b, left: n - 1, field: 1}
	}
	return r
}

// done returns nil or the failure; elements that were not read are left to later versions of the protocol.
func (r *reader) done(t Type) error {
	if r.err == nil {
		return nil
	}
	return &FieldError{Type: t, Field: fieldName(t, r.field), Err: r.err}
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b, r.left = nil, 0
}

// advance counts one element as read; rest is what follows it.
func (r *reader) advance(rest []byte) {
	r.b = rest
	r.left--
	r.field++
}

func (r *reader) uint() uint64 {
	if r.left > 0 && len(r.b) >= 9 { // the fast path: no value of up to 9 bytes can be cut off
		switch b := r.b; {
		case b[0] < 0x80:
			r.advance(b[1:])
			return uint64(b[0])
		case b[0] == codeUint64:
			r.advance(b[9:])
			return binary.BigEndian.Uint64(b[1:])
		case b[0] == codeUint32:
			r.advance(b[5:])
			return uint64(binary.BigEndian.Uint32(b[1:]))
		}
	}
	k, v, rest := r.head()
	if r.err == nil && k != kindUint && (k != kindInt || int64(v) < 0) {
		r.fail(ErrNotUint)
	}
	if r.err != nil {
		return 0
	}
	r.advance(rest)
	return v
}

// small reads a number from 0 to 255.
func (r *reader) small() uint8 {
	v := r.uint()
	if v > math.MaxUint8 {
		r.field--
		r.fail(ErrRange)
		return 0
	}
	return uint8(v)
}

func (r *reader) bool() bool {
	k, v, rest := r.head()
	if r.err == nil && k != kindBool {
		r.fail(ErrNotBool)
	}
	if r.err != nil {
		return false
	}
	r.advance(rest)
	return v != 0
}

// text reads a string of at most limit bytes. That it is UTF-8 was checked by Next.
func (r *reader) text(limit int) []byte {
	k, n, rest := r.head()
	switch {
	case r.err != nil:
	case k != kindStr:
		r.fail(ErrNotText)
	case n > uint64(len(rest)):
		r.fail(ErrTruncated)
	case n > uint64(limit):
		r.fail(ErrTooLong)
	default:
		r.advance(rest[n:])
		return rest[:n:n]
	}
	return nil
}

func (r *reader) id() (id ID) {
	if r.left > 0 && len(r.b) >= 18 && r.b[0] == codeBin8 && r.b[1] == 16 { // the fast path: the shortest form
		id = ID(r.b[2:18])
		if !id.IsZero() {
			r.advance(r.b[18:])
			return id
		}
	}
	k, n, rest := r.head()
	switch {
	case r.err != nil:
	case k != kindBin || n != 16:
		r.fail(ErrNotID)
	case len(rest) < 16:
		r.fail(ErrTruncated)
	default:
		id = ID(rest)
		if id.IsZero() {
			r.fail(ErrNotID)
			break
		}
		r.advance(rest[16:])
	}
	return id
}

// optionalID reads an id or nil, which is the zero ID.
func (r *reader) optionalID() ID {
	if r.left > 0 && len(r.b) > 0 && r.b[0] == codeNil {
		r.advance(r.b[1:])
		return ID{}
	}
	return r.id()
}

// body returns one value as it stands. The last element needs no walk, since Next found it to end where the frame ends.
func (r *reader) body() []byte {
	if r.left == 0 || len(r.b) == 0 {
		r.fail(ErrMissing)
		return nil
	}
	if r.left == 1 {
		b := r.b
		r.advance(nil)
		return b
	}
	rest, err := skipValue(r.b)
	if err != nil {
		r.fail(err)
		return nil
	}
	n := len(r.b) - len(rest)
	b := r.b[:n:n]
	r.advance(rest)
	return b
}

// frames returns the number of elements of an array and their bytes.
func (r *reader) frames() (n int, b []byte) {
	body := r.body()
	if r.err != nil {
		return 0, nil
	}
	k, v, b, err := readHead(body)
	if err != nil || k != kindArray || v > uint64(len(b)) {
		r.field--
		r.fail(ErrNotArray)
		return 0, nil
	}
	return int(v), b
}

// head looks at the next element without counting it as read.
func (r *reader) head() (k kind, v uint64, rest []byte) {
	if r.left == 0 {
		r.fail(ErrMissing)
		return 0, 0, nil
	}
	k, v, rest, err := readHead(r.b)
	if err != nil {
		r.fail(err)
	}
	return k, v, rest
}
