package core

import (
	"math/bits"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// chunkSize makes a chunk one page of 8 KiB, which the runtime can give back to the system as soon as the chunk is gone.
const chunkSize = 40

// chunk is a page of conversations, which never move. Objects of their own would be interleaved with what is allocated for a moment while
// thousands of clients come back, and the space between them would stay resident.
type chunk struct {
	used  uint64 // bit i: convs[i] is in use
	convs [chunkSize]conversation
}

// allUsed is chunk.used of a full chunk.
const allUsed = 1<<chunkSize - 1

// chunks is where a machine's conversations lie.
//
// Invariant: a chunk is in open, once, if and only if it has room.
type chunks struct {
	open []*chunk
}

// take returns an empty conversation.
func (s *chunks) take(id frame.ID) *conversation {
	if len(s.open) == 0 {
		s.open = append(s.open, new(chunk))
	}
	k := s.open[len(s.open)-1]
	place := bits.TrailingZeros64(^k.used)
	k.used |= 1 << place
	if k.used == allUsed {
		s.open = s.open[:len(s.open)-1]
	}
	c := &k.convs[place]
	c.home, c.place = k, uint8(place)
	c.empty(id)
	return c
}

// give takes a conversation back; nothing may use it any more.
func (s *chunks) give(c *conversation) {
	k, place := c.home, c.place
	*c = conversation{}
	if k.used == allUsed {
		s.open = append(s.open, k)
	}
	k.used &^= 1 << place
}

// trim drops the chunks that are empty, for the collector.
func (s *chunks) trim() {
	s.open = slices.DeleteFunc(s.open, func(k *chunk) bool { return k.used == 0 })
	if len(s.open) < cap(s.open)/4 {
		s.open = slices.Clone(s.open)
	}
}
