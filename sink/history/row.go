package history

import (
	"fmt"

	"github.com/switchyard-im/switchyard/frame"
)

// Row is one message as the history keeps it. Of the rows with one conversation and sequence the one with the highest version counts.
// Sender and Body borrow from whatever the row was read from.
type Row struct {
	Conv    frame.ID
	Seq     uint64
	Prev    uint64
	TimeMS  uint64 // when it was accepted; an edited row keeps it
	Sender  []byte // empty: the server
	ID      frame.ID
	Kind    frame.Kind
	Body    []byte // one msgpack value
	Version uint64 // the number of its entry in the outbox
	Deleted bool   // nothing is left of the message
}

// Times outside of these cannot be kept: DateTime64 and the expression of the TTL garble them silently, or the TTL drops the row
// at once.
const (
	minTimeMS = 946_684_800_000   // 2000-01-01
	maxTimeMS = 4_102_444_800_000 // 2100-01-01
)

// check tells whether ClickHouse can keep the row. What the protocol guarantees is not checked again.
func (r *Row) check() error {
	if r.TimeMS < minTimeMS || r.TimeMS >= maxTimeMS {
		return fmt.Errorf("history: time_ms %d is not between the years 2000 and 2100: was the server's clock wrong?", r.TimeMS)
	}
	return nil
}

// setFrame makes the row of a message; it borrows from it.
func (r *Row) setFrame(m *frame.Message, version uint64) {
	*r = Row{
		Conv: m.Conv, Seq: m.Seq, Prev: m.Prev, TimeMS: m.TimeMS, Sender: m.Sender,
		ID: m.ID, Kind: m.Kind, Body: m.Body, Version: version,
	}
}

// Message returns the row as the frame that it came from; it borrows from the row. Encoded, it has the bytes of the original.
func (r *Row) Message() frame.Message {
	return frame.Message{Conv: r.Conv, Seq: r.Seq, Prev: r.Prev, TimeMS: r.TimeMS, Sender: r.Sender, ID: r.ID, Kind: r.Kind, Body: r.Body}
}

// isEvent tells whether a row is in the table of events, too.
func isEvent(r *Row) bool { return r.Kind == frame.KindEvent }
