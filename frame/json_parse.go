package frame

import (
	"encoding/base64"
	"fmt"
	"math"
)

// JSONError says where and why FromJSON could not read a text. Answered with the error code bad_frame.
type JSONError struct {
	Offset int // in bytes from the start of the text
	Reason string
}

func (e *JSONError) Error() string {
	return fmt.Sprintf("frame: JSON text at byte %d: %s", e.Offset, e.Reason)
}

// FromJSON reads the text of one JSON message and appends its frames as a msgpack batch. The text is a frame or an array of at least
// one frame. It translates and does not judge: a field of the wrong kind becomes a msgpack value of the wrong kind, so that Parse
// can name it; what comes out has passed Next. On an error dst comes back as it was.
//
// The batch takes at most 9/4 of the text's bytes. Numbers without point and exponent are integers from -2^63 to 2^64-1, others
// are float64. It allocates only for $bin and what dst must grow.
func FromJSON(dst, text []byte) ([]byte, error) {
	r := jsonReader{src: text, dst: dst}
	r.batch()
	if r.err == nil && r.peek() != 0 {
		r.fail("something follows the end")
	}
	if r.err != nil {
		return dst, r.err
	}
	for b := r.dst[len(dst):]; len(b) > 0; {
		var err error
		if _, _, b, err = Next(b); err != nil {
			return dst, err
		}
	}
	return r.dst, nil
}

// jsonDepth bounds the recursion: a page's depth, and one more since {"$bin":...} looks like a map. Next has the last word.
const jsonDepth = MaxDepth + pageDepth + 1

// jsonReader moves values from the JSON text src to dst. The first failure sticks and ends every loop.
type jsonReader struct {
	src   []byte
	pos   int
	dst   []byte
	depth int
	err   error
}

func (r *jsonReader) fail(reason string) {
	if r.err == nil {
		r.err = &JSONError{Offset: r.pos, Reason: reason}
	}
}

// peek skips white space and returns the next byte, 0 at the end and after a failure.
func (r *jsonReader) peek() byte {
	for ; r.err == nil && r.pos < len(r.src); r.pos++ {
		switch c := r.src[r.pos]; c {
		case ' ', '\t', '\n', '\r':
		case 0:
			r.fail("a zero byte")
		default:
			return c
		}
	}
	return 0
}

// accept takes the next byte if it is c.
func (r *jsonReader) accept(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.pos++
	return true
}

// more tells whether a container that ends with c has another element after n; it takes the comma or the end.
func (r *jsonReader) more(c byte, n int) bool {
	switch {
	case r.err != nil || r.accept(c):
		return false
	case n > 0 && !r.accept(','):
		r.fail("expected , or " + string(rune(c)))
		return false
	}
	return true
}

func (r *jsonReader) batch() {
	if !r.accept('[') {
		r.fail("expected [")
		return
	}
	if r.peek() != '[' {
		r.array(true)
		return
	}
	for n := 0; r.more(']', n); n++ {
		if !r.accept('[') {
			r.fail("expected a frame, which starts with [")
			return
		}
		r.array(true)
	}
}

// array reads what follows a [. In a frame the first element is the type and tells how the others are written.
func (r *jsonReader) array(frame bool) {
	start := r.open()
	n, typ, known := 0, Type(0), false
	for ; r.more(']', n); n++ {
		if known {
			r.field(fieldKindAt(typ, n))
			continue
		}
		at := len(r.dst)
		r.value()
		if frame && n == 0 && r.err == nil {
			typ, known = frameType(r.dst[at:])
		}
	}
	r.close(start, n, codeFixArray, appendArrayHead)
}

// frameType returns the type that stands at the start of b, if it is one.
func frameType(b []byte) (Type, bool) {
	k, v, _, err := readHead(b)
	return Type(v), err == nil && (k == kindUint || k == kindInt) && v <= math.MaxUint8
}

func (r *jsonReader) field(as fieldKind) {
	switch {
	case as == fieldFrames && r.accept('['):
		r.frames()
	case (as == fieldID || as == fieldMaybe) && r.peek() == '"':
		start := len(r.dst)
		r.value()
		if text, ok := Text(r.dst[start:]); ok {
			if id, ok := parseHexID(text); ok {
				r.dst = appendID(r.dst[:start], id)
			}
		}
	default:
		r.value()
	}
}

func (r *jsonReader) frames() {
	start, n := r.open(), 0
	for ; r.more(']', n); n++ {
		if r.accept('[') {
			r.array(true)
		} else {
			r.value()
		}
	}
	r.close(start, n, codeFixArray, appendArrayHead)
}

func (r *jsonReader) value() {
	switch c := r.peek(); {
	case c == '[':
		r.pos++
		r.array(false)
	case c == '{':
		r.pos++
		r.object()
	case c == '"':
		r.pos++
		r.text()
	case c == '-' || isDigit(c):
		r.number()
	case c == 't':
		r.word("true", codeTrue)
	case c == 'f':
		r.word("false", codeFalse)
	case c == 'n':
		r.word("null", codeNil)
	default:
		r.fail("expected a value")
	}
}

func (r *jsonReader) word(w string, code byte) {
	if end := r.pos + len(w); end > len(r.src) || string(r.src[r.pos:end]) != w {
		r.fail("expected " + w)
		return
	}
	r.pos += len(w)
	r.dst = append(r.dst, code)
}

func (r *jsonReader) object() {
	start, n := r.open(), 0
	for ; r.more('}', n); n++ {
		if !r.accept('"') {
			r.fail("expected a name in quotes")
			return
		}
		r.text()
		if !r.accept(':') {
			r.fail("expected :")
			return
		}
		r.value()
	}
	r.close(start, n, codeFixMap, appendMapHead)
	if n == 1 && r.err == nil {
		r.unescape(start)
	}
}

// unescape replaces the map of one pair at start if its key is binKey, by bytes, or an escaped binKey, by the key with one $ less.
func (r *jsonReader) unescape(start int) {
	_, size, rest, _ := readHead(r.dst[start+1:])
	key, value := rest[:size], rest[size:]
	if !isBinKey(key) {
		return
	}
	if len(key) > len(binKey) {
		r.dst = append(appendStr(r.dst[:start+1], key[1:]), value...) // moves down, so it overwrites only what it has read
		return
	}
	text, ok := Text(value)
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if !ok || err != nil {
		r.fail(`the value of "$bin" is not base64`)
		return
	}
	r.dst = appendBin(r.dst[:start], b)
}

// open begins a container: it leaves a byte for the head, which close fills when the length is known.
func (r *jsonReader) open() (start int) {
	if r.depth++; r.depth > jsonDepth {
		r.fail("nested too deeply")
	}
	r.dst = append(r.dst, 0)
	return len(r.dst) - 1
}

// close writes the head of an array or a map of n elements or pairs that began at start.
func (r *jsonReader) close(start, n int, fix byte, long func([]byte, int) []byte) {
	r.depth--
	if r.err == nil {
		r.setHead(start, n, fix, 16, long)
	}
}

// setHead writes a head to the byte at start if n is below limit, else a longer one, for which the contents move up.
func (r *jsonReader) setHead(start, n int, fix byte, limit int, long func([]byte, int) []byte) {
	if n < limit {
		r.dst[start] = fix | byte(n)
		return
	}
	var space [5]byte
	h := long(space[:0], n)
	r.dst = append(r.dst, h[1:]...)
	copy(r.dst[start+len(h):], r.dst[start+1:])
	copy(r.dst[start:], h)
}
