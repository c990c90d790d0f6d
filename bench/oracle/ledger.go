package oracle

import "fmt"

// Kind is a way to break a promise.
type Kind uint8

// The kinds of violations.
const (
	Lost         Kind = iota // accepted, never delivered
	Duplicated               // delivered twice
	Reordered                // delivered before one that was sent and sequenced earlier, or with a falling sequence
	Altered                  // the body is not the one that was sent
	Misdelivered             // delivered to another conversation, or back to where it came from
	BadSequence              // two answers name different sequences, or the chain of prev has a hole
	BadAck                   // acknowledged twice, or something never sent
	Unanswered               // neither acknowledged nor refused by the end
	Unrecovered              // a resume did not replay what the client missed

	// Of a desk.
	Misassigned  // two agents have a conversation, or somebody who was never given it
	OverCapacity // an agent has more conversations than it said it takes
	Unserved     // a conversation that did not come to its end

	// Of what is read back after a run.
	NotInHistory       // accepted, and not there
	HistoryDuplicated  // there twice
	HistoryReordered   // not in the order of the sequence, or of its sender
	HistoryAltered     // the body is not the one that was sent
	HistoryMisplaced   // of another conversation or sender
	HistoryBadSequence // another sequence than its ack's, or a hole before it
	HistoryUnread      // it could not be read to its end
	kinds
)

var kindNames = [kinds]string{
	"lost", "duplicated", "reordered", "altered", "misdelivered", "bad sequence", "bad ack", "unanswered", "unrecovered",
	"misassigned", "over capacity", "unserved",
	"not in history", "duplicated in history", "reordered in history", "altered in history", "misplaced in history", "bad sequence in history", "history unread",
}

// String is the name in reports.
func (k Kind) String() string { return kindNames[k] }

// Direction says who sent a message.
type Direction uint8

// The directions of a pair.
const (
	FromVisitor Direction = 0
	FromAgent   Direction = 1
)

// Other is the opposite direction.
func (d Direction) Other() Direction { return d ^ 1 }

// String names the sender.
func (d Direction) String() string {
	if d == FromVisitor {
		return "visitor"
	}
	return "agent"
}

// Violation is one case.
type Violation struct {
	Kind   Kind
	Pair   int
	Detail string
}

// String is one line of a report.
func (v Violation) String() string { return fmt.Sprintf("%s: pair %d: %s", v.Kind, v.Pair, v.Detail) }

// casesOfAKind are kept with details; the rest is only counted.
const casesOfAKind = 10

// Ledger counts what happened to the messages of some pairs. Owned by one goroutine.
type Ledger struct {
	Sent      int64 // different messages handed to a connection, or about to be
	Accepted  int64 // acknowledged
	Delivered int64 // arrived at the other side for the first time
	Settled   int64 // accepted and delivered

	Violations [kinds]int64
	Cases      []Violation // the first ones
}

// Total is the number of violations of all kinds.
func (l *Ledger) Total() int64 {
	var n int64
	for _, v := range l.Violations {
		n += v
	}
	return n
}

// Count is the number of violations of one kind.
func (l *Ledger) Count(k Kind) int64 { return l.Violations[k] }

// Merge adds another ledger.
func (l *Ledger) Merge(o *Ledger) {
	l.Sent += o.Sent
	l.Accepted += o.Accepted
	l.Delivered += o.Delivered
	l.Settled += o.Settled
	for k, n := range o.Violations {
		l.Violations[k] += n
	}
	for _, c := range o.Cases {
		l.keep(c)
	}
}

func (l *Ledger) violation(k Kind, pair int, format string, args ...any) {
	if l.Violations[k]++; l.Violations[k] <= casesOfAKind {
		l.Cases = append(l.Cases, Violation{Kind: k, Pair: pair, Detail: fmt.Sprintf(format, args...)})
	}
}

// keep adds a case of another ledger.
func (l *Ledger) keep(v Violation) {
	n := 0
	for _, c := range l.Cases {
		if c.Kind == v.Kind {
			n++
		}
	}
	if n < casesOfAKind {
		l.Cases = append(l.Cases, v)
	}
}
