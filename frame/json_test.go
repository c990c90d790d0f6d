package frame

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// A random batch goes to JSON and back to the same values, and encoding/json reads the text.
func TestJSONRoundTrip(t *testing.T) {
	r := newRand(t)
	for range 500 {
		var batch []byte
		var want []any
		for range 1 + r.IntN(3) {
			s := &schemas[r.IntN(len(schemas))]
			f := encode(t, theirs(s.typ, randomFields(r, s)), true)
			batch = append(batch, f...)
			want = append(want, decode(t, f))
		}
		text, err := AppendJSON([]byte("x"), batch)
		if err != nil {
			t.Fatalf("AppendJSON(%x): %v", batch, err)
		}
		if text = text[1:]; !json.Valid(text) {
			t.Fatalf("not JSON: %s", text)
		}
		back, err := FromJSON([]byte{0xc0}, text)
		if err != nil {
			t.Fatalf("FromJSON(%s): %v", text, err)
		}
		var got []any
		for b := back[1:]; len(b) > 0; {
			_, f, rest, err := Next(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, decode(t, f))
			b = rest
		}
		if !reflect.DeepEqual(widen(got), widen(want)) {
			t.Fatalf("%s came back as\n%v, want\n%v", text, got, want)
		}
	}
}

// widen turns float32 into float64, which JSON does not distinguish.
func widen(v any) any {
	switch v := v.(type) {
	case float32:
		return float64(v)
	case []any:
		for i := range v {
			v[i] = widen(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = widen(v[k])
		}
	}
	return v
}

// FromJSON takes what encoding/json takes, within the depth of the protocol, and reads the same.
func TestFromJSONValues(t *testing.T) {
	for _, text := range []string{
		`0`, `-0`, `7`, `127`, `128`, `-1`, `-32`, `-33`, `-128`, `-129`, `65535`, `65536`, `4294967296`, `9007199254740993`,
		`9223372036854775807`, `9223372036854775808`, `18446744073709551615`, `18446744073709551616`, `-9223372036854775808`,
		`-9223372036854775809`, `0.5`, `-0.0`, `1e2`, `1E+2`, `1e-2`, `1.5e300`, `5e-324`, `1e-400`,
		`true`, `false`, `null`, `""`, `"a"`, `"é€𝄞"`, `"\"\\\/\b\f\n\r\t"`, `"\u0041\u00e9\u20AC\ud834\udd1e"`,
		`"\ud834"`, `"\udd1e"`, `"\ud834x"`, `"\ud834\u0041"`, `"\ud834\ud834\udd1e"`, `"\u0000"`, "\"\u007f\u2028\"",
		`[]`, `[ ]`, `[1 , 2]`, `{}`, `{ }`, `{"a" : [ ] , "b":{}}`, `{"$":1}`, `{"bin":"aGk="}`, `{"$bin":"","a":1}`, `{"a":1,"$bin":2}`,
		`"` + strings.Repeat("x", 31) + `"`, `"` + strings.Repeat("x", 32) + `"`, `"` + strings.Repeat("x", 255) + `"`,
		`"` + strings.Repeat("x", 256) + `"`, `"` + strings.Repeat("x", 65536) + `"`,
		`[` + strings.Repeat("1,", 14) + `1]`, `[` + strings.Repeat("1,", 15) + `1]`, `[` + strings.Repeat("1,", 65535) + `1]`,
		strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1),
	} {
		batch, err := FromJSON(nil, []byte(" [ 200 ,\t"+text+"\n]\r"))
		if err != nil {
			t.Errorf("%.60s: %v", text, err)
			continue
		}
		again, err := AppendJSON(nil, batch)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := readJSON(t, again), readJSON(t, []byte("[[200,"+text+"]]")); !reflect.DeepEqual(got, want) {
			t.Errorf("%.60s came back as %.60s", text, again)
		}
	}
}

func readJSON(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestFromJSONRefuses(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	for _, c := range []struct{ text, want string }{
		{``, `expected [`}, {`{}`, `expected [`}, {`1`, `expected [`}, {`"[1]"`, `expected [`},
		{`[]`, ErrNotFrame.Error()}, {`[[]]`, ErrNotFrame.Error()}, {`["a"]`, ErrNotFrame.Error()}, {`[256]`, ErrNotFrame.Error()},
		{`[-1]`, ErrNotFrame.Error()}, {`[1.0]`, ErrNotFrame.Error()}, {`[null]`, ErrNotFrame.Error()},
		{`[[1,2],3]`, `expected a frame`}, {`[[1,2]`, `expected , or ]`}, {`[1,2`, `expected , or ]`}, {`[1,2]]`, `something follows`},
		{`[1,]`, `expected a value`}, {`[1 2]`, `expected , or ]`}, {`[1,2][3]`, `something follows`}, {`[`, `expected a value`},
		{`[1,01]`, `not a number`}, {`[1,-]`, `not a number`}, {`[1,1.]`, `not a number`}, {`[1,.5]`, `expected a value`},
		{`[1,1e]`, `not a number`}, {`[1,+1]`, `expected a value`}, {`[1,1e400]`, `too large`}, {`[1,NaN]`, `expected a value`},
		{`[1,tru]`, `expected true`}, {`[1,nul`, `expected null`}, {`[1,"`, `without end`}, {`[1,"\`, `without end`},
		{`[1,"\x"]`, `unknown escape`}, {`[1,"\u12"]`, `four hex`}, {`[1,"\u12g4"]`, `four hex`}, {"[1,\"\n\"]", `control character`},
		{"[1,\"\xff\"]", ErrUTF8.Error()}, {"[1,\x002]", `zero byte`}, {`[1,{1:2}]`, `name in quotes`}, {`[1,{"a"}]`, `expected :`},
		{`[1,{"a":1,}]`, `name in quotes`}, {`[1,{"$bin":1}]`, `not base64`}, {`[1,{"$bin":"?"}]`, `not base64`},
		{`[1,` + deep + `]`, ErrDepth.Error()}, {`[1,` + strings.Repeat("[", 1<<16), `too deeply`},
		{`[1,` + strings.Repeat(`{"a":`, 1<<16), `too deeply`},
	} {
		dst := []byte("keep")
		got, err := FromJSON(dst, []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: error %v, want %q", c.text, err, c.want)
		}
		if string(got) != "keep" {
			t.Errorf("%.40q: dst is now %q", c.text, got)
		}
	}
}

// Bytes and keys that look like bytes keep apart.
func TestJSONBin(t *testing.T) {
	for _, c := range []struct {
		body any
		text string
	}{
		{[]byte("hi"), `{"$bin":"aGk="}`},
		{[]byte{}, `{"$bin":""}`},
		{map[string]any{"$bin": "aGk="}, `{"$$bin":"aGk="}`},
		{map[string]any{"$bin": []byte("hi")}, `{"$$bin":{"$bin":"aGk="}}`},
		{map[string]any{"$$bin": nil}, `{"$$$bin":null}`},
		{map[string]any{strings.Repeat("$", 40) + "bin": false}, `{"` + strings.Repeat("$", 41) + `bin":false}`},
		{map[string]any{"bin": "aGk="}, `{"bin":"aGk="}`},
		{map[string]any{"x$bin": "aGk="}, `{"x$bin":"aGk="}`},
		{bytes.Repeat([]byte{0}, 16), `{"$bin":"AAAAAAAAAAAAAAAAAAAAAA=="}`},
	} {
		batch := encode(t, []any{200, c.body}, true)
		text, err := AppendJSON(nil, batch)
		if want := "[[200," + c.text + "]]"; err != nil || string(text) != want {
			t.Errorf("AppendJSON = %s, %v, want %s", text, err, want)
		}
		back, err := FromJSON(nil, text)
		if err != nil || !bytes.Equal(back, batch) {
			t.Errorf("FromJSON(%s) = %x, %v, want %x", text, back, err, batch)
		}
	}
}

// A field of the wrong kind passes FromJSON and is named by Parse, with the ref known.
func TestFromJSONLeavesFieldsToParse(t *testing.T) {
	batch, err := FromJSON(nil, []byte(`[32, 7, "not an id", 2, null, 0, "hi"]`))
	if err != nil {
		t.Fatal(err)
	}
	var m Send
	var e *FieldError
	if err := m.Parse(batch); !errors.As(err, &e) || e.Field != "conv" || !errors.Is(err, ErrNotID) || m.Ref != 7 {
		t.Errorf("Parse: %v, ref %d", err, m.Ref)
	}
}

// A text can grow when it becomes msgpack, but no more than documented.
func TestFromJSONGrowth(t *testing.T) {
	text := []byte("[200" + strings.Repeat(",1e0", 10000) + "]")
	batch, err := FromJSON(nil, text)
	if err != nil || len(batch) > len(text)*9/4 {
		t.Errorf("%d bytes of text became %d, %v", len(text), len(batch), err)
	}
}

func TestAppendJSONRefuses(t *testing.T) {
	got, err := AppendJSON([]byte("keep"), []byte{0x91, 0x01, 0x92, 0x01})
	if string(got) != "keep" || !errors.Is(err, ErrTruncated) {
		t.Errorf("AppendJSON = %q, %v", got, err)
	}
}

// A body alone reads as it does in its frame.
func TestAppendBodyJSON(t *testing.T) {
	for _, v := range []any{nil, true, -3, 1.5, "é\n", []byte{1, 2}, []any{1, "x"}, map[string]any{"$bin": "x", "a": map[string]any{}}} {
		body, err := AppendBody(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := AppendJSON(nil, (&Signal{Conv: ID{1}, Name: []byte("n"), Body: body}).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		alone, err := AppendBodyJSON([]byte(`"n",`), body)
		if err != nil || !strings.HasSuffix(string(whole), string(alone)+"]]") {
			t.Errorf("%v: %s, %v; in a frame %s", v, alone, err, whole)
		}
	}
	if dst, err := AppendBodyJSON([]byte("x"), []byte{0xc1}); err == nil || string(dst) != "x" {
		t.Errorf("a body that is none: %s, %v", dst, err)
	}
}
