package main

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"

	"github.com/switchyard-im/switchyard/frame"
)

// chat is the message that all codecs carry: the fields of frame.Message, with a text as its body. The names are the keys of msgpack maps.
type chat struct {
	Conv   frame.ID `msgpack:"conv"`
	Seq    uint64   `msgpack:"seq"`
	Prev   uint64   `msgpack:"prev"`
	TimeMS uint64   `msgpack:"time_ms"`
	Sender string   `msgpack:"sender"`
	ID     frame.ID `msgpack:"id"`
	Kind   uint8    `msgpack:"kind"`
	Text   string   `msgpack:"text"`
}

// errNotID is what a reader says of an id that is not 16 bytes; those that read ids in place have 16 by their format.
var errNotID = errors.New("codecs: an id is not 16 bytes")

func toID(b []byte) (frame.ID, error) {
	if len(b) != len(frame.ID{}) {
		return frame.ID{}, errNotID
	}
	return frame.ID(b), nil
}

// digest takes in fields one after the other, so that none of them can be left unread.
type digest uint64

func (d digest) number(v uint64) digest { return (d ^ digest(v)) * 0x100000001b3 }

func (d digest) id(id *frame.ID) digest {
	return d.number(binary.BigEndian.Uint64(id[:])).number(binary.BigEndian.Uint64(id[8:]))
}

// text takes in the length and both ends.
func text[S string | []byte](d digest, s S) digest {
	if len(s) == 0 {
		return d.number(0)
	}
	return d.number(uint64(len(s))<<16 | uint64(s[0])<<8 | uint64(s[len(s)-1]))
}

func (c *chat) digest(d digest) digest {
	d = d.id(&c.Conv).number(c.Seq).number(c.Prev).number(c.TimeMS)
	d = text(d, c.Sender).id(&c.ID).number(uint64(c.Kind))
	return text(d, c.Text)
}

func digestOf(messages []chat) (d digest) {
	for i := range messages {
		d = messages[i].digest(d)
	}
	return d
}

// conversation is what is measured: two users talk, one message after the other, some seconds apart.
func conversation(n int, text string) []chat {
	r := rand.New(rand.NewPCG(6, 1))
	conv := randomID(r)
	now := uint64(1795000000000)
	var messages []chat
	for i := range uint64(n) {
		now += 1000 + r.Uint64N(9000)
		m := chat{Conv: conv, Seq: frame.Sequence(1, 1000+i), Prev: frame.Sequence(1, 999+i), TimeMS: now, Sender: "visitor-48213", ID: randomID(r), Text: text}
		if i%2 == 1 {
			m.Sender = "agent-dolores"
		}
		messages = append(messages, m)
	}
	return messages
}

// corners are numbers where one of the codecs changes the width of what it writes.
var corners = []uint64{0, 1, 127, 128, 255, 256, 16383, 16384, 65535, 65536, 1<<32 - 1, 1 << 32, frame.MaxSequence, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// pieces are what a random text is made of: all that one of the codecs may escape, replace or count in another way.
var pieces = []string{"a", " ", "\"", "\\", "/", "\n", "\t", "\x00", "\x1f", "\x7f", "<b>&", "é", "€", "𝄞", "\u2028", "\ufffd", "\ufeff", "<script>", "word ", strings.Repeat("long ", 60)}

// randomChats are n messages of any content that a message may have.
func randomChats(r *rand.Rand, n int) []chat {
	number := func() uint64 { return corners[r.IntN(len(corners))] }
	words := func(limit int) string {
		var b strings.Builder
		for range r.IntN(12) {
			if p := pieces[r.IntN(len(pieces))]; b.Len()+len(p) <= limit {
				b.WriteString(p)
			}
		}
		return b.String()
	}
	messages := make([]chat, n)
	for i := range messages {
		messages[i] = chat{Conv: randomID(r), Seq: number(), Prev: number(), TimeMS: number(), Sender: words(frame.MaxName), ID: randomID(r), Kind: uint8(number()), Text: words(1 << 16)}
	}
	return messages
}

func randomID(r *rand.Rand) (id frame.ID) {
	binary.BigEndian.PutUint64(id[:], r.Uint64()|1) // no id is zero
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	return id
}
