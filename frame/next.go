package frame

import (
	"math"
	"unicode/utf8"
)

// Next takes the first frame off a batch: its type, its bytes (array header included) and the rest of the batch. Everything in the
// frame is checked: each declared length against what is left, nesting (MaxDepth), text for UTF-8, map keys for being strings,
// no extension types, no infinite numbers; so a frame that Next returned can always be read, stored and written as JSON. It accepts
// integers and lengths in any form, not only the shortest. It works in place and does not allocate; f and rest borrow from
// batch. An unknown type is not an error. Call it while the rest is not empty: an empty batch is ErrTruncated.
func Next(batch []byte) (typ Type, f, rest []byte, err error) {
	typ, n, b, err := frameHead(batch)
	if err != nil {
		return 0, nil, nil, err
	}
	depth := MaxDepth
	if typ == TypePage {
		depth += pageDepth
	}
	if b, err = checkValues(b, n-1, depth-1); err != nil {
		return 0, nil, nil, err
	}
	end := len(batch) - len(b)
	return typ, batch[:end:end], b, nil
}

// frameHead reads an array header and the frame's type; n is the number of elements, the type included.
func frameHead(b []byte) (typ Type, n int, rest []byte, err error) {
	if len(b) >= 2 && b[0]&^0x0f == codeFixArray && b[0] != codeFixArray && b[1] < 0x80 { // the fast path, what writers send
		return Type(b[1]), int(b[0] & 0x0f), b[2:], nil
	}
	k, v, b, err := readHead(b)
	if err != nil {
		return 0, 0, nil, err
	}
	if k != kindArray || v == 0 {
		return 0, 0, nil, ErrNotFrame
	}
	if v > uint64(len(b)) {
		return 0, 0, nil, ErrTruncated
	}
	n = int(v)
	if k, v, b, err = readHead(b); err != nil {
		return 0, 0, nil, err
	}
	if k != kindUint && k != kindInt || v > math.MaxUint8 {
		return 0, 0, nil, ErrNotFrame
	}
	return Type(v), n, b, nil
}

// checkValues checks n values and returns what follows them; arrays and maps may nest depth deep.
func checkValues(b []byte, n, depth int) ([]byte, error) {
	var err error
	for ; n > 0; n-- {
		if rest, ok := passPlain(b); ok {
			b = rest
		} else if b, err = checkValue(b, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// passPlain is the fast path, small enough to be inlined: integers, nil, booleans, and bytes of up to 255, ids above all. It spares
// two thirds of the calls on a message frame.
func passPlain(b []byte) (rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, false
	}
	n := int(heads[b[0]].width)
	if b[0] == codeBin8 {
		n = 2 + int(b[1])
	}
	if n == 0 || n > len(b) {
		return nil, false
	}
	return b[n:], true
}

func checkValue(b []byte, depth int) ([]byte, error) {
	k, v, b, err := readHead(b)
	if err != nil {
		return nil, err
	}
	switch k {
	case kindNil, kindBool, kindInt, kindUint:
		return b, nil
	case kindStr:
		return checkText(b, v)
	case kindBin:
		if v > uint64(len(b)) {
			return nil, ErrTruncated
		}
		return b[v:], nil
	case kindFloat32:
		return b, finite(float64(math.Float32frombits(uint32(v))))
	case kindFloat64:
		return b, finite(math.Float64frombits(v))
	case kindArray, kindMap:
		return checkContainer(b, k, v, depth)
	case kindExt:
		return nil, ErrExt
	default:
		return nil, ErrCode
	}
}

func checkText(b []byte, n uint64) ([]byte, error) {
	if n > uint64(len(b)) {
		return nil, ErrTruncated
	}
	if !utf8.Valid(b[:n]) {
		return nil, ErrUTF8
	}
	return b[n:], nil
}

func finite(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return ErrFloat
	}
	return nil
}

// checkContainer checks an array of n values or a map of n pairs. Each value takes a byte at least, so a count beyond what is left is
// refused before the first one is looked at.
func checkContainer(b []byte, k kind, n uint64, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, ErrDepth
	}
	if k == kindArray {
		if n > uint64(len(b)) {
			return nil, ErrTruncated
		}
		return checkValues(b, int(n), depth-1)
	}
	if 2*n > uint64(len(b)) {
		return nil, ErrTruncated
	}
	return checkPairs(b, int(n), depth-1)
}

func checkPairs(b []byte, n, depth int) ([]byte, error) {
	for ; n > 0; n-- {
		k, v, key, err := readHead(b)
		if err != nil {
			return nil, err
		}
		if k != kindStr {
			return nil, ErrMapKey
		}
		if b, err = checkText(key, v); err != nil {
			return nil, err
		}
		if b, err = checkValue(b, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// skipValue returns what follows one value of a frame that Next checked. On other bytes it may fail, or skip the wrong amount,
// but it stays within b; nesting is not counted, because no stack is used.
func skipValue(b []byte) ([]byte, error) {
	for pending := uint64(1); pending > 0; pending-- {
		k, v, rest, err := readHead(b)
		if err != nil {
			return nil, err
		}
		b = rest
		switch k {
		case kindStr, kindBin:
			if v > uint64(len(b)) {
				return nil, ErrTruncated
			}
			b = b[v:]
		case kindArray:
			pending += v
		case kindMap:
			pending += 2 * v
		}
	}
	return b, nil
}

// PeekConv returns the conversation of a client's frame that is bound to one, without reading the rest; ok is false for
// other types and where no valid id stands. f is a frame that Next returned.
func PeekConv(typ Type, f []byte) (conv ID, ok bool) {
	r := newReader(f, typ)
	switch typ {
	case TypeAttach, TypeResume, TypeDetach, TypeClose, TypeReopen, TypeJoin, TypeSend, TypeHistory, TypeClaim, TypeTransfer, TypeHold, TypeRate:
		r.uint()
	case TypeDelivered, TypeRead, TypeSignal:
	default:
		return ID{}, false
	}
	conv = r.id()
	return conv, r.err == nil
}

// PeekRef returns the ref of a client's frame of any type, also an unknown one: its second element, or 0 if that is no
// unsigned integer. f is a frame that Next returned.
func PeekRef(f []byte) uint64 {
	_, n, b, err := frameHead(f)
	if err != nil || n < 2 {
		return 0
	}
	k, v, _, err := readHead(b)
	if err != nil || k != kindUint && (k != kindInt || int64(v) < 0) {
		return 0
	}
	return v
}

// Droppable tells whether a frame is of level 0, so that it may be left out for a client that reads too slowly.
func Droppable(f []byte) bool {
	typ, _, _, err := frameHead(f)
	return err == nil && (typ == TypeSignaled || typ == TypePresence || typ == TypePosition)
}
