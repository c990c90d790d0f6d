package main

import (
	"bytes"
	"encoding/json"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/encoder"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// structs is a codec that writes and fills tagged structs by reflection or compiled code: a message as one value, several as an array.
type structs[T any] struct {
	messages  []T
	into      []T
	marshal   func(v any) ([]byte, error) // into a buffer that it reuses
	unmarshal func(b []byte, v any) error // v owns its memory
	view      func(*T) (chat, error)      // shares the strings
}

func newStructs[T any](messages []chat, from func(*chat) T) *structs[T] {
	c := &structs[T]{into: make([]T, len(messages))}
	for i := range messages {
		c.messages = append(c.messages, from(&messages[i]))
	}
	return c
}

func (c *structs[T]) Encode() ([]byte, error) {
	if len(c.messages) == 1 {
		return c.marshal(&c.messages[0])
	}
	return c.marshal(&c.messages)
}

// decode fills into, which it empties first: some decoders leave a field alone that they do not find.
func (c *structs[T]) decode(b []byte) error {
	clear(c.into)
	if len(c.messages) == 1 {
		return c.unmarshal(b, &c.into[0])
	}
	if err := c.unmarshal(b, &c.into); err != nil {
		return err
	}
	if len(c.into) != len(c.messages) {
		return errCount
	}
	return nil
}

func (c *structs[T]) Read(b []byte) (d digest, err error) {
	if err := c.decode(b); err != nil {
		return 0, err
	}
	for i := range c.into {
		m, err := c.view(&c.into[i])
		if err != nil {
			return 0, err
		}
		d = m.digest(d)
	}
	return d, nil
}

func (c *structs[T]) Keep(b []byte, dst []chat) ([]chat, error) {
	if err := c.decode(b); err != nil {
		return dst, err
	}
	for i := range c.into {
		m, err := c.view(&c.into[i])
		if err != nil {
			return dst, err
		}
		dst = append(dst, m)
	}
	return dst, nil
}

// jsonChat has ids as bytes, which JSON libraries for Go write as base64.
type jsonChat struct {
	Conv   []byte `json:"conv"`
	Seq    uint64 `json:"seq"`
	Prev   uint64 `json:"prev"`
	TimeMS uint64 `json:"time_ms"`
	Sender string `json:"sender"`
	ID     []byte `json:"id"`
	Kind   uint8  `json:"kind"`
	Text   string `json:"text"`
}

func newJSON(messages []chat) *structs[jsonChat] {
	c := newStructs(messages, func(m *chat) jsonChat {
		return jsonChat{m.Conv[:], m.Seq, m.Prev, m.TimeMS, m.Sender, m.ID[:], m.Kind, m.Text}
	})
	c.view = func(m *jsonChat) (chat, error) {
		conv, err := toID(m.Conv)
		if err != nil {
			return chat{}, err
		}
		id, err := toID(m.ID)
		return chat{conv, m.Seq, m.Prev, m.TimeMS, m.Sender, id, m.Kind, m.Text}, err
	}
	return c
}

// newStandardJSON is encoding/json, without the escapes for JSON inside of HTML.
func newStandardJSON(messages []chat) coder {
	c := newJSON(messages)
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	c.marshal = func(v any) ([]byte, error) {
		buf.Reset()
		err := e.Encode(v)
		return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
	}
	c.unmarshal = json.Unmarshal
	return c
}

// newSonic is sonic with its default configuration, which does not look whether text is UTF-8.
func newSonic(messages []chat) coder {
	c := newJSON(messages)
	var buf []byte
	c.marshal = func(v any) ([]byte, error) {
		buf = buf[:0]
		err := encoder.EncodeInto(&buf, v, 0)
		return buf, err
	}
	c.unmarshal = sonic.Unmarshal
	return c
}

// newMaps writes a message as a msgpack map with the names as keys.
func newMaps(messages []chat) coder {
	c := newStructs(messages, func(m *chat) chat { return *m })
	c.view = func(m *chat) (chat, error) { return *m, nil }
	c.useMsgpack(false)
	return c
}

// arrayChat is the array that a message frame is too.
type arrayChat struct {
	Type   frame.Type
	Conv   frame.ID
	Seq    uint64
	Prev   uint64
	TimeMS uint64
	Sender string
	ID     frame.ID
	Kind   uint8
	Text   string
}

func newArrays(messages []chat) coder {
	c := newStructs(messages, func(m *chat) arrayChat {
		return arrayChat{Type: frame.TypeMessage, Conv: m.Conv, Seq: m.Seq, Prev: m.Prev, TimeMS: m.TimeMS, Sender: m.Sender, ID: m.ID, Kind: m.Kind, Text: m.Text}
	})
	c.view = func(m *arrayChat) (chat, error) {
		if m.Type != frame.TypeMessage {
			return chat{}, frame.ErrType
		}
		return chat{m.Conv, m.Seq, m.Prev, m.TimeMS, m.Sender, m.ID, m.Kind, m.Text}, nil
	}
	c.useMsgpack(true)
	return c
}

// useMsgpack sets vmihailenco's encoder with the shortest integers, and its decoder, which takes structs as arrays and as maps.
func (c *structs[T]) useMsgpack(arrays bool) {
	var buf bytes.Buffer
	e := msgpack.NewEncoder(&buf)
	e.UseCompactInts(true)
	e.UseArrayEncodedStructs(arrays)
	c.marshal = func(v any) ([]byte, error) {
		buf.Reset()
		err := e.Encode(v)
		return buf.Bytes(), err
	}
	c.unmarshal = msgpack.Unmarshal
}
