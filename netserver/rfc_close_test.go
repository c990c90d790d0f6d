package netserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// closeCases are section 7.
func closeCases() []rfcCase {
	bye := closing(closeBody(1000, ""))
	all := []rfcCase{
		one("7.1.1", "message, then close", frames(text("Hello World!"), bye), echoed(ws.OpText, "Hello World!"), 1000),
		one("7.1.2", "two closes", frames(bye, bye), nil, 1000),
		one("7.1.3", "ping after close", frames(bye, masked(ws.OpPing, true, "")), nil, 1000),
		one("7.1.4", "text after close", frames(bye, text("late")), nil, 1000),
		one("7.1.5", "close within a message", frames(masked(ws.OpText, false, "fragment1"), bye, masked(ws.OpContinuation, true, "fragment2")), nil, 1000),
		one("7.1.6", "large message, close, ping", frames(text(strings.Repeat("BAsd7&jh23", 6500)), bye, masked(ws.OpPing, true, "")),
			echoed(ws.OpText, strings.Repeat("BAsd7&jh23", 6500)), 1000),
		one("7.3.1", "close without a body", closing(""), nil, 1005),
		one("7.3.2", "close with one byte", closing("a"), nil, 1002),
		one("7.3.3", "close with a code", bye, nil, 1000),
		one("7.3.4", "close with a reason", closing(closeBody(1000, "Hello World!")), nil, 1000),
		one("7.3.5", "close with the longest reason", closing(closeBody(1000, strings.Repeat("*", 123))), nil, 1000),
		one("7.3.6", "close with a longer reason", closing(closeBody(1000, strings.Repeat("*", 124))), nil, 1002),
		one("7.5.1", "close with a reason that is not UTF-8", closing(closeBody(1000, someBad)), nil, 1007),
	}
	for i, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		all = append(all, one(fmt.Sprintf("7.7.%d", i+1), fmt.Sprintf("code %d", code), closing(closeBody(code, "")), nil, code))
	}
	for i, code := range []uint16{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		all = append(all, one(fmt.Sprintf("7.9.%d", i+1), fmt.Sprintf("code %d", code), closing(closeBody(code, "")), nil, 1002))
	}
	for i, code := range []uint16{5000, 65535} { // the suite leaves these to the server
		all = append(all, one(fmt.Sprintf("7.13.%d", i+1), fmt.Sprintf("code %d", code), closing(closeBody(code, "")), nil, 1002))
	}
	return append(all,
		one("x", "fragmented close", raw(0x08, closeBody(1000, "")), nil, 1002),
		one("x", "close reason ends within a rune", closing(closeBody(1000, "\xe2\x82")), nil, 1007),
		one("x", "invalid code within a message", frames(masked(ws.OpText, false, "a"), closing(closeBody(1005, ""))), nil, 1002),
	)
}

func closing(body string) []byte { return masked(ws.OpClose, true, body) }

// TestCloseCodes compares all 65,536 codes with the registry of IANA: 1004, 1005, 1006 and 1015 are not for the wire.
func TestCloseCodes(t *testing.T) {
	registered := map[int]bool{1000: true, 1001: true, 1002: true, 1003: true, 1007: true, 1008: true, 1009: true, 1010: true, 1011: true, 1012: true, 1013: true, 1014: true}
	for code := range 1 << 16 {
		private := code >= 3000 && code < 5000
		if got, want := validCloseCode(uint16(code)), registered[code] || private; got != want {
			t.Errorf("code %d: valid is %v, want %v", code, got, want)
		}
	}
}
