package netserver

import "unicode/utf8"

// textCheck checks UTF-8 that comes in pieces and fails at the first byte that cannot be right. The zero value is ready.
type textCheck struct {
	rest [utf8.UTFMax]byte // the start of a rune whose end has not come yet
	n    uint8
}

// feed takes the next piece and tells whether the text can still be valid.
func (t *textCheck) feed(p []byte) bool {
	for t.n > 0 && len(p) > 0 {
		t.rest[t.n] = p[0]
		t.n++
		p = p[1:]
		if !utf8.FullRune(t.rest[:t.n]) {
			continue
		}
		if r, size := utf8.DecodeRune(t.rest[:t.n]); r == utf8.RuneError && size == 1 {
			return false
		}
		t.n = 0
	}
	p = t.keepTail(p)
	return utf8.Valid(p)
}

// keepTail puts aside an incomplete rune at the end of p.
func (t *textCheck) keepTail(p []byte) []byte {
	for k := 1; k < utf8.UTFMax && k <= len(p); k++ {
		tail := p[len(p)-k:]
		if !utf8.RuneStart(tail[0]) {
			continue
		}
		if !utf8.FullRune(tail) {
			t.n = uint8(copy(t.rest[:], tail))
			return p[:len(p)-k]
		}
		break
	}
	return p
}

// done tells whether the text ends at the end of a rune.
func (t *textCheck) done() bool { return t.n == 0 }
