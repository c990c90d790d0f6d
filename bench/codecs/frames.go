package main

import (
	"errors"

	"github.com/switchyard-im/switchyard/frame"
)

// frames is the codec of the server: message frames, one behind the other.
type frames struct {
	messages []frame.Message // without bodies
	texts    []string
	body     []byte
	buf      []byte
}

var (
	errNotText = errors.New("codecs: the body is no text")
	errCount   = errors.New("codecs: another number of messages than was written")
)

func newFrames(messages []chat) coder { return makeFrames(messages) }

func makeFrames(messages []chat) *frames {
	c := new(frames)
	for _, m := range messages {
		c.messages = append(c.messages, frame.Message{
			Conv: m.Conv, Seq: m.Seq, Prev: m.Prev, TimeMS: m.TimeMS, Sender: []byte(m.Sender), ID: m.ID, Kind: frame.Kind(m.Kind),
		})
		c.texts = append(c.texts, m.Text)
	}
	return c
}

func (c *frames) Encode() ([]byte, error) {
	c.buf = c.buf[:0]
	for i := range c.messages {
		c.body = frame.AppendText(c.body[:0], c.texts[i]) // the others write it too; the server, which passes on what it got, need not
		c.messages[i].Body = c.body
		c.buf = c.messages[i].Append(c.buf)
	}
	return c.buf, nil
}

// next takes a message off b, checked in all that the server checks; its text borrows from b like the rest.
func (c *frames) next(b []byte, m *frame.Message) (body, rest []byte, err error) {
	_, f, rest, err := frame.Next(b)
	if err != nil {
		return nil, nil, err
	}
	if err := m.Parse(f); err != nil {
		return nil, nil, err
	}
	body, ok := frame.Text(m.Body)
	if !ok {
		return nil, nil, errNotText
	}
	return body, rest, nil
}

func (c *frames) Read(b []byte) (d digest, err error) {
	var m frame.Message
	var body []byte
	for range c.messages {
		if body, b, err = c.next(b, &m); err != nil {
			return 0, err
		}
		d = d.id(&m.Conv).number(m.Seq).number(m.Prev).number(m.TimeMS)
		d = text(d, m.Sender).id(&m.ID).number(uint64(m.Kind))
		d = text(d, body)
	}
	if len(b) > 0 {
		return 0, errCount
	}
	return d, nil
}

func (c *frames) Keep(b []byte, dst []chat) (_ []chat, err error) {
	var m frame.Message
	var body []byte
	for range c.messages {
		if body, b, err = c.next(b, &m); err != nil {
			return dst, err
		}
		dst = append(dst, chat{Conv: m.Conv, Seq: m.Seq, Prev: m.Prev, TimeMS: m.TimeMS, Sender: string(m.Sender), ID: m.ID, Kind: uint8(m.Kind), Text: string(body)})
	}
	if len(b) > 0 {
		return dst, errCount
	}
	return dst, nil
}

// twin is the JSON that the server offers: the same frames, converted on the way out and in.
type twin struct {
	frames
	json  []byte
	batch []byte
}

func newTwin(messages []chat) coder { return &twin{frames: *makeFrames(messages)} }

func (c *twin) Encode() ([]byte, error) {
	b, err := c.frames.Encode()
	if err != nil {
		return nil, err
	}
	c.json, err = frame.AppendJSON(c.json[:0], b)
	return c.json, err
}

func (c *twin) Read(b []byte) (digest, error) {
	var err error
	if c.batch, err = frame.FromJSON(c.batch[:0], b); err != nil {
		return 0, err
	}
	return c.frames.Read(c.batch)
}

func (c *twin) Keep(b []byte, dst []chat) ([]chat, error) {
	var err error
	if c.batch, err = frame.FromJSON(c.batch[:0], b); err != nil {
		return dst, err
	}
	return c.frames.Keep(c.batch, dst)
}
