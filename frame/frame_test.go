package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newRand returns a source that a failed run can repeat: SWITCHYARD_SEED=n go test.
func newRand(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("SWITCHYARD_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SWITCHYARD_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// theirs is a frame as vmihailenco/msgpack sees it: an array of the type and its fields.
func theirs(t Type, fields []any) []any {
	return append([]any{uint64(t)}, fields...)
}

// randomFields makes values for a schema's fields, in the Go types that vmihailenco/msgpack writes as the protocol wants them.
func randomFields(r *rand.Rand, s *schema) []any {
	var fields []any
	for _, f := range s.fields {
		if f.optional && r.IntN(2) == 0 {
			break
		}
		v := randomField(r, f)
		if f.optional && v == "" {
			break // an empty text is one that is left out
		}
		fields = append(fields, v)
	}
	return fields
}

func randomField(r *rand.Rand, f field) any {
	switch f.kind {
	case fieldUint:
		return max(1, randomUint(r))
	case fieldByte:
		return uint64(r.IntN(256))
	case fieldBool:
		return r.IntN(2) == 0
	case fieldText:
		return randomText(r, f.limit)
	case fieldID:
		return randomID(r)
	case fieldMaybe:
		if r.IntN(2) == 0 {
			return nil
		}
		return randomID(r)
	case fieldFrames:
		list := make([]any, r.IntN(20))
		for i := range list {
			list[i] = theirs(TypeMessage, randomFields(r, schemaOf[TypeMessage]))
		}
		return list
	default:
		return randomBody(r, 4)
	}
}

func randomUint(r *rand.Rand) uint64 { return r.Uint64() >> r.IntN(64) }

func randomID(r *rand.Rand) []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, r.Uint64()|1)
	return b
}

func randomText(r *rand.Rand, limit int) string {
	var b strings.Builder
	for n := r.IntN(min(limit, 300) + 1); ; {
		c := rune("aZ0 é€\u0000\"\\<&\u2028𝄞"[r.IntN(5)])
		if r.IntN(4) == 0 {
			c = []rune{'é', '€', 0, '"', '\\', '<', '&', '\u2028', '𝄞', '\n', '\ufffd'}[r.IntN(11)]
		}
		if b.Len()+len(string(c)) > n {
			return b.String()
		}
		b.WriteRune(c)
	}
}

// randomBody makes what vmihailenco/msgpack decodes to the same Go value.
func randomBody(r *rand.Rand, depth int) any {
	n := 12
	if depth == 0 {
		n = 8
	}
	switch r.IntN(n) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return randomUint(r)
	case 3:
		return -1 - int64(randomUint(r)>>1)
	case 4:
		return math.Ldexp(r.Float64()-0.5, r.IntN(200)-100)
	case 5:
		return float32(r.Float64())
	case 6:
		b := make([]byte, r.IntN(300))
		return b
	case 7, 8:
		return randomText(r, 300)
	case 9, 10:
		list := make([]any, r.IntN(20))
		for i := range list {
			list[i] = randomBody(r, depth-1)
		}
		return list
	default:
		m := map[string]any{}
		for range r.IntN(20) {
			m[randomText(r, 40)] = randomBody(r, depth-1)
		}
		return m
	}
}

// encode writes v with vmihailenco/msgpack; compact chooses the shortest integers or fixed sizes.
func encode(t testing.TB, v any, compact bool) []byte {
	t.Helper()
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(compact)
	e.UseCompactFloats(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// decode reads one value with vmihailenco/msgpack, integers as int64 or uint64, whatever their form.
func decode(t testing.TB, b []byte) any {
	t.Helper()
	d := msgpack.NewDecoder(bytes.NewReader(b))
	v, err := d.DecodeInterface()
	if err != nil {
		t.Fatalf("theirs cannot read %x: %v", b, err)
	}
	return normal(v)
}

// normal turns every integer into a decimal text, so that int8(5), uint64(5) and int64(5) compare equal.
func normal(v any) any {
	switch v := v.(type) {
	case int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return fmt.Sprintf("integer %d", v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = normal(v[i])
		}
		return list
	case map[string]any:
		m := map[string]any{}
		for k := range v {
			m[k] = normal(v[k])
		}
		return m
	}
	return v
}

// What vmihailenco/msgpack writes, compact or not, Next and Parse read; what Append writes from that, it reads back as the
// same values.
func TestAgreesWithMsgpack(t *testing.T) {
	r := newRand(t)
	for i := range 2400 {
		s := &schemas[i%len(schemas)]
		fields := randomFields(r, s)
		extra := fields
		for range r.IntN(3) * r.IntN(2) {
			if len(fields) == len(s.fields) {
				extra = append(extra, randomBody(r, 3)) // elements of a later version
			}
		}
		wire := encode(t, theirs(s.typ, extra), r.IntN(2) == 0)
		trailer := []byte{0x91, 0x01}[:r.IntN(2)*2]
		typ, f, rest, err := Next(append(bytes.Clone(wire), trailer...))
		if err != nil || typ != s.typ || !bytes.Equal(f, wire) || len(rest) != len(trailer) {
			t.Fatalf("Next(%x) = %v, %x, %x, %v", wire, typ, f, rest, err)
		}
		m := newFrame(typ)
		if err := m.Parse(f); err != nil {
			t.Fatalf("Parse(%x): %v", f, err)
		}
		want := normal(decode(t, encode(t, theirs(s.typ, fields), true)))
		if got := decode(t, m.Append(nil)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: wrote %v, want %v", s.name, got, want)
		}
	}
}
