package oracle

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// chain follows the sequence of one conversation on one side. A sequence counts without holes within an epoch, messages of others arrive
// in its order, and the side's own come as acks, which may be a little early or late. So every number below the last that arrived was either
// received, or is the side's own.
//
// Invariants: own is sorted and all in it exceed last+1; missing is sorted and all in it are below last.
type chain struct {
	last    uint64   // everything up to here is accounted for, but for missing: the point to resume after
	own     []uint64 // own sequences above last that were acked
	missing []uint64 // sequences below last that must turn out to be own
}

// maxHole bounds how many own messages may be unacked between two received ones.
const maxHole = 2 * maxUnsettled

// received takes a message and returns what is wrong with its numbers, or "".
func (c *chain) received(seq, prev uint64) string {
	sameEpoch := frame.SequenceEpoch(seq) == frame.SequenceEpoch(prev)
	switch {
	case seq <= c.last:
		return "the sequence does not exceed the last one"
	case prev < c.last:
		return "prev is older than the last message"
	case sameEpoch && prev != seq-1 || prev >= seq:
		return "prev is not the number before the sequence"
	case sameEpoch && seq-c.last > maxHole && frame.SequenceEpoch(c.last) == frame.SequenceEpoch(seq):
		return "the sequence jumps"
	}
	c.expectOwn(prev)
	c.last = seq
	c.absorb()
	return ""
}

// expectOwn notes everything after last up to prev that no ack has named yet.
func (c *chain) expectOwn(prev uint64) {
	if prev == c.last {
		return
	}
	from := c.last + 1
	if frame.SequenceEpoch(from) != frame.SequenceEpoch(prev) {
		from = prev // what lies between epochs has no numbers to expect
	}
	for seq := from; seq <= prev; seq++ {
		if _, known := slices.BinarySearch(c.own, seq); !known {
			c.missing = append(c.missing, seq)
		}
	}
}

// acked takes the sequence of an own message and returns what is wrong with it, or "".
func (c *chain) acked(seq uint64) string {
	if seq == c.last+1 {
		c.last = seq
		c.absorb()
		return ""
	}
	if seq > c.last {
		i, known := slices.BinarySearch(c.own, seq)
		if known {
			return "two messages have the same sequence"
		}
		c.own = slices.Insert(c.own, i, seq)
		return ""
	}
	i, expected := slices.BinarySearch(c.missing, seq)
	if !expected {
		return "the sequence belongs to another message"
	}
	c.missing = slices.Delete(c.missing, i, i+1)
	return ""
}

// absorb moves last over the own messages that follow it directly.
func (c *chain) absorb() {
	n := 0
	for n < len(c.own) && c.own[n] <= c.last+1 {
		c.last = max(c.last, c.own[n])
		n++
	}
	c.own = slices.Delete(c.own, 0, n)
}
