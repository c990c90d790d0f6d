package frame

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
)

// The JSON twin has the same positional arrays: an id is a string of 32 hex digits, a bin is {"$bin":"base64"}, all else is what
// JSON calls the same. A map whose only key is itself $bin, $$bin and so on gets one more $, so the way back is exact. A float
// always has a point or an exponent, an integer never.

// binKey marks an object that stands for bytes.
const binKey = "$bin"

const hexDigits = "0123456789abcdef"

// AppendJSON writes a batch as the text of one JSON message, an array of frames: [[32,...],[...]]. The batch is checked as by Next;
// on an error dst comes back as it was. The text holds integers beyond 2^53 exactly, which not every reader of JSON keeps.
// It allocates nothing but what dst must grow.
func AppendJSON(dst, batch []byte) ([]byte, error) {
	w := jsonWriter{dst: append(dst, '[')}
	for len(batch) > 0 {
		_, f, rest, err := Next(batch)
		if err != nil {
			return dst, err
		}
		w.comma()
		w.src = f
		w.frame()
		batch = rest
	}
	return append(w.dst, ']'), nil
}

// jsonWriter moves values from src, which Next has checked, to dst.
type jsonWriter struct {
	src []byte
	dst []byte
}

// head takes the first byte of a value and its number.
func (w *jsonWriter) head() (kind, uint64) {
	k, v, rest, err := readHead(w.src)
	if err != nil {
		panic("BUG: frame: a checked frame ends early")
	}
	w.src = rest
	return k, v
}

// take takes n bytes.
func (w *jsonWriter) take(n uint64) []byte {
	b := w.src[:n]
	w.src = w.src[n:]
	return b
}

// comma separates elements: none follows an opening bracket.
func (w *jsonWriter) comma() {
	if c := w.dst[len(w.dst)-1]; c != '[' && c != '{' {
		w.dst = append(w.dst, ',')
	}
}

func (w *jsonWriter) frame() {
	typ, _, _, err := frameHead(w.src)
	if err != nil { // an element of a page that is no frame
		w.value()
		return
	}
	_, n := w.head()
	w.dst = append(w.dst, '[')
	for i := range int(n) {
		w.comma()
		w.field(fieldKindAt(typ, i))
	}
	w.dst = append(w.dst, ']')
}

func (w *jsonWriter) field(as fieldKind) {
	switch k, n, rest, _ := readHead(w.src); {
	case (as == fieldID || as == fieldMaybe) && k == kindBin && n == 16:
		w.dst = append(ID(rest).AppendText(append(w.dst, '"')), '"')
		w.src = rest[16:]
	case as == fieldFrames && k == kindArray:
		w.src = rest
		w.list(n, w.frame)
	default:
		w.value()
	}
}

func (w *jsonWriter) list(n uint64, element func()) {
	w.dst = append(w.dst, '[')
	for range n {
		w.comma()
		element()
	}
	w.dst = append(w.dst, ']')
}

func (w *jsonWriter) value() {
	switch k, v := w.head(); k {
	case kindNil:
		w.dst = append(w.dst, "null"...)
	case kindBool:
		w.dst = strconv.AppendBool(w.dst, v != 0)
	case kindUint:
		w.dst = strconv.AppendUint(w.dst, v, 10)
	case kindInt:
		w.dst = strconv.AppendInt(w.dst, int64(v), 10)
	case kindFloat32:
		w.float(float64(math.Float32frombits(uint32(v))))
	case kindFloat64:
		w.float(math.Float64frombits(v))
	case kindStr:
		w.text(w.take(v))
	case kindBin:
		w.bin(w.take(v))
	case kindArray:
		w.list(v, w.value)
	case kindMap:
		w.object(v)
	}
}

func (w *jsonWriter) float(f float64) {
	start := len(w.dst)
	w.dst = strconv.AppendFloat(w.dst, f, 'g', -1, 64)
	for _, c := range w.dst[start:] {
		if c == '.' || c == 'e' {
			return
		}
	}
	w.dst = append(w.dst, ".0"...)
}

func (w *jsonWriter) bin(b []byte) {
	w.dst = append(w.dst, `{"$bin":"`...)
	w.dst = base64.StdEncoding.AppendEncode(w.dst, b)
	w.dst = append(w.dst, `"}`...)
}

func (w *jsonWriter) object(n uint64) {
	w.dst = append(w.dst, '{')
	for range n {
		w.comma()
		_, size := w.head()
		key := w.take(size)
		start := len(w.dst)
		w.text(key)
		if n == 1 && isBinKey(key) {
			w.dst = append(append(w.dst[:start], `"$`...), key...)
			w.dst = append(w.dst, '"')
		}
		w.dst = append(w.dst, ':')
		w.value()
	}
	w.dst = append(w.dst, '}')
}

// isBinKey tells whether a key is one or more $ and then bin.
func isBinKey(key []byte) bool {
	return len(key) > 0 && key[0] == '$' && strings.TrimLeft(string(key), "$") == binKey[1:]
}

// text writes a string. What needs no escape is copied in runs.
func (w *jsonWriter) text(s []byte) {
	dst := append(w.dst, '"')
	plain := 0 // where the run begins that is not copied yet
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[plain:i]...)
		plain = i + 1
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[plain:]...)
	w.dst = append(dst, '"')
}

// AppendBodyJSON writes a message's body as it stands in the JSON form of its frame. The body is checked; on an error dst comes back as it was.
func AppendBodyJSON(dst, body []byte) ([]byte, error) {
	if err := CheckBody(body); err != nil {
		return dst, err
	}
	w := jsonWriter{src: body, dst: dst}
	w.value()
	return w.dst, nil
}
