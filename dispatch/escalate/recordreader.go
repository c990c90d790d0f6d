package escalate

import "github.com/switchyard-im/switchyard/dispatch/packed"

// Numbers of fields.
const (
	recordFields = 8
	entryFields  = 3
	firedFields  = 2
	queuedFields = 3
)

// readRecord decodes a record, whose bytes are anybody's.
func readRecord(b []byte) (record, error) {
	r := packed.NewReader()
	r.Reset(b)
	r.Array("fields", recordFields, recordFields)
	rec := record{Version: int(r.Int()), Policy: r.Text(""), Closed: r.Bool(), Acked: r.Uint(), Last: r.Uint()}
	for range r.Array("entries", 0, maxEntries) {
		r.Array("fields of an entry", entryFields, entryFields)
		rec.Entries = append(rec.Entries, recordEntry{First: r.Uint(), Last: r.Uint(), SentMS: r.Int()})
	}
	for range r.Array("steps", 0, maxSteps) {
		r.Array("fields of a step", firedFields, firedFields)
		rec.Fired = append(rec.Fired, recordFired{Step: r.Text(""), Last: r.Uint()})
	}
	for range r.Array("notifications", 0, maxQueued) {
		r.Array("fields of a notification", queuedFields, queuedFields)
		rec.Queued = append(rec.Queued, recordQueued{Step: r.Text(""), First: r.Uint(), Last: r.Uint()})
	}
	return rec, r.Err()
}
