package frame

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// vectors is testdata/vectors.json, which clients in any language can run:
//
//   - valid: decode hex to fields; encode the fields to hex unless decode_only; the same with json.
//   - invalid: hex (or json) is refused with error; "frame" means that the bytes are no frame, and the connection is closed, "field" that
//     a field of a frame is at fault, and the connection goes on. Reason is this library's text, for people.
type vectors struct {
	Comment string          `json:"comment"`
	Valid   []validVector   `json:"valid"`
	Invalid []invalidVector `json:"invalid"`
}

type validVector struct {
	Name       string          `json:"name"`
	Type       uint8           `json:"type"`
	From       string          `json:"from"`
	Meaning    string          `json:"meaning,omitempty"`
	Hex        string          `json:"hex"`
	JSON       string          `json:"json"`
	Fields     json.RawMessage `json:"fields,omitempty"`
	DecodeOnly bool            `json:"decode_only,omitempty"`
}

type invalidVector struct {
	Name   string `json:"name"`
	Hex    string `json:"hex,omitempty"`
	JSON   string `json:"json,omitempty"`
	Where  string `json:"where"`
	Error  string `json:"error"`
	Reason string `json:"reason"`
}

// unhex reads hex digits with spaces between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// named writes a frame's fields as a JSON object in their order.
func named(t *testing.T, f []byte) json.RawMessage {
	t.Helper()
	typ, n, rest, err := frameHead(f)
	if err != nil {
		t.Fatal(err)
	}
	w := jsonWriter{src: rest, dst: []byte{'{'}}
	for i := 1; i < n && i <= len(schemaOf[typ].fields); i++ {
		w.comma()
		w.dst = fmt.Appendf(w.dst, "%q:", fieldName(typ, i))
		w.field(fieldKindAt(typ, i))
	}
	return append(w.dst, '}')
}

const (
	c16 = "c410 01020300000000000000000000000010 " // the conversation of the examples
	k16 = "c410 aa0000000000000000000000000000bb " // another id
)

// makeVectors lists all vectors; those of sample() are made with Append.
func makeVectors(t *testing.T) vectors {
	v := vectors{Comment: "Test vectors of the Switchyard protocol, version 1. See frame/PROTOCOL.md and frame/vectors_test.go. " +
		"hex: one frame in msgpack; json: the text of the same frame, as a string because readers of JSON round numbers; fields: its fields by name; decode_only: not the form that an encoder writes."}
	for _, m := range sample() {
		v.Valid = append(v.Valid, validVector{Name: typeOf(t, m).String(), Hex: hex.EncodeToString(m.Append(nil))})
	}
	for _, c := range []struct{ name, meaning, hex string }{
		{"heartbeat from the client", "server_ms is missing", "92 01 cf0000018bcfe56800"},
		{"send of level 1", "id is nil, base 0", "97 20 01 " + c16 + "01 c0 00 a26869"},
		{"send of a map", "a body may be any value", "97 20 01 " + c16 + "02 " + k16 + "00 82 a474657874 a5c3a9e282ac a16e 93 c0 c3 cbbff8000000000000"},
		{"send of bytes", "bin becomes $bin in JSON", "97 20 01 " + c16 + "02 " + k16 + "00 c403 000102"},
		{"send of a map that looks like bytes", "the key gets one more $", "97 20 01 " + c16 + "02 " + k16 + "00 81 a424 62696e a4 41414543"},
		{"send of the greatest integers", "2^64-1 and -2^63; more than JavaScript keeps", "97 20 01 " + c16 + "02 " + k16 + "00 92 cfffffffffffffffff d38000000000000000"},
		{"message of an event", "the server is the sender, without an id", "99 22 " + c16 + "01 00 01 a0 c0 01 82 a56576656e74 a861737369676e6564 a56167656e74 a26131"},
		{"message, greatest sequence", "2^53-1", "99 22 " + c16 + "cf001fffffffffffff cf001ffffffffffffe 01 a176 c0 00 c0"},
		{"page without messages", "", "95 29 01 " + c16 + "c2 90"},
		{"page of which older messages are out of reach", "complete from sequence 70000 on", "96 29 01 " + c16 + "c3 90 ce00011170"},
	} {
		v.Valid = append(v.Valid, validVector{Name: c.name, Meaning: c.meaning, Hex: strings.ReplaceAll(c.hex, " ", "")})
	}
	for _, c := range []struct{ name, meaning, hex string }{
		{"long integers", "integers in any format", "94 cc21 cd0001 d20000 0002 d30000000000000003"},
		{"long array, str and bin heads", "lengths in any format", "dd00000004 10 01 c50010 aa0000000000000000000000000000bb da0005 73616c6573"},
		{"trailing elements", "elements of a later version are ignored", "96 21 01 02 03 a16e 81a16101"},
		{"unknown type", "the server answers unknown_type to ref 7", "93 7f 07 a178"},
		{"unknown type without fields", "", "91 ccff"},
	} {
		v.Valid = append(v.Valid, validVector{Name: c.name, Meaning: c.meaning, Hex: strings.ReplaceAll(c.hex, " ", ""), DecodeOnly: true})
	}
	for i := range v.Valid {
		complete(t, &v.Valid[i])
	}
	v.Invalid = invalidVectors()
	for i := range v.Invalid {
		refuse(t, &v.Invalid[i])
	}
	return v
}

// complete fills in what follows from the bytes.
func complete(t *testing.T, v *validVector) {
	t.Helper()
	typ, f, rest, err := Next(unhex(t, v.Hex))
	if err != nil || len(rest) > 0 {
		t.Fatalf("%s: %v, rest %x", v.Name, err, rest)
	}
	text, err := AppendJSON(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	v.Type, v.From, v.JSON = uint8(typ), "both", string(text[1:len(text)-1])
	if typ.Known() {
		v.From, v.Fields = schemaOf[typ].from, named(t, f)
	}
}

func invalidVectors() []invalidVector {
	var all []invalidVector
	bytes := func(where string, pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, invalidVector{Name: pairs[i], Hex: strings.ReplaceAll(pairs[i+1], " ", ""), Where: where})
		}
	}
	bytes("frame",
		"an empty batch", "",
		"a number", "01", "nil", "c0", "a map", "8101 02", "an empty array", "90", "a negative type", "91 ff", "type 256", "91 cd0100",
		"a type that is a str", "91 a101", "a type that is a float", "91 cb3ff0000000000000",
		"an array cut off", "93 21 01", "an array head cut off", "dc00", "an integer cut off", "92 01 cf000000",
		"a str cut off", "92 04 a5 6869", "str 32 of 2^32-1 bytes", "92 04 dbffffffff 6869", "bin 32 of 2^32-1 bytes", "92 04 c6ffffffff 6869",
		"array 32 of 2^32-1 elements", "92 04 ddffffffff c0c0", "map 32 of 2^32-1 pairs", "92 04 dfffffffff a0c0", "a frame of 2^32-1 elements", "ddffffffff 01 02",
		"byte 0xc1", "92 01 c1", "fixext", "92 01 d6ff 00000000", "ext 8", "92 01 c70105 00", "ext 32 of 2^32-1 bytes", "92 01 c9ffffffff05",
		"a map key that is an integer", "92 7f 81 01 02", "a map key that is nil", "92 7f 81 c0 02", "a map without its last value", "92 7f 81 a161",
		"text that is not UTF-8", "92 04 a2 c328", "a map key that is not UTF-8", "92 7f 81 a1ff 01", "a surrogate in UTF-8", "92 04 a3 eda080",
		"not a number", "92 7f cb7ff8000000000000", "infinity", "92 7f ca7f800000",
		"17 arrays inside one another", "92 7f"+strings.Repeat("91", 16)+"c0",
		"17 maps inside one another", "92 7f"+strings.Repeat("81a0", 16)+"c0",
		"a nesting bomb", "92 7f"+strings.Repeat("91", 200),
		"a second frame that is none", "92 01 05 c0",
	)
	bytes("field",
		"no fields", "91 20", "one field missing", "93 21 01 02", "a ref that is a str", "94 21 a131 02 03", "a ref that is negative", "94 21 ff 02 03",
		"a ref that is a float", "94 21 cb3ff0000000000000 02 03", "a conv of 15 bytes", "93 12 01 c40f 010203000000000000000000000010",
		"a conv of zeros", "93 12 01 c410 00000000000000000000000000000000", "a conv that is nil", "93 12 01 c0", "a conv that is a str", "93 12 01 b0 30313233343536373839616263646566",
		"a level above 255", "97 20 01 "+c16+"cd0100 c0 00 c0", "a message id that is false", "97 20 01 "+c16+"02 c2 00 c0", "a send without body", "96 20 01 "+c16+"02 c0 00",
		"a token that is a bin", "95 02 01 c401 61 a0 00", "a recovered that is an integer", "97 14 01 "+c16+"01 00 00 00",
		"a page whose messages are no array", "95 29 01 "+c16+"c2 c0",
		"a signal's name of 33 bytes", "94 26 "+c16+"d921"+strings.Repeat("61", 33)+"c0",
		"a group of 129 bytes", "94 10 01 "+k16+"d981"+strings.Repeat("61", 129),
		"a token of 4097 bytes", "95 02 01 da1001"+strings.Repeat("61", 4097)+"a0 00",
	)
	for _, text := range []string{`[]`, `{}`, `[256]`, `["send"]`, `[1.0,5]`, `[[1,5],2]`, `[127,{"$bin":"?"}]`, `[127,1e400]`, `[127,[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]`} {
		all = append(all, invalidVector{Name: "JSON " + text, JSON: text, Where: "frame"})
	}
	all = append(all, invalidVector{Name: "JSON with a conv of 31 digits", JSON: `[18,1,"0102030000000000000000000000001"]`, Where: "field"})
	return all
}

// refuse reads an invalid vector, checks that it fails where it says, and fills in the reason.
func refuse(t *testing.T, v *invalidVector) {
	t.Helper()
	batch, err := unhex(t, v.Hex), error(nil)
	if v.JSON != "" {
		batch, err = FromJSON(nil, []byte(v.JSON))
	}
	where := "frame"
	for more := err == nil; more; more = err == nil && len(batch) > 0 {
		var typ Type
		var f []byte
		if typ, f, batch, err = Next(batch); err == nil && typ.Known() {
			if err = newFrame(typ).Parse(f); err != nil {
				where = "field"
			}
		}
	}
	if err == nil || where != v.Where {
		t.Errorf("%s: %v at a %s", v.Name, err, where)
		return
	}
	v.Error, v.Reason = ErrorName(ErrorBadFrame), strings.TrimPrefix(err.Error(), "frame: ")
}

// The file is what the code gives, and each vector does what it says.
func TestVectors(t *testing.T) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(makeVectors(t)); err != nil {
		t.Fatal(err)
	}
	const path = "testdata/vectors.json"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(file, b.Bytes()) {
		t.Errorf("%s is not current: go test ./frame -run TestVectors -update (%v)", path, err)
	}
	var v vectors
	if err := json.Unmarshal(file, &v); err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Valid {
		t.Run(c.Name, func(t *testing.T) { runValid(t, c) })
	}
}

func runValid(t *testing.T, v validVector) {
	want := unhex(t, v.Hex)
	fromJSON, err := FromJSON(nil, []byte(v.JSON))
	if err != nil || !v.DecodeOnly && !bytes.Equal(fromJSON, want) {
		t.Errorf("from JSON: %x, %v", fromJSON, err)
	}
	m := newFrame(Type(v.Type))
	if m == nil {
		return
	}
	if err := m.Parse(want); err != nil {
		t.Fatal(err)
	}
	got := m.Append(nil)
	if v.DecodeOnly {
		want, _ = FromJSON(nil, []byte(v.JSON)) // in the shortest form; cut what Parse ignored
		got = append(got[:1:1], got[1:]...)
		want = want[:len(got)]
		want[0] = got[0]
	}
	if !bytes.Equal(got, want) {
		t.Errorf("wrote %x, want %x", got, want)
	}
}

// Every sentinel of Next and Parse has a vector that meets it.
func TestVectorsMeetEveryError(t *testing.T) {
	reasons := ""
	for _, v := range invalidVectors() {
		refuse(t, &v)
		reasons += "\n" + v.Reason
	}
	for _, err := range []error{ErrTruncated, ErrNotFrame, ErrDepth, ErrCode, ErrExt, ErrMapKey, ErrUTF8, ErrFloat,
		ErrMissing, ErrNotUint, ErrRange, ErrNotBool, ErrNotText, ErrTooLong, ErrNotID, ErrNotArray} {
		if !strings.Contains(reasons, strings.TrimPrefix(err.Error(), "frame: ")) {
			t.Errorf("no vector for %q", err)
		}
	}
	if err := new(Ack).Parse([]byte{0x91, 0x01}); !errors.Is(err, ErrType) {
		t.Errorf("an ack from a heartbeat: %v", err)
	}
}
