package escalate

import (
	"bytes"
	"fmt"
	"io"

	"github.com/vmihailenco/msgpack/v5"
)

// recordReader decodes a record. Its bytes are anybody's: every length is checked before something is allocated for it, which package msgpack does
// not do for a list.
type recordReader struct {
	d    *msgpack.Decoder
	data *bytes.Reader
	err  error // the first one; nothing that was read after it counts
}

// Numbers of fields.
const (
	recordFields = 8
	entryFields  = 3
	firedFields  = 2
	queuedFields = 3
)

func readRecord(b []byte) (record, error) {
	data := bytes.NewReader(b)
	r := recordReader{d: msgpack.NewDecoder(data), data: data}
	r.array("fields", recordFields, recordFields)
	rec := record{Version: int(r.int()), Policy: r.text(), Closed: r.bool(), Acked: r.uint(), Last: r.uint()}
	for range r.array("entries", 0, maxEntries) {
		r.array("fields of an entry", entryFields, entryFields)
		rec.Entries = append(rec.Entries, recordEntry{First: r.uint(), Last: r.uint(), SentMS: r.int()})
	}
	for range r.array("steps", 0, maxSteps) {
		r.array("fields of a step", firedFields, firedFields)
		rec.Fired = append(rec.Fired, recordFired{Step: r.text(), Last: r.uint()})
	}
	for range r.array("notifications", 0, maxQueued) {
		r.array("fields of a notification", queuedFields, queuedFields)
		rec.Queued = append(rec.Queued, recordQueued{Step: r.text(), First: r.uint(), Last: r.uint()})
	}
	return rec, r.err
}

// fail keeps the first error.
func (r *recordReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// array reads the head of an array, 0 if its length is not from least to most; what is nil is empty.
func (r *recordReader) array(what string, least, most int) int {
	if r.err != nil {
		return 0
	}
	n, err := r.d.DecodeArrayLen()
	n = max(n, 0)
	if err == nil && (n < least || n > most) {
		err = fmt.Errorf("%d %s, there are %d to %d", n, what, least, most)
	}
	if err != nil {
		r.fail(err)
		return 0
	}
	return n
}

func (r *recordReader) int() int64 {
	n, err := r.d.DecodeInt64()
	if err != nil {
		r.fail(err)
	}
	return n
}

func (r *recordReader) uint() uint64 {
	n, err := r.d.DecodeUint64()
	if err != nil {
		r.fail(err)
	}
	return n
}

func (r *recordReader) bool() bool {
	b, err := r.d.DecodeBool()
	if err != nil {
		r.fail(err)
	}
	return b
}

func (r *recordReader) text() string {
	n, err := r.d.DecodeBytesLen()
	if err == nil && n > r.data.Len() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		r.fail(err)
		return ""
	}
	b := make([]byte, max(n, 0))
	if err := r.d.ReadFull(b); err != nil {
		r.fail(err)
	}
	return string(b)
}
