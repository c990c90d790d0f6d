package frame

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Every frame cut anywhere is refused as cut, and every frame in a batch is found whole, whatever follows.
func TestNextOnPrefixes(t *testing.T) {
	var batch []byte
	for _, m := range sample() {
		f := m.Append(nil)
		for n := range f {
			if _, _, _, err := Next(f[:n]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%d bytes of %x: %v", n, f, err)
			}
			if newFrame(typeOf(t, m)).Parse(f[:n]) == nil && n < len(f)-len(lastElement(t, f)) {
				t.Fatalf("parsed %d bytes of %x", n, f)
			}
		}
		batch = m.Append(batch)
	}
	for _, m := range sample() {
		typ, f, rest, err := Next(batch)
		if err != nil || typ != typeOf(t, m) || !bytes.Equal(f, m.Append(nil)) {
			t.Fatalf("%v, %x, %v", typ, f, err)
		}
		if cap(f) != len(f) {
			t.Fatal("an append to a frame would overwrite the next one")
		}
		batch = rest
	}
	if len(batch) > 0 {
		t.Fatalf("%x is left", batch)
	}
}

// lastElement returns the bytes of a frame's last element.
func lastElement(t *testing.T, f []byte) []byte {
	t.Helper()
	_, n, b, err := frameHead(f)
	for ; n > 2 && err == nil; n-- {
		b, err = skipValue(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A message whose body nests as deep as a client may send fits a page; one level more is refused in both.
func TestDepth(t *testing.T) {
	for _, bodyDepth := range []int{MaxDepth - 1, MaxDepth} {
		body := []byte(strings.Repeat("\x91", bodyDepth-1) + "\x90")
		m := Message{Conv: ID{1}, Body: body}
		f := m.Append(nil)
		p := Page{Ref: 1, Conv: ID{1}, Count: 1, Messages: f}
		_, _, _, errMessage := Next(f)
		_, _, _, errPage := Next(p.Append(nil))
		errBody := CheckBody(body)
		if want := bodyDepth >= MaxDepth; want != errors.Is(errMessage, ErrDepth) || want != errors.Is(errPage, ErrDepth) || want != errors.Is(errBody, ErrDepth) {
			t.Errorf("a body %d deep: %v, %v, %v", bodyDepth, errMessage, errPage, errBody)
		}
	}
}

// Every length that a head can declare beyond what is left is refused, at any place in a frame.
func TestDeclaredLengths(t *testing.T) {
	for _, code := range []byte{msgpcode.Str8, msgpcode.Str16, msgpcode.Str32, msgpcode.Bin8, msgpcode.Bin16, msgpcode.Bin32,
		msgpcode.Array16, msgpcode.Array32, msgpcode.Map16, msgpcode.Map32} {
		size := int(heads[code].size)
		for _, top := range []byte{0x02, 0x7f, 0x80, 0xff} {
			length := append([]byte{top}, bytes.Repeat([]byte{0xff}, size-1)...)
			head := append([]byte{code}, length...)
			for _, before := range []string{"", "\x92\x7f", "\x92\x04", "\x92\x7f\x91", "\x92\x7f\x81\xa1a", "\x92\x7f\x81"} {
				if _, _, _, err := Next(append(append([]byte(before), head...), 0xc0)); err == nil {
					t.Errorf("% x behind % x was accepted", head, before)
				}
			}
		}
	}
}

func TestPeekConv(t *testing.T) {
	bound := map[Type]bool{TypeAttach: true, TypeResume: true, TypeDetach: true, TypeClose: true, TypeSend: true, TypeHistory: true,
		TypeDelivered: true, TypeRead: true, TypeSignal: true, TypeReopen: true, TypeJoin: true, TypeClaim: true, TypeTransfer: true, TypeHold: true, TypeRate: true}
	for _, m := range sample() {
		typ := typeOf(t, m)
		if conv, ok := PeekConv(typ, m.Append(nil)); ok != bound[typ] || ok && conv != (ID{1, 2, 3, 15: 16}) {
			t.Errorf("%s: %v, %v", typ, conv, ok)
		}
	}
	for _, bad := range []string{"9120", "9220 01", "9320 a1 61", "9320 01 c0", "9320 01 a0", "9223 c0"} {
		if conv, ok := PeekConv(TypeSend, unhex(t, bad)); ok {
			t.Errorf("%s: %v", bad, conv)
		}
	}
}

func TestPeekRef(t *testing.T) {
	for frame, want := range map[string]uint64{"9320 07 c0": 7, "937f cd0100 c0": 256, "917f": 0, "927f a107": 0, "927f ff": 0,
		"927f d3ffffffffffffffff": 0, "927f d30000000000000005": 5, "927f cfffffffffffffffff": 1<<64 - 1, "": 0, "c0": 0, "92 7f": 0} {
		if got := PeekRef(unhex(t, frame)); got != want {
			t.Errorf("PeekRef(%s) = %d, want %d", frame, got, want)
		}
	}
}

func TestDroppable(t *testing.T) {
	for _, m := range sample() {
		typ := typeOf(t, m)
		if got, want := Droppable(m.Append(nil)), typ == TypeSignaled || typ == TypePresence || typ == TypePosition; got != want {
			t.Errorf("Droppable(%s) = %v", typ, got)
		}
	}
}

func TestTypes(t *testing.T) {
	last := Type(0)
	for _, typ := range Types() {
		if typ <= last || !typ.Known() || newFrame(typ) == nil {
			t.Errorf("type %s is out of order or unknown", typ)
		}
		last = typ
	}
	if Type(0x7f).Known() || Type(0x7f).FromClient() || Type(0x7f).String() != "0x7f" || Type(5).String() != "drain" || Type(0).String() != "0x00" {
		t.Error("names of types")
	}
	if !TypeSend.FromClient() || !TypeHeartbeat.FromClient() || TypeAck.FromClient() {
		t.Error("directions of types")
	}
}

// The constants that the writers use are those of the msgpack library.
func TestCodesOfMsgpack(t *testing.T) {
	for ours, theirs := range map[byte]byte{codeNil: msgpcode.Nil, codeFalse: msgpcode.False, codeTrue: msgpcode.True,
		codeFloat64: msgpcode.Double, codeUint8: msgpcode.Uint8, codeUint16: msgpcode.Uint16, codeUint32: msgpcode.Uint32,
		codeUint64: msgpcode.Uint64, codeInt8: msgpcode.Int8, codeInt16: msgpcode.Int16, codeInt32: msgpcode.Int32,
		codeInt64: msgpcode.Int64, codeBin8: msgpcode.Bin8, codeBin16: msgpcode.Bin16, codeBin32: msgpcode.Bin32,
		codeFixStr: msgpcode.FixedStrLow, codeStr8: msgpcode.Str8, codeStr16: msgpcode.Str16, codeStr32: msgpcode.Str32,
		codeFixArray: msgpcode.FixedArrayLow, codeArray16: msgpcode.Array16, codeArray32: msgpcode.Array32,
		codeFixMap: msgpcode.FixedMapLow, codeMap16: msgpcode.Map16, codeMap32: msgpcode.Map32} {
		if ours != theirs {
			t.Errorf("%x is %x", ours, theirs)
		}
	}
	for c, h := range heads {
		if (h.kind == kindReserved) != (c == 0xc1) {
			t.Errorf("byte %x is %v", c, h)
		}
	}
}
