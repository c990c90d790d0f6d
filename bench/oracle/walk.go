package oracle

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Written is a conversation in which one visitor wrote numbered messages.
type Written struct {
	Run      uint32
	Number   int // of the conversation
	Size     int // of a body
	Conv     frame.ID
	Sender   string
	Messages uint64 // that must be there; 0: not known
}

// Walk judges the pages of one conversation that are read from one of its ends to the other: each message once, in order, unaltered, without a gap inside of
// a page or between two. Owned by one goroutine.
type Walk struct {
	ledger    *Ledger
	of        Written
	backwards bool
	begun     bool   // there was a page
	at        uint64 // where the next page begins
	edge      uint64 // what its nearest message is, or, forwards, names as the one before it
	any       bool   // a message was seen
	index     uint64 // forwards: the message that comes next; backwards the one that came last
	seen      bits
}

// NewWalk begins at the newest message, or with backwards false at the first.
func NewWalk(l *Ledger, of Written, backwards bool) *Walk {
	w := &Walk{ledger: l, of: of, backwards: backwards}
	if backwards {
		w.index = of.Messages
	}
	return w
}

// At is the sequence to page from: before it, or after it. 0: from the end.
func (w *Walk) At() uint64 { return w.at }

// Page takes one page, whose messages are in ascending order. More says that others follow; go on is false at the end, and when there is no sense in
// reading on.
func (w *Walk) Page(messages []frame.Message, more bool) (goOn bool) {
	if len(messages) == 0 && more {
		w.Unread("an empty page says that there are more")
		return false
	}
	w.links(messages)
	if w.backwards {
		for _, m := range slices.Backward(messages) {
			w.message(&m)
		}
	} else {
		for i := range messages {
			w.message(&messages[i])
		}
	}
	w.begun = true
	if !more {
		w.end()
	}
	return more
}

// Unread says that the walk cannot go on, and why, so that nothing is known of the rest.
func (w *Walk) Unread(why string) {
	w.ledger.violation(HistoryUnread, w.of.Number, "at sequence %d: %s", w.at, why)
}

// links checks that nothing is left out inside of the page, and between it and the one before.
func (w *Walk) links(messages []frame.Message) {
	if len(messages) == 0 {
		return
	}
	first, last := &messages[0], &messages[len(messages)-1]
	for i := range messages[1:] {
		w.link(messages[i].Seq, &messages[i+1])
	}
	if !w.backwards {
		w.link(w.edge, first)
		w.at, w.edge = last.Seq, last.Seq
		return
	}
	if w.begun && last.Seq != w.edge {
		w.ledger.violation(HistoryBadSequence, w.of.Number, "a page ends with sequence %d, and what follows it names %d as the one before it", last.Seq, w.edge)
	}
	w.at, w.edge = first.Seq, first.Prev
}

func (w *Walk) link(last uint64, m *frame.Message) {
	if m.Prev != last || m.Seq <= last {
		w.ledger.violation(HistoryBadSequence, w.of.Number, "sequence %d names %d as the one before it, and %d is", m.Seq, m.Prev, last)
	}
}

// message takes one, in the direction of the walk.
func (w *Walk) message(m *frame.Message) {
	if m.Conv != w.of.Conv {
		w.ledger.violation(HistoryMisplaced, w.of.Number, "sequence %d is of conversation %s", m.Seq, m.Conv)
		return
	}
	if m.Kind == frame.KindEvent {
		return
	}
	tag, ok := ParseBody(m.Body, w.of.Size)
	switch {
	case !ok || m.ID != tag.ID():
		w.ledger.violation(HistoryAltered, w.of.Number, "sequence %d, id %s, %d bytes: not a body that was sent", m.Seq, m.ID, len(m.Body))
	case tag.Run != w.of.Run || int(tag.Pair) != w.of.Number || tag.Direction != FromVisitor || string(m.Sender) != w.of.Sender:
		w.ledger.violation(HistoryMisplaced, w.of.Number, "sequence %d has message %d of conversation %d from %q", m.Seq, tag.Index, tag.Pair, m.Sender)
	case w.seen.has(tag.Index):
		w.ledger.violation(HistoryDuplicated, w.of.Number, "message %d again, with sequence %d", tag.Index, m.Seq)
	default:
		w.seen.add(min(tag.Index, maxWalked))
		w.next(tag.Index, m.Seq)
		w.any = true
	}
}

// maxWalked bounds what is remembered of a conversation; an index beyond it is out of order in any case.
const maxWalked = 1 << 24

// next compares the index of a message with the one that is to come. One that was left out may still come, out of order; end tells of those that never do.
func (w *Walk) next(index, seq uint64) {
	switch {
	case !w.backwards && index >= w.index:
		w.index = index + 1
	case w.backwards && (index < w.index || !w.any && w.of.Messages == 0):
		w.index, w.of.Messages = index, max(w.of.Messages, index+1)
	default:
		w.ledger.violation(HistoryReordered, w.of.Number, "message %d, sequence %d, after message %d", index, seq, w.index)
	}
}

// end judges what never came.
func (w *Walk) end() {
	if w.backwards && w.begun && w.edge != 0 {
		w.ledger.violation(HistoryBadSequence, w.of.Number, "the first message names %d as the one before it", w.edge)
	}
	all := w.of.Messages
	if !w.backwards {
		all = max(all, w.index)
	}
	for i := range all {
		if !w.seen.has(i) {
			w.ledger.violation(NotInHistory, w.of.Number, "message %d", i)
		}
	}
}
