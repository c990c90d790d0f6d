package frame

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// seed gives a fuzzer all test vectors and the samples in one batch.
func seed(f *testing.F, add func(batch []byte, text string)) {
	file, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		f.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(file, &v); err != nil {
		f.Fatal(err)
	}
	for _, c := range v.Valid {
		add(unhex(f, c.Hex), c.JSON)
	}
	for _, c := range v.Invalid {
		add(unhex(f, c.Hex), c.JSON)
	}
	var batch []byte
	for _, m := range sample() {
		batch = m.Append(batch)
	}
	text, err := AppendJSON(nil, batch)
	if err != nil {
		f.Fatal(err)
	}
	add(batch, string(text))
}

// Whatever the bytes, Next stays within them; vmihailenco/msgpack reads each frame that it returns, to the same end; what Parse
// reads, Append writes so that it reads the same.
func FuzzNext(f *testing.F) {
	seed(f, func(batch []byte, _ string) { f.Add(batch) })
	f.Fuzz(func(t *testing.T, batch []byte) {
		parseUnchecked(batch)
		for len(batch) > 0 {
			typ, fr, rest, err := Next(batch)
			if err != nil {
				return
			}
			if len(fr) == 0 || !bytes.Equal(append(bytes.Clone(fr), rest...), batch) {
				t.Fatalf("Next(%x) = %x, %x", batch, fr, rest)
			}
			readTheirs(t, fr)
			checkParsed(t, typ, fr)
			batch = rest
		}
	})
}

// parseUnchecked gives Parse and the peeks what Next did not check: they must return.
func parseUnchecked(b []byte) {
	for _, typ := range Types() {
		m := newFrame(typ)
		if m.Parse(b) == nil {
			m.Append(nil)
		}
		PeekConv(typ, b)
	}
	PeekRef(b)
	Droppable(b)
	Text(b)
}

func readTheirs(t *testing.T, f []byte) {
	t.Helper()
	r := bytes.NewReader(f)
	d := msgpack.NewDecoder(r)
	if err := d.Skip(); err != nil || r.Len() > 0 {
		t.Fatalf("theirs on %x: %v, %d left", f, err, r.Len())
	}
}

// checkParsed reads a checked frame twice over: directly, and after it was written again.
func checkParsed(t *testing.T, typ Type, f []byte) {
	t.Helper()
	m := newFrame(typ)
	if m == nil || m.Parse(f) != nil {
		return
	}
	out := m.Append(nil)
	again := newFrame(typ)
	got, f2, rest, err := Next(out)
	if err != nil || got != typ || len(rest) > 0 {
		t.Fatalf("%x was written as %x: %v", f, out, err)
	}
	if err := again.Parse(f2); err != nil || !reflect.DeepEqual(again, m) {
		t.Fatalf("%x was written as %x: %+v became %+v, %v", f, out, m, again, err)
	}
	if conv, ok := PeekConv(typ, f); ok && conv != reflect.ValueOf(m).Elem().FieldByName("Conv").Interface() {
		t.Fatalf("PeekConv(%x) = %v", f, conv)
	}
}

// What FromJSON takes, encoding/json takes as well; it comes back from AppendJSON unchanged from then on.
func FuzzFromJSON(f *testing.F) {
	seed(f, func(_ []byte, text string) { f.Add([]byte(text)) })
	f.Fuzz(func(t *testing.T, text []byte) {
		batch, err := FromJSON(nil, text)
		if err != nil {
			return
		}
		if !json.Valid(text) || len(batch) > len(text)*9/4 {
			t.Fatalf("%q gave %x", text, batch)
		}
		checkTwin(t, batch)
	})
}

// Each batch that Next takes comes back from its JSON twin with the same values.
func FuzzJSON(f *testing.F) {
	seed(f, func(batch []byte, _ string) { f.Add(batch) })
	f.Fuzz(func(t *testing.T, batch []byte) { checkTwin(t, batch) })
}

// checkTwin compares after one round, which makes integers, lengths and floats uniform.
func checkTwin(t *testing.T, batch []byte) {
	t.Helper()
	text, err := AppendJSON(nil, batch)
	if err != nil || len(batch) == 0 {
		return
	}
	uniform, err := FromJSON(nil, text)
	if err != nil {
		t.Fatalf("%x gave %s: %v", batch, text, err)
	}
	text2, err := AppendJSON(nil, uniform)
	if err != nil || !bytes.Equal(text, text2) {
		t.Fatalf("%x gave\n%s and then\n%s, %v", batch, text, text2, err)
	}
	if !json.Valid(text) {
		t.Fatalf("not JSON: %q", text)
	}
}
