package netserver

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	greek   = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5" // κόσμε, with a rune of three bytes
	someBad = greek + "\xed\xa0\x80edited"                   // a surrogate in the middle
)

// utf8Groups are the byte sequences of sections 6.5 to 6.23, which follow Markus Kuhn's stress test of UTF-8 decoders: each is sent as one
// text message, and echoed if it is valid.
var utf8Groups = []struct {
	section   int
	name      string
	sequences []string
}{
	{5, "a valid start, then all of it", []string{greek[:2], greek[:5], greek[:7], greek[:9], greek}},
	{6, "a text cut after each byte", prefixes(greek)},
	{7, "first of each length", []string{"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"}},
	{8, "first of 5 and 6 bytes", []string{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}},
	{9, "last of each length", []string{"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}},
	{10, "last of 4 bytes before Unicode ended, of 5 and 6", []string{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"}},
	{11, "around the gaps", []string{"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80"}},
	{12, "unexpected continuations", []string{"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", each(0x80, 0xbf, "")}},
	{13, "lonely starts", []string{each(0xc0, 0xdf, " "), each(0xe0, 0xef, " "), each(0xf0, 0xf7, " "), each(0xf8, 0xfb, " "), each(0xfc, 0xfd, " ")}},
	{14, "last continuation missing", cut},
	{15, "all of these in a row", []string{strings.Join(cut, "")}},
	{16, "impossible bytes", []string{"\xfe", "\xff", "\xfe\xfe\xff\xff"}},
	{17, "slash in too many bytes", []string{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"}},
	{18, "highest in too many bytes", []string{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"}},
	{19, "NUL in too many bytes", []string{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"}},
	{20, "surrogates", []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"}},
	{21, "pairs of surrogates", []string{"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
		"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"}},
	{22, "noncharacters, which are valid", noncharacters()},
	{23, "specials, the replacement character among them", []string{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"}},
}

// cut are the first sequences of each length, and the last ones, without their last byte.
var cut = []string{"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80", "\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"}

func prefixes(s string) (all []string) {
	for i := range len(s) {
		all = append(all, s[:i+1])
	}
	return all
}

// each joins all bytes from one to another.
func each(from, to byte, separator string) string {
	var b strings.Builder
	for c := int(from); c <= int(to); c++ {
		b.WriteByte(byte(c))
		b.WriteString(separator)
	}
	return b.String()
}

func noncharacters() (all []string) {
	for plane := range rune(17) {
		all = append(all, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return all
}

// textCases are section 6. What is not valid fails with 1007.
func textCases() []rfcCase {
	all := []rfcCase{
		one("6.1.1", "empty text", text(""), echoed(ws.OpText, ""), 0),
		one("6.1.2", "three empty fragments", fragments(ws.OpText, "", "", ""), echoed(ws.OpText, ""), 0),
		one("6.1.3", "text in the middle of three fragments", fragments(ws.OpText, "", "middle frame payload", ""), echoed(ws.OpText, "middle frame payload"), 0),
		one("6.2.1", "text of many scripts", text("Hello-µ@ßöäüàá-UTF-8!!"), echoed(ws.OpText, "Hello-µ@ßöäüàá-UTF-8!!"), 0),
		one("6.2.2", "in two fragments between runes", fragments(ws.OpText, "Hello-µ@ßöä", "üàá-UTF-8!!"), echoed(ws.OpText, "Hello-µ@ßöäüàá-UTF-8!!"), 0),
		one("6.2.3", "in fragments of a byte", fragments(ws.OpText, eachByte("Hello-µ@ßöäüàá-UTF-8!!")...), echoed(ws.OpText, "Hello-µ@ßöäüàá-UTF-8!!"), 0),
		one("6.2.4", "Greek in fragments of a byte", fragments(ws.OpText, eachByte(greek)...), echoed(ws.OpText, greek), 0),
		one("6.3.1", "not UTF-8", text(someBad), nil, 1007),
		one("6.3.2", "not UTF-8 in fragments of a byte", fragments(ws.OpText, eachByte(someBad)...), nil, 1007),
	}
	all = append(all, failFastCases()...)
	for _, g := range utf8Groups {
		for i, s := range g.sequences {
			all = append(all, textCase(fmt.Sprintf("6.%d.%d", g.section, i+1), g.name, s))
		}
	}
	return append(all, splitCases()...)
}

func textCase(number, name, s string) rfcCase {
	if utf8.ValidString(s) {
		return one(number, name, text(s), echoed(ws.OpText, s), 0)
	}
	return one(number, name, text(s), nil, 1007)
}

// failFastCases are section 6.4: what can still become valid is waited for, and the byte that spoils it ends the connection, though the
// frame or the message is not complete. The rest is never sent.
func failFastCases() []rfcCase {
	start, spoiled := greek+"\xf4", "\x90"
	whole := text(greek + "\xf4\x90\x80\x80edited")
	head := 6 // of the frame: its payload follows
	return []rfcCase{
		{"6.4.1", "spoiled in the second frame", []exchange{{masked(ws.OpText, false, greek), nil}, {masked(ws.OpContinuation, false, "\xf4\x90\x80\x80"), nil}}, 1007},
		{"6.4.2", "spoiled by the first byte of the second frame", []exchange{{masked(ws.OpText, false, start), nil}, {masked(ws.OpContinuation, false, spoiled), nil}}, 1007},
		one("6.4.3", "spoiled within a frame", whole[:head+len(greek)+4], nil, 1007),
		one("6.4.4", "spoiled by the last byte that comes of a frame", whole[:head+len(greek)+2], nil, 1007),
	}
}

// splitCases have a message in two fragments, cut at every byte, with a ping between them: one of runes of every length, and one for each
// way to be wrong.
func splitCases() (all []rfcCase) {
	const runes = "aé€😀z"
	for i := range len(runes) + 1 {
		all = append(all, rfcCase{"x", fmt.Sprintf("text split at byte %d", i), []exchange{{masked(ws.OpText, false, runes[:i]), nil},
			{masked(ws.OpContinuation, true, runes[i:]), echoed(ws.OpText, runes)}}, 0})
	}
	for _, bad := range []string{"a\xc0\xafz", "a\xed\xa0\x80z", "a\xf4\x90\x80\x80z", "a\xe2\x82z", "a\xf0\x9f\x98z", "a\x80z", "a\xffz"} {
		for i := range len(bad) + 1 {
			all = append(all, one("x", fmt.Sprintf("%q split at byte %d", bad, i), fragments(ws.OpText, bad[:i], bad[i:]), nil, 1007))
		}
	}
	return all
}

// TestTextCheckOfEveryRune feeds the bytes of runes, and every wrong neighbour of them, one byte at a time, and compares with unicode/utf8.
func TestTextCheckOfEveryRune(t *testing.T) {
	var buf [utf8.UTFMax]byte
	for r := rune(0); r <= utf8.MaxRune; r++ {
		n := utf8.EncodeRune(buf[:], r) // the replacement character for surrogates
		checkBytewise(t, buf[:n])
		for i := range n {
			for bit := byte(1); bit != 0; bit <<= 1 {
				buf[i] ^= bit
				checkBytewise(t, buf[:n])
				buf[i] ^= bit
			}
		}
		if r > 0x10000 {
			r += 0x3ff // the planes beyond the first differ in their number only
		}
	}
}

func checkBytewise(t *testing.T, b []byte) {
	var check textCheck
	for i := range b {
		if ok := check.feed(b[i : i+1]); ok != validSoFar(b[:i+1], false) {
			t.Fatalf("%x: ok is %v after %d bytes", b, ok, i+1)
		} else if !ok {
			return
		}
	}
	if check.done() != utf8.Valid(b) {
		t.Fatalf("%x: done is %v", b, check.done())
	}
}
