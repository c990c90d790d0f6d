package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/codec"
)

// TestAllComeBack is what a run begins with, of several seeds.
func TestAllComeBack(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	n, err := checkAll(kinds, seed, conversation(1, defaultText), conversation(16, defaultText))
	if err != nil || n < 1000 {
		t.Fatalf("%d messages: %v", n, err)
	}
	if len(defaultText) != 128 {
		t.Errorf("the text has %d bytes", len(defaultText))
	}
}

// spoilt is a codec that does one thing wrong.
type spoilt struct {
	*frames
	spoil func(*chat)
}

func (s *spoilt) Keep(b []byte, dst []chat) ([]chat, error) {
	dst, err := s.frames.Keep(b, dst)
	for i := range dst {
		s.spoil(&dst[i])
	}
	return dst, err
}

func (s *spoilt) Read(b []byte) (digest, error) {
	all, err := s.Keep(b, nil)
	return digestOf(all), err
}

// TestAlteringIsFound: whichever field a codec spoils, the check names codec and message before anything is measured.
func TestAlteringIsFound(t *testing.T) {
	for field, spoil := range map[string]func(*chat){
		"conv": func(m *chat) { m.Conv[7] ^= 1 }, "seq": func(m *chat) { m.Seq++ }, "prev": func(m *chat) { m.Prev &= 1<<53 - 1 },
		"time": func(m *chat) { m.TimeMS = uint64(float64(m.TimeMS)) }, "sender": func(m *chat) { m.Sender = strings.TrimSpace(m.Sender) }, "id": func(m *chat) { m.ID[15] = 0 },
		"kind": func(m *chat) { m.Kind &= 0x7f }, "text": func(m *chat) { m.Text = strings.ReplaceAll(m.Text, "\u2028", "\n") },
	} {
		bad := []kind{kinds[0], {name: "spoilt", make: func(messages []chat) coder {
			return &spoilt{frames: makeFrames(messages), spoil: spoil}
		}}}
		_, err := checkAll(bad, 1, conversation(1, defaultText), conversation(16, defaultText))
		if !errors.Is(err, errAltered) || !strings.Contains(err.Error(), "spoilt") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// unread is a codec whose Read leaves a field out, as one that reads in place could be measured too kindly.
type unread struct{ *frames }

func (u *unread) Read(b []byte) (digest, error) {
	all, err := u.Keep(b, nil)
	for i := range all {
		all[i].Text = ""
	}
	return digestOf(all), err
}

func TestAFieldLeftUnreadIsFound(t *testing.T) {
	lazy := kind{name: "lazy", make: func(messages []chat) coder { return &unread{makeFrames(messages)} }}
	if err := checkEqual(&lazy, conversation(2, defaultText)); !errors.Is(err, errAltered) || !strings.Contains(err.Error(), "digest") {
		t.Error(err)
	}
}

// TestArraysAreFrames: what the server writes is what another msgpack encoder writes of the same fields, byte for byte.
func TestArraysAreFrames(t *testing.T) {
	for _, m := range conversation(20, defaultText) {
		ours, err := newFrames([]chat{m}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := newArrays([]chat{m}).Encode(); err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%x, theirs %x, %v", ours, theirs, err)
		}
	}
}

// TestGuards holds what docs/benchmarks.md says of each codec.
func TestGuards(t *testing.T) {
	want := map[string]codec.Guard{
		inPlace: {Text: "refused"}, "in_place_json": {Text: "refused"}, "encoding_json": {Text: "replaced"}, "sonic": {Text: "passed"},
		"msgpack_maps": {Text: "passed"}, "msgpack_arrays": {Text: "passed"}, "protobuf": {Text: "refused"}, "flatbuffers": {Text: "passed"},
	}
	for i := range kinds {
		name := kinds[i].name
		g, err := guard(&kinds[i])
		if err != nil {
			t.Fatal(err)
		}
		t.Log(name, g)
		if g.Text != want[name].Text || g.Refused+g.Taken+g.Panicked != g.Cut {
			t.Errorf("%s: %v", name, g)
		}
		if all := g.Refused == g.Cut; all != (name != "flatbuffers" && name != "protobuf") {
			t.Errorf("%s: %v", name, g)
		}
	}
}

// TestNoBufferIsForgotten: a codec that can do without allocating is measured so.
func TestNoBufferIsForgotten(t *testing.T) {
	messages := conversation(16, defaultText)
	free := map[string][]string{
		"encode": {inPlace, "in_place_json", "protobuf", "flatbuffers"},
		"decode": {inPlace, "in_place_json", "flatbuffers"},
	}
	for i := range kinds {
		s, err := newSubject(&kinds[i], messages)
		if err != nil {
			t.Fatal(err)
		}
		for j := range operations {
			op := &operations[j]
			if err := op.run(s); err != nil { // buffers grow once
				t.Fatal(err)
			}
			got, err := s.measure(op, 500)
			if err != nil {
				t.Fatal(err)
			}
			if none := got.allocs < 0.02; slices.Contains(free[op.name], s.name) && !none {
				t.Errorf("%s of %s: %.3f allocations a message", op.name, s.name, got.allocs)
			}
		}
	}
}

func TestRun(t *testing.T) {
	var out, errOut strings.Builder
	if code := run(t.Context(), []string{"--rounds", "2", "--time", "1ms", "--batch", "3", "--text", "hi"}, &out, &errOut); code != 0 {
		t.Fatalf("%d\n%s", code, errOut.String())
	}
	var rep codec.Report
	if err := json.Unmarshal([]byte(out.String()), &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Codecs) != len(kinds) || rep.Rounds != 2 || rep.BatchOf != 3 || rep.TextBytes != 2 || !strings.Contains(errOut.String(), "round 2 of 2") {
		t.Errorf("%+v\n%s", rep, errOut.String())
	}
	for _, name := range rep.Codecs {
		for _, f := range []codec.Figures{rep.One[name], rep.Batch[name]} {
			for _, c := range []codec.Cost{f.Encode, f.Decode, f.Keep} {
				if s := c.NS; f.Bytes < 40 || s.Least <= 0 || s.Least > s.Median || s.Median > s.Most {
					t.Errorf("%s: %+v", name, f)
				}
			}
			if f.Keep.Allocs < 1.9 { // sender and text at the least
				t.Errorf("%s keeps with %v allocations", name, f.Keep.Allocs)
			}
		}
		if m := rep.Modules[name]; m == "" || rep.Guards[name].Cut == 0 {
			t.Errorf("%s: %q, %+v", name, m, rep.Guards[name])
		}
	}
	if c := rep.One[inPlace].Encode.OfInPlace; c.Least != 1 || c.Most != 1 {
		t.Errorf("%+v", c)
	}
}

func TestExitCodes(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range []struct {
		ctx  context.Context
		args []string
		want int
		says string
	}{
		{t.Context(), []string{"--rounds", "0"}, codec.ExitUsage, "rounds"},
		{t.Context(), []string{"--text", strings.Repeat("x", 40000)}, codec.ExitUsage, "40000"},
		{t.Context(), []string{"--no"}, codec.ExitUsage, "--no"},
		{t.Context(), []string{"--help"}, 0, "--rounds"},
		{stopped, []string{"--time", "1ms"}, codec.ExitCannotRun, "canceled"},
	} {
		var out strings.Builder
		if code := run(c.ctx, c.args, &out, &out); code != c.want || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: %d, %s", c.args, code, out.String())
		}
	}
}
