package packed_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/switchyard-im/switchyard/dispatch/packed"
)

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestReader reads one value of each kind, with one reader for whole records and for those that were cut.
func TestReader(t *testing.T) {
	data := marshal(t, []any{uint64(1 << 63), int64(-5), true, "ann", []string{"a", "b"}, nil, nil, ""})
	r := packed.NewReader()
	read := func(data []byte) bool {
		r.Reset(data)
		n := r.Array("fields", 8, 8)
		u, i, b, s, list, empty, none, last := r.Uint(), r.Int(), r.Bool(), r.Text("bob"), r.Texts("names", 2), r.Texts("names", 2), r.Nil(), r.Text("x")
		return n == 8 && u == 1<<63 && i == -5 && b && s == "ann" && slices.Equal(list, []string{"a", "b"}) && empty == nil && none && last == ""
	}
	for cut := range data {
		if read(data[:cut]); r.Err() == nil {
			t.Errorf("%d of %d bytes are taken for a record", cut, len(data))
		}
	}
	if !read(data) || r.Err() != nil {
		t.Errorf("the record is not read as it was written: %v", r.Err())
	}
}

// TestReaderChecksLengths: what a record claims to have is checked before room is made for it.
func TestReaderChecksLengths(t *testing.T) {
	for _, c := range []struct {
		name, data, want string
		read             func(r *packed.Reader)
	}{
		{"a text of 4 GB", "\xdb\xff\xff\xff\xff", "EOF", func(r *packed.Reader) { r.Text("") }},
		{"a list of 4 G", "\xdd\xff\xff\xff\xff", "there are 0 to 3", func(r *packed.Reader) { r.Texts("names", 3) }},
		{"too few", "\x91\x01", "1 fields, there are 2 to 3", func(r *packed.Reader) { r.Array("fields", 2, 3) }},
		{"nothing", "\xc0", "0 fields", func(r *packed.Reader) { r.Array("fields", 2, 3) }},
	} {
		r := packed.NewReader()
		r.Reset([]byte(c.data))
		if c.read(r); r.Err() == nil || !strings.Contains(r.Err().Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, r.Err(), c.want)
		}
	}
}
