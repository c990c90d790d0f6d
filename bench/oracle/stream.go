package oracle

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Stream judges one of many receivers of a conversation in which one user writes and the receivers write nothing: every message must
// come once, in order, unaltered, and name the one before it. Owned by one goroutine.
//
// Invariant: missing is sorted and all in it are below next.
type Stream struct {
	Number int    // of the receiver, for the reports
	Pair   uint32 // the number of the conversation, as its bodies tell it

	next    uint64   // index of the next message
	last    uint64   // sequence of the last message or event
	missing []uint64 // indices that were skipped
}

// Attached sets the sequence after which the receiver is going to see everything.
func (s *Stream) Attached(head uint64) { s.last = max(s.last, head) }

// Known is the last sequence that arrived.
func (s *Stream) Known() uint64 { return s.last }

// Next is the index of the message that is expected.
func (s *Stream) Next() uint64 { return s.next }

// Received takes a message with a body of size bytes. due is when it was to be sent; fresh is false if it is a violation or an event.
func (s *Stream) Received(l *Ledger, run uint32, size int, m *frame.Message) (due int64, fresh bool) {
	s.link(l, m)
	if m.Kind == frame.KindEvent {
		return 0, false
	}
	tag, ok := ParseBody(m.Body, size)
	if !ok || m.ID != tag.ID() || tag.Run != run {
		l.violation(Altered, s.Number, "sequence %d, id %s, %d bytes: not a body that was sent", m.Seq, m.ID, len(m.Body))
		return 0, false
	}
	if tag.Pair != s.Pair {
		l.violation(Misdelivered, s.Number, "message %d of conversation %d, sequence %d, in conversation %d", tag.Index, tag.Pair, m.Seq, s.Pair)
		return 0, false
	}
	switch i, skipped := slices.BinarySearch(s.missing, tag.Index); {
	case skipped:
		l.violation(Reordered, s.Number, "message %d, sequence %d, after message %d", tag.Index, m.Seq, s.next-1)
		s.missing = slices.Delete(s.missing, i, i+1)
	case tag.Index < s.next:
		l.violation(Duplicated, s.Number, "message %d again, with sequence %d", tag.Index, m.Seq)
		return 0, false
	default:
		s.skip(tag.Index)
	}
	l.Delivered++
	return tag.Due, true
}

// maxSkipped bounds what is remembered of a gap; a greater one is of another conversation.
const maxSkipped = 100_000

func (s *Stream) skip(to uint64) {
	for ; s.next < to && len(s.missing) < maxSkipped; s.next++ {
		s.missing = append(s.missing, s.next)
	}
	s.next = to + 1
}

// link checks the numbers of a message: its sequence exceeds the last one, which it names.
func (s *Stream) link(l *Ledger, m *frame.Message) {
	switch {
	case m.Seq <= s.last:
		l.violation(Reordered, s.Number, "sequence %d after %d", m.Seq, s.last)
	case m.Prev != s.last:
		l.violation(BadSequence, s.Number, "sequence %d names %d as the one before it, but %d was", m.Seq, m.Prev, s.last)
	}
	s.last = max(s.last, m.Seq)
}

// Finish judges what never came of the messages that were accepted, which are those below accepted.
func (s *Stream) Finish(l *Ledger, accepted uint64) {
	for _, index := range s.missing {
		l.violation(Lost, s.Number, "message %d", index)
	}
	for ; s.next < accepted; s.next++ {
		l.violation(Lost, s.Number, "message %d", s.next)
	}
}

// Unrecovered says that the receiver was told it cannot have what it missed.
func (s *Stream) Unrecovered(l *Ledger, detail string) {
	l.violation(Unrecovered, s.Number, "resumed after sequence %d: %s", s.last, detail)
}

// Unanswered says that a message was neither accepted nor refused by the end.
func (s *Stream) Unanswered(l *Ledger, index uint64) {
	l.violation(Unanswered, s.Number, "message %d", index)
}
