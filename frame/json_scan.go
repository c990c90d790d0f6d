package frame

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Strings and numbers of JSON text, RFC 8259 sections 6 and 7.

func appendStrHead(dst []byte, n int) []byte {
	return appendLen(dst, n, codeStr8, codeStr16, codeStr32)
}

// text reads what follows a quote. That it is UTF-8 is left to Next.
func (r *jsonReader) text() {
	start := len(r.dst)
	r.dst = append(r.dst, 0)
	for {
		if r.pos == len(r.src) {
			r.fail("a string without end")
		}
		if r.err != nil {
			return
		}
		c := r.src[r.pos]
		switch {
		case c == '"':
			r.pos++
			r.setHead(start, len(r.dst)-start-1, codeFixStr, 32, appendStrHead)
			return
		case c < ' ':
			r.fail("a control character in a string")
		case c == '\\':
			r.escape()
		default:
			r.dst = append(r.dst, c)
			r.pos++
		}
	}
}

// escape reads a backslash and what it escapes. Half of a surrogate pair becomes U+FFFD, as in a browser's TextEncoder.
func (r *jsonReader) escape() {
	if r.pos+1 == len(r.src) {
		r.fail("a string without end")
		return
	}
	c := r.src[r.pos+1]
	if c == 'u' {
		r.unicode()
		return
	}
	for i, from := range []byte(`"\/bfnrt`) {
		if c == from {
			r.dst = append(r.dst, "\"\\/\b\f\n\r\t"[i])
			r.pos += 2
			return
		}
	}
	r.fail("an unknown escape")
}

func (r *jsonReader) unicode() {
	c, ok := hex4(r.src[r.pos:])
	if !ok {
		r.fail(`\u needs four hexadecimal digits`)
		return
	}
	r.pos += 6
	if utf16.IsSurrogate(c) {
		low, _ := hex4(r.src[r.pos:])
		if c = utf16.DecodeRune(c, low); c != utf8.RuneError {
			r.pos += 6
		}
	}
	r.dst = utf8.AppendRune(r.dst, c)
}

// hex4 reads \uXXXX at the start of b.
func hex4(b []byte) (c rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, d := range b[2:6] {
		switch {
		case isDigit(d):
			d -= '0'
		case d|0x20 >= 'a' && d|0x20 <= 'f':
			d = (d | 0x20) - 'a' + 10
		default:
			return 0, false
		}
		c = c<<4 | rune(d)
	}
	return c, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// number reads -?int frac? exp? as RFC 8259 has it.
func (r *jsonReader) number() {
	start := r.pos
	if r.src[r.pos] == '-' {
		r.pos++
	}
	first := r.pos
	ok := r.digits() && (r.src[first] != '0' || r.pos == first+1)
	integer := true
	if ok && r.at('.') {
		r.pos++
		integer, ok = false, r.digits()
	}
	if ok && (r.at('e') || r.at('E')) {
		r.pos++
		if r.at('+') || r.at('-') {
			r.pos++
		}
		integer, ok = false, r.digits()
	}
	if !ok {
		r.fail("not a number")
		return
	}
	r.appendNumber(string(r.src[start:r.pos]), integer)
}

func (r *jsonReader) at(c byte) bool { return r.pos < len(r.src) && r.src[r.pos] == c }

// digits takes digits and tells whether there was one.
func (r *jsonReader) digits() bool {
	start := r.pos
	for r.pos < len(r.src) && isDigit(r.src[r.pos]) {
		r.pos++
	}
	return r.pos > start
}

// appendNumber writes an integer that fits 64 bits as an integer, all else as float64.
func (r *jsonReader) appendNumber(s string, integer bool) {
	if integer {
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			r.dst = appendInt(r.dst, v)
			return
		}
		if v, err := strconv.ParseUint(s, 10, 64); err == nil {
			r.dst = appendUint(r.dst, v)
			return
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		r.fail("a number too large")
		return
	}
	r.dst = appendFloat(r.dst, f)
}
