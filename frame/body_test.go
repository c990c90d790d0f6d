package frame

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
)

func TestText(t *testing.T) {
	body := AppendText([]byte("x"), "héllo")[1:]
	if text, ok := Text(body); !ok || string(text) != "héllo" {
		t.Errorf("Text = %q, %v", text, ok)
	}
	for _, bad := range [][]byte{nil, {0xc0}, {0xa1}, {0xa1, 'a', 'b'}, {0xc4, 1, 'a'}, {0xdb, 0xff, 0xff, 0xff, 0xff}} {
		if text, ok := Text(bad); ok {
			t.Errorf("Text(%x) = %q", bad, text)
		}
	}
}

func TestAppendEvent(t *testing.T) {
	body := AppendEvent(nil, "assigned", "agent", "a1", "group", "sales")
	var got map[string]any
	if err := DecodeBody(body, &got); err != nil || !reflect.DeepEqual(got, map[string]any{"event": "assigned", "agent": "a1", "group": "sales"}) {
		t.Errorf("%v, %v", got, err)
	}
	if err := CheckBody(AppendEvent(nil, "opened", "odd")); err != nil {
		t.Error(err)
	}
}

func TestAppendBody(t *testing.T) {
	want := map[string]any{"b": int8(1), "a": []any{"x", nil, true}}
	body, err := AppendBody([]byte("keep"), want)
	var got map[string]any
	if err != nil || string(body[:4]) != "keep" || DecodeBody(body[4:], &got) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%x, %v, %v", body, got, err)
	}
	for _, v := range []any{math.NaN(), math.Inf(1), "\xff", map[int]int{1: 2}, make(chan int)} {
		if got, err := AppendBody([]byte("keep"), v); err == nil || string(got) != "keep" {
			t.Errorf("AppendBody(%v) = %q, %v", v, got, err)
		}
	}
}

func TestCheckBody(t *testing.T) {
	for hex, want := range map[string]error{"": ErrTruncated, "c0c0": ErrTrailing, "c1": ErrCode, "d6ff00000000": ErrExt, "8101c0": ErrMapKey, "a1ff": ErrUTF8,
		"c0": nil, "93010203": nil, "81a161c3": nil} {
		if err := CheckBody(unhex(t, hex)); !errors.Is(err, want) {
			t.Errorf("CheckBody(%s) = %v, want %v", hex, err, want)
		}
	}
}

func TestAppendTexts(t *testing.T) {
	body, err := AppendBody(nil, map[string]any{"a": "one", "b": []any{1, "two", map[string]any{"deep": "three"}}, "c": []byte("bin"), "d": nil, "e": ""})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(AppendTexts([]byte("x"), body)); got != "xone two three" {
		t.Errorf("AppendTexts = %q", got)
	}
	if got := string(AppendTexts(nil, AppendText(nil, "alone"))); got != "alone" {
		t.Errorf("AppendTexts = %q", got)
	}
}

// FuzzAppendTexts: whatever the bytes are, nothing is read beyond them, and what is appended is made of them.
func FuzzAppendTexts(f *testing.F) {
	f.Add([]byte{0x82, 0xa1, 'a', 0xa1, 'b', 0xa1, 'c', 0x91, 0xa1, 'd'})
	f.Add(bytes.Repeat([]byte{0x91}, 1000))
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 'a', 0xc0})
	f.Fuzz(func(t *testing.T, body []byte) {
		got := AppendTexts([]byte("keep"), body)
		if !bytes.HasPrefix(got, []byte("keep")) || len(got) > 4+2*len(body) {
			t.Errorf("AppendTexts(%x) = %q", body, got)
		}
	})
}
