package history

import (
	"bytes"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

func TestBodyComesBackAsItWas(t *testing.T) {
	object, err := frame.AppendBody(nil, map[string]any{"event": "rated", "rating": 5, "comment": "all good"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body      []byte
		text      string
		keepsBody bool
	}{
		{frame.AppendText(nil, ""), "", false},
		{frame.AppendText(nil, "hello"), "hello", false},
		{frame.AppendText(nil, strings.Repeat("x", 31)), strings.Repeat("x", 31), false},
		{frame.AppendText(nil, strings.Repeat("x", 32)), strings.Repeat("x", 32), false},
		{frame.AppendText(nil, strings.Repeat("x", 256)), strings.Repeat("x", 256), false},
		{frame.AppendText(nil, strings.Repeat("x", 1<<16)), strings.Repeat("x", 1<<16), false},
		{append([]byte{0xd9, 2}, "hi"...), "hi", true}, // a longer head than is needed
		{[]byte{0xc0}, "", true},
		{[]byte{7}, "", true},
		{object, "all good rated", true},
	} {
		text, value, _ := splitBody(c.body, []byte("scratch"))
		if string(text) != c.text || (len(value) > 0) != c.keepsBody {
			t.Errorf("splitBody(%x) = %q, %x", c.body, text, value)
		}
		if got := joinBody(nil, text, value); !bytes.Equal(got, c.body) {
			t.Errorf("%x came back as %x", c.body, got)
		}
	}
	if text, value, _ := splitBody(nil, nil); len(text) != 0 || !bytes.Equal(joinBody(nil, text, value), noBody) {
		t.Errorf("no body: %q, %x", text, value)
	}
}

func FuzzBody(f *testing.F) {
	f.Add(frame.AppendText(nil, "hello"))
	f.Add([]byte{0xd9, 2, 'h', 'i'})
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return
		}
		text, value, _ := splitBody(body, nil)
		if got := joinBody(nil, text, value); !bytes.Equal(got, body) {
			t.Errorf("%x came back as %x", body, got)
		}
	})
}
