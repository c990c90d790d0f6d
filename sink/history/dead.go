package history

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/deadletter"
)

// deadLetter is one line of the file of dead letters: a row that ClickHouse does not want, or bytes that are no row. Whoever mends
// a row may edit its line; replaying takes what stands there.
type deadLetter struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error"`
	Table string    `json:"table,omitempty"`

	Conv    string `json:"conv,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Prev    uint64 `json:"prev,omitempty"`
	TimeMS  uint64 `json:"time_ms,omitempty"`
	Sender  string `json:"sender,omitempty"`
	ID      string `json:"id,omitempty"`
	Kind    uint8  `json:"kind,omitempty"`
	Text    string `json:"text,omitempty"` // of the body, for whoever reads the file
	Body    []byte `json:"body,omitempty"` // msgpack; base64 in JSON
	Version uint64 `json:"version,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`

	Frames []byte `json:"frames,omitempty"` // instead of all from Conv on, but Version: bytes of which no row could be made
}

func deadRow(table string, r *Row, err error) deadLetter {
	d := deadLetter{
		Time: time.Now().UTC(), Error: err.Error(), Table: table,
		Conv: r.Conv.String(), Seq: r.Seq, Prev: r.Prev, TimeMS: r.TimeMS, Sender: string(r.Sender),
		Kind: uint8(r.Kind), Body: bytes.Clone(r.Body), Version: r.Version, Deleted: r.Deleted,
	}
	if !r.ID.IsZero() {
		d.ID = r.ID.String()
	}
	if text, ok := frame.Text(r.Body); ok {
		d.Text = string(text)
	}
	return d
}

func deadFrame(frames []byte, version uint64, err error) deadLetter {
	return deadLetter{Time: time.Now().UTC(), Error: err.Error(), Frames: bytes.Clone(frames), Version: version}
}

// row is the inverse of deadRow.
func (d *deadLetter) row() (r Row, err error) {
	if d.Frames != nil {
		return Row{}, errors.New("history: these bytes are not a message")
	}
	r = Row{
		Seq: d.Seq, Prev: d.Prev, TimeMS: d.TimeMS, Sender: []byte(d.Sender),
		Kind: frame.Kind(d.Kind), Body: d.Body, Version: d.Version, Deleted: d.Deleted,
	}
	if r.Conv, err = frame.ParseID(d.Conv); err != nil {
		return Row{}, fmt.Errorf("history: conv: %w", err)
	}
	if d.ID != "" {
		if r.ID, err = frame.ParseID(d.ID); err != nil {
			return Row{}, fmt.Errorf("history: id: %w", err)
		}
	}
	return r, r.check()
}

// deadFile is the file of dead letters.
type deadFile = deadletter.File[deadLetter]
