package frame

import (
	"bytes"

	"github.com/vmihailenco/msgpack/v5"
)

// CheckBody tells whether b is exactly one value that may be the body of a message: the rules of Next, nested at most
// MaxDepth-1 deep, since the frame itself is one array. The error is one of Next's,
// or ErrTrailing.
func CheckBody(b []byte) error {
	rest, err := checkValue(b, MaxDepth-1)
	if err == nil && len(rest) > 0 {
		err = ErrTrailing
	}
	return err
}

// AppendText writes a text as a body. The text must be UTF-8.
func AppendText[T string | []byte](dst []byte, text T) []byte { return appendStr(dst, text) }

// Text returns the text of a body that is one; it borrows from body.
func Text(body []byte) (text []byte, ok bool) {
	k, n, rest, err := readHead(body)
	if err != nil || k != kindStr || n != uint64(len(rest)) {
		return nil, false
	}
	return rest, true
}

// AppendEvent writes the body of an event message: a map with "event" and then pairs of names and texts.
func AppendEvent(dst []byte, event string, pairs ...string) []byte {
	dst = appendMapHead(dst, 1+len(pairs)/2)
	dst = appendStr(appendStr(dst, "event"), event)
	for _, s := range pairs[:len(pairs)&^1] {
		dst = appendStr(dst, s)
	}
	return dst
}

// AppendBody writes any Go value that vmihailenco/msgpack can encode, with the keys of map[string]any and map[string]string
// sorted. It fails, and returns dst as it was, if the value cannot be a body: see CheckBody.
func AppendBody(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	e := msgpack.NewEncoder(b)
	e.UseCompactInts(true)
	e.SetSortMapKeys(true)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	if err := CheckBody(b.Bytes()[len(dst):]); err != nil {
		return dst, err
	}
	return b.Bytes(), nil
}

// DecodeBody reads a body into a Go value as msgpack.Unmarshal does.
func DecodeBody(body []byte, v any) error { return msgpack.Unmarshal(body, v) }

// AppendTexts appends the texts in a body, without the keys of maps, each but the first behind a space. The body must be one that
// CheckBody accepts; of other bytes it appends what it can read.
func AppendTexts(dst, body []byte) []byte {
	dst, _ = appendTexts(dst, len(dst), body, MaxDepth)
	return dst
}

// appendTexts takes one value off b, and returns what follows it, or nil if it cannot be read. start is where the first text begins;
// arrays and maps may nest depth deep.
func appendTexts(dst []byte, start int, b []byte, depth int) (_, rest []byte) {
	k, n, rest, err := readHead(b)
	if err != nil || depth == 0 {
		return dst, nil
	}
	switch k {
	case kindStr, kindBin:
		if n > uint64(len(rest)) {
			return dst, nil
		}
		if k == kindStr && n > 0 {
			if len(dst) > start {
				dst = append(dst, ' ')
			}
			dst = append(dst, rest[:n]...)
		}
		return dst, rest[n:]
	case kindArray:
		for ; n > 0 && len(rest) > 0; n-- {
			dst, rest = appendTexts(dst, start, rest, depth-1)
		}
	case kindMap:
		for ; n > 0 && len(rest) > 0; n-- {
			if rest, err = skipValue(rest); err != nil {
				return dst, nil
			}
			dst, rest = appendTexts(dst, start, rest, depth-1)
		}
	}
	return dst, rest
}

// DecodeStrict is DecodeBody into a struct that has a field for each name; another name is an error.
func DecodeStrict(body []byte, v any) error {
	d := msgpack.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields(true)
	return d.Decode(v)
}
