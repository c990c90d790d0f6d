package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/switchyard-im/switchyard/bench/codec"
)

// errAltered says that what came back is not what was written.
var errAltered = errors.New("codecs: altered")

// checkEqual writes messages and reads them in both ways.
func checkEqual(k *kind, messages []chat) error {
	c := k.make(messages)
	b, err := c.Encode()
	if err != nil {
		return fmt.Errorf("codecs: %s: encode: %w", k.name, err)
	}
	b = bytes.Clone(b)
	got, err := c.Keep(b, nil)
	if err != nil {
		return fmt.Errorf("%w: %s: keep: %w, of %s", errAltered, k.name, err, show(messages))
	}
	d, err := c.Read(b)
	if err != nil {
		return fmt.Errorf("%w: %s: read: %w, of %s", errAltered, k.name, err, show(messages))
	}
	clear(b) // what is kept must not be borrowed
	if !slices.Equal(got, messages) {
		return fmt.Errorf("%w: %s: kept %s, want %s", errAltered, k.name, show(got), show(messages))
	}
	if want := digestOf(messages); d != want {
		return fmt.Errorf("%w: %s: the digest of what was read is %x, want %x, of %s", errAltered, k.name, d, want, show(messages))
	}
	return nil
}

// show is the beginning of what is to be told of messages.
func show(messages []chat) string { return fmt.Sprintf("%.600s", fmt.Sprintf("%+v", messages)) }

// checkAll proves all codecs with the messages to be measured and with random ones, alone and in batches, the same for each. It returns how many
// messages came back from each codec.
func checkAll(all []kind, seed uint64, one, batch []chat) (int, error) {
	r := rand.New(rand.NewPCG(seed, 0))
	cases := [][]chat{one, batch}
	for range 200 {
		cases = append(cases, randomChats(r, 1), randomChats(r, 1+r.IntN(16)))
	}
	count := 0
	for _, messages := range cases {
		count += len(messages)
		for i := range all {
			if err := checkEqual(&all[i], messages); err != nil {
				return 0, err
			}
		}
	}
	return count, nil
}

// marker stands in a text where invalid takes its place in the bytes, after encoding.
const (
	marker  = "@MARKER@"
	invalid = "ok\xff\xfe\xc3(ok"
)

// guard tries what a codec does with bytes that are no message.
func guard(k *kind) (codec.Guard, error) {
	c := k.make(conversation(1, "before "+marker+" after"))
	b, err := c.Encode()
	if err != nil {
		return codec.Guard{}, fmt.Errorf("codecs: %s: encode: %w", k.name, err)
	}
	b = bytes.Clone(b)
	g := codec.Guard{Cut: len(b)}
	for n := range b {
		switch _, err := try(c, b[:n:n]); {
		case errors.Is(err, errPanicked):
			g.Panicked++
		case err != nil:
			g.Refused++
		default:
			g.Taken++
		}
	}
	if !bytes.Contains(b, []byte(marker)) {
		return g, fmt.Errorf("codecs: %s: the text does not stand in the bytes", k.name)
	}
	b = bytes.Replace(b, []byte(marker), []byte(invalid), 1)
	switch got, err := try(c, b); {
	case err != nil:
		g.Text = "refused"
	case strings.Contains(got[0].Text, invalid):
		g.Text = "passed"
	case utf8.ValidString(got[0].Text):
		g.Text = "replaced"
	default:
		g.Text = "altered"
	}
	return g, nil
}

var errPanicked = errors.New("panicked")

// try is Keep, with a panic as an error.
func try(c coder, b []byte) (got []chat, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanicked, p)
		}
	}()
	return c.Keep(b, nil)
}
