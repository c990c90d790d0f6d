package core

import (
	"bytes"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// memory is the obvious store for the machine's tests.
type memory struct {
	convs   map[frame.ID]*storedConversation
	members map[UserKey][]frame.ID
}

type storedConversation struct {
	state    []byte
	open     bool
	messages []frame.Message // by sequence, from 1 on; bodies and names are copies
	frames   [][]byte
}

func newMemory() *memory {
	return &memory{convs: map[frame.ID]*storedConversation{}, members: map[UserKey][]frame.ID{}}
}

func (s *memory) conv(id frame.ID) *storedConversation {
	if s.convs[id] == nil {
		s.convs[id] = &storedConversation{}
	}
	return s.convs[id]
}

func (s *memory) write(writes []Write) {
	for _, w := range writes {
		switch w.Op {
		case PutMessages:
			s.conv(w.Conv).append(bytes.Clone(w.Data), w.First, w.Last)
		case PutConversation:
			c := s.conv(w.Conv)
			c.state, c.open = bytes.Clone(w.Data), w.Open
		case PutMember:
			list := slices.DeleteFunc(s.members[w.User], func(id frame.ID) bool { return id == w.Conv })
			if w.Open {
				list = append(list, w.Conv)
			}
			s.members[w.User] = list
		}
	}
}

func (c *storedConversation) append(data []byte, first, last uint64) {
	if first != uint64(len(c.messages))+1 {
		panic("the machine wrote messages that do not follow what is stored")
	}
	for len(data) > 0 {
		_, f, rest, err := frame.Next(data)
		if err != nil {
			panic(err)
		}
		var m frame.Message
		if err := m.Parse(f); err != nil {
			panic(err)
		}
		c.messages, c.frames, data = append(c.messages, m), append(c.frames, f), rest
	}
	if last != uint64(len(c.messages)) {
		panic("the machine wrote other messages than it said")
	}
}

func (c *storedConversation) last() []byte {
	if len(c.frames) == 0 {
		return nil
	}
	return c.frames[len(c.frames)-1]
}

func (s *memory) after(id frame.ID, after, upto uint64, limit int) (frames []byte, last uint64) {
	last = after
	c := s.conv(id)
	for seq := after + 1; seq <= upto && seq <= uint64(len(c.messages)) && limit > 0; seq++ {
		frames, last, limit = append(frames, c.frames[seq-1]...), seq, limit-1
	}
	return frames, last
}

func (s *memory) seen(j Job) (seen []Seen) {
	for _, m := range s.conv(j.Conv).messages {
		if m.Seq > j.After && m.Seq <= j.Upto {
			seen = append(seen, Seen{Seq: m.Seq, TimeMS: m.TimeMS, ID: m.ID, Sender: string(m.Sender)})
		}
	}
	return seen
}
