package frame

import (
	"encoding/binary"
	"math"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The msgpack format as a table: what each of the 256 possible first bytes of a value announces.
// https://github.com/msgpack/msgpack/blob/master/spec.md

type kind uint8

const (
	kindReserved kind = iota
	kindNil
	kindBool
	kindUint
	kindInt
	kindFloat32
	kindFloat64
	kindStr
	kindBin
	kindArray
	kindMap
	kindExt
)

// head describes a first byte. The value's number follows in size bytes, big-endian; with size 0 it is fixed. For integers,
// floats and booleans that number is the value (its bits), for the others the length in bytes, elements or pairs.
type head struct {
	kind  kind
	size  uint8
	fixed int8
	width uint8 // of the whole value, where nothing but the head must be checked: nil, booleans, integers; else 0
}

var heads = makeHeads()

func makeHeads() (t [256]head) {
	for c := range 256 {
		b := byte(c)
		switch {
		case msgpcode.IsFixedNum(b):
			t[c] = head{kind: kindInt, fixed: int8(b)}
		case msgpcode.IsFixedMap(b):
			t[c] = head{kind: kindMap, fixed: int8(b & msgpcode.FixedMapMask)}
		case msgpcode.IsFixedArray(b):
			t[c] = head{kind: kindArray, fixed: int8(b & msgpcode.FixedArrayMask)}
		case msgpcode.IsFixedString(b):
			t[c] = head{kind: kindStr, fixed: int8(b & msgpcode.FixedStrMask)}
		}
	}
	t[msgpcode.Nil] = head{kind: kindNil}
	t[msgpcode.False] = head{kind: kindBool}
	t[msgpcode.True] = head{kind: kindBool, fixed: 1}
	t[msgpcode.Float] = head{kind: kindFloat32, size: 4}
	t[msgpcode.Double] = head{kind: kindFloat64, size: 8}
	sized := func(k kind, first byte, size, n uint8) {
		for i := range n {
			t[first+i] = head{kind: k, size: size << i}
		}
	}
	sized(kindUint, msgpcode.Uint8, 1, 4)
	sized(kindInt, msgpcode.Int8, 1, 4)
	sized(kindStr, msgpcode.Str8, 1, 3)
	sized(kindBin, msgpcode.Bin8, 1, 3)
	sized(kindArray, msgpcode.Array16, 2, 2)
	sized(kindMap, msgpcode.Map16, 2, 2)
	for c := range 256 {
		if msgpcode.IsExt(byte(c)) {
			t[c] = head{kind: kindExt}
		}
	}
	for c := range t {
		switch h := &t[c]; h.kind {
		case kindNil, kindBool, kindInt, kindUint:
			h.width = 1 + h.size
		}
	}
	return t
}

// readHead reads the first byte of a value and its number, and returns what follows them. It checks no length against rest but
// its own. Negative integers come as their two's complement.
func readHead(b []byte) (k kind, v uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, ErrTruncated
	}
	h := heads[b[0]]
	if h.size == 0 {
		return h.kind, uint64(h.fixed), b[1:], nil
	}
	if len(b) < 1+int(h.size) {
		return 0, 0, nil, ErrTruncated
	}
	v, rest = readNumber(h.size, b[1:])
	if h.kind == kindInt {
		shift := 64 - 8*h.size
		v = uint64(int64(v<<shift) >> shift)
	}
	return h.kind, v, rest, nil
}

// readNumber reads a big-endian number of 1, 2, 4 or 8 bytes; b is long enough.
func readNumber(size uint8, b []byte) (v uint64, rest []byte) {
	switch size {
	case 1:
		return uint64(b[0]), b[1:]
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), b[2:]
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), b[4:]
	default:
		return binary.BigEndian.Uint64(b), b[8:]
	}
}

// The writers use the shortest form, as constants, because msgpcode's names are variables.
const (
	codeNil   = 0xc0
	codeFalse = 0xc2
	codeTrue  = 0xc3

	codeFloat64 = 0xcb

	codeUint8  = 0xcc
	codeUint16 = 0xcd
	codeUint32 = 0xce
	codeUint64 = 0xcf

	codeInt8  = 0xd0
	codeInt16 = 0xd1
	codeInt32 = 0xd2
	codeInt64 = 0xd3

	codeBin8  = 0xc4
	codeBin16 = 0xc5
	codeBin32 = 0xc6

	codeFixStr = 0xa0
	codeStr8   = 0xd9
	codeStr16  = 0xda
	codeStr32  = 0xdb

	codeFixArray = 0x90
	codeArray16  = 0xdc
	codeArray32  = 0xdd

	codeFixMap = 0x80
	codeMap16  = 0xde
	codeMap32  = 0xdf
)

// appendFrame begins a frame of n elements, the type included; n is at most 15.
func appendFrame(dst []byte, t Type, n int) []byte {
	return append(dst, codeFixArray|byte(n), byte(t))
}

func appendUint(dst []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(dst, byte(v))
	case v < 1<<8:
		return append(dst, codeUint8, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, codeUint16), uint16(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, codeUint32), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(dst, codeUint64), v)
	}
}

func appendInt(dst []byte, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(dst, uint64(v))
	case v >= -1<<5:
		return append(dst, byte(v))
	case v >= -1<<7:
		return append(dst, codeInt8, byte(v))
	case v >= -1<<15:
		return binary.BigEndian.AppendUint16(append(dst, codeInt16), uint16(v))
	case v >= -1<<31:
		return binary.BigEndian.AppendUint32(append(dst, codeInt32), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(dst, codeInt64), uint64(v))
	}
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeFloat64), math.Float64bits(f))
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, codeTrue)
	}
	return append(dst, codeFalse)
}

func appendStr[T string | []byte](dst []byte, s T) []byte {
	if len(s) < 32 {
		return append(append(dst, codeFixStr|byte(len(s))), s...)
	}
	return append(appendLen(dst, len(s), codeStr8, codeStr16, codeStr32), s...)
}

func appendBin(dst, b []byte) []byte {
	return append(appendLen(dst, len(b), codeBin8, codeBin16, codeBin32), b...)
}

// appendLen writes a length in 1, 2 or 4 bytes behind the code that announces it; code8 is 0 where no such code exists.
func appendLen(dst []byte, n int, code8, code16, code32 byte) []byte {
	switch {
	case n < 1<<8 && code8 != 0:
		return append(dst, code8, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, code16), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, code32), uint32(n))
	}
}

func appendArrayHead(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, codeFixArray|byte(n))
	}
	return appendLen(dst, n, 0, codeArray16, codeArray32)
}

func appendMapHead(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, codeFixMap|byte(n))
	}
	return appendLen(dst, n, 0, codeMap16, codeMap32)
}

func appendID(dst []byte, id ID) []byte {
	return append(append(dst, codeBin8, byte(len(id))), id[:]...)
}

// appendOptionalID writes nil for the zero ID.
func appendOptionalID(dst []byte, id ID) []byte {
	if id.IsZero() {
		return append(dst, codeNil)
	}
	return appendID(dst, id)
}

// appendBody writes one encoded value, or nil for none.
func appendBody(dst, body []byte) []byte {
	if len(body) == 0 {
		return append(dst, codeNil)
	}
	return append(dst, body...)
}
