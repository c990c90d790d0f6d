package sink

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/switchyard-im/switchyard/frame"
)

// scanRecords is how many records are read before the engine is let go of for a moment: it cannot be closed while it is read.
const scanRecords = 256

// ScanMessages calls fn with the message frames of each record, conversation by conversation and in ascending order within one. The frames expire when
// fn returns. It ends with the end of ctx or an error of fn, which is returned. What is written meanwhile may be seen or not; the scan
// reads the whole store, so few should run at a time.
func (s *Store) ScanMessages(ctx context.Context, fn func(conv frame.ID, frames []byte) error) error {
	next := []byte{keyMessages}
	for next != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.read(func(db *pebble.DB) (err error) {
			next, err = scanSome(db, next, fn)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scanSome reads up to scanRecords records from a key on, and returns where to go on; nil at the end.
func scanSome(db *pebble.DB, from []byte, fn func(conv frame.ID, frames []byte) error) (next []byte, err error) {
	err = scan(db, []byte{keyMessages}, func(it *pebble.Iterator) error {
		ok := it.SeekGE(from)
		for n := 0; ok && n < scanRecords; n++ {
			r, err := currentRecord(it)
			if err != nil {
				return err
			}
			if err := fn(frame.ID(it.Key()[1:convKeyLen]), r.frames); err != nil {
				return err
			}
			ok = it.Next()
		}
		if ok {
			next = append([]byte(nil), it.Key()...)
		}
		return nil
	})
	return next, err
}
