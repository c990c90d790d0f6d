package main

import (
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-im/switchyard/bench/codecs/protochat"
)

// protobuf uses Google's module and the code that its compiler makes.
type protobuf struct {
	messages *protochat.Batch
	one      protochat.Chat
	many     protochat.Batch
	buf      []byte
}

func newProtobuf(messages []chat) coder {
	c := &protobuf{messages: new(protochat.Batch)}
	for _, m := range messages {
		c.messages.Messages = append(c.messages.Messages, &protochat.Chat{
			Conv: m.Conv[:], Seq: m.Seq, Prev: m.Prev, TimeMs: m.TimeMS, Sender: m.Sender, Id: m.ID[:], Kind: uint32(m.Kind), Text: m.Text,
		})
	}
	return c
}

func (c *protobuf) single() bool { return len(c.messages.Messages) == 1 }

func (c *protobuf) Encode() (_ []byte, err error) {
	m := proto.Message(c.messages)
	if c.single() {
		m = c.messages.Messages[0]
	}
	c.buf, err = proto.MarshalOptions{}.MarshalAppend(c.buf[:0], m)
	return c.buf, err
}

// decode hands each message to take. They own their memory.
func (c *protobuf) decode(b []byte, take func(chat)) error {
	if c.single() {
		if err := proto.Unmarshal(b, &c.one); err != nil {
			return err
		}
		m, err := fromProtobuf(&c.one)
		take(m)
		return err
	}
	if err := proto.Unmarshal(b, &c.many); err != nil {
		return err
	}
	if len(c.many.Messages) != len(c.messages.Messages) {
		return errCount
	}
	for _, p := range c.many.Messages {
		m, err := fromProtobuf(p)
		if err != nil {
			return err
		}
		take(m)
	}
	return nil
}

func (c *protobuf) Read(b []byte) (d digest, err error) {
	err = c.decode(b, func(m chat) { d = m.digest(d) })
	return d, err
}

func (c *protobuf) Keep(b []byte, dst []chat) ([]chat, error) {
	err := c.decode(b, func(m chat) { dst = append(dst, m) })
	return dst, err
}

func fromProtobuf(m *protochat.Chat) (chat, error) {
	conv, err := toID(m.GetConv())
	if err != nil {
		return chat{}, err
	}
	id, err := toID(m.GetId())
	return chat{conv, m.GetSeq(), m.GetPrev(), m.GetTimeMs(), m.GetSender(), id, uint8(m.GetKind()), m.GetText()}, err
}
