package main

import (
	"encoding/binary"
	"errors"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/switchyard-im/switchyard/bench/codecs/flatchat"
	"github.com/switchyard-im/switchyard/frame"
)

// flat is FlatBuffers, which has no types of its own to fill: what is encoded is put together in its builder. Nothing verifies what is read, since
// FlatBuffers has no verifier for Go; an offset that points outside panics.
type flat struct {
	messages []chat
	b        *flatbuffers.Builder
	offsets  []flatbuffers.UOffsetT

	// Where reading stands, here so that it allocates nothing.
	batch flatchat.Batch
	at    flatchat.Chat
	id    flatchat.Id
}

var errNoField = errors.New("codecs: a field is not there")

func newFlat(messages []chat) coder {
	return &flat{messages: messages, b: flatbuffers.NewBuilder(0), offsets: make([]flatbuffers.UOffsetT, len(messages))}
}

func (c *flat) Encode() ([]byte, error) {
	c.b.Reset()
	for i := range c.messages {
		c.offsets[i] = c.build(&c.messages[i])
	}
	if len(c.messages) == 1 {
		c.b.Finish(c.offsets[0])
		return c.b.FinishedBytes(), nil
	}
	flatchat.BatchStartMessagesVector(c.b, len(c.offsets))
	for i := len(c.offsets) - 1; i >= 0; i-- { // a vector is built from its end
		c.b.PrependUOffsetT(c.offsets[i])
	}
	vector := c.b.EndVector(len(c.offsets))
	flatchat.BatchStart(c.b)
	flatchat.BatchAddMessages(c.b, vector)
	c.b.Finish(flatchat.BatchEnd(c.b))
	return c.b.FinishedBytes(), nil
}

func (c *flat) build(m *chat) flatbuffers.UOffsetT {
	sender, body := c.b.CreateString(m.Sender), c.b.CreateString(m.Text)
	flatchat.ChatStart(c.b)
	flatchat.ChatAddConv(c.b, c.buildID(&m.Conv))
	flatchat.ChatAddSeq(c.b, m.Seq)
	flatchat.ChatAddPrev(c.b, m.Prev)
	flatchat.ChatAddTimeMs(c.b, m.TimeMS)
	flatchat.ChatAddSender(c.b, sender)
	flatchat.ChatAddId(c.b, c.buildID(&m.ID))
	flatchat.ChatAddKind(c.b, m.Kind)
	flatchat.ChatAddText(c.b, body)
	return flatchat.ChatEnd(c.b)
}

func (c *flat) buildID(id *frame.ID) flatbuffers.UOffsetT {
	return flatchat.CreateId(c.b, binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:]))
}

// each calls take with a table for each message, which is valid during the call.
func (c *flat) each(b []byte, take func(*flatchat.Chat) error) error {
	if len(c.messages) == 1 {
		c.at.Init(b, flatbuffers.GetUOffsetT(b))
		return take(&c.at)
	}
	c.batch.Init(b, flatbuffers.GetUOffsetT(b))
	if c.batch.MessagesLength() != len(c.messages) {
		return errCount
	}
	for i := range c.batch.MessagesLength() {
		if !c.batch.Messages(&c.at, i) {
			return errNoField
		}
		if err := take(&c.at); err != nil {
			return err
		}
	}
	return nil
}

func (c *flat) Read(b []byte) (d digest, err error) {
	id := &c.id
	err = c.each(b, func(m *flatchat.Chat) error {
		if m.Conv(id) == nil {
			return errNoField
		}
		d = d.number(id.High()).number(id.Low())
		d = d.number(m.Seq()).number(m.Prev()).number(m.TimeMs())
		d = text(d, m.Sender())
		if m.Id(id) == nil {
			return errNoField
		}
		d = d.number(id.High()).number(id.Low()).number(uint64(m.Kind()))
		d = text(d, m.Text())
		return nil
	})
	return d, err
}

func (c *flat) Keep(b []byte, dst []chat) ([]chat, error) {
	err := c.each(b, func(m *flatchat.Chat) error {
		conv, err := fromFlat(m.Conv(&c.id))
		if err != nil {
			return err
		}
		id, err := fromFlat(m.Id(&c.id))
		if err != nil {
			return err
		}
		dst = append(dst, chat{conv, m.Seq(), m.Prev(), m.TimeMs(), string(m.Sender()), id, m.Kind(), string(m.Text())})
		return nil
	})
	return dst, err
}

func fromFlat(f *flatchat.Id) (id frame.ID, err error) {
	if f == nil {
		return id, errNoField
	}
	binary.BigEndian.PutUint64(id[:], f.High())
	binary.BigEndian.PutUint64(id[8:], f.Low())
	return id, nil
}
