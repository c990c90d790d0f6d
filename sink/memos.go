package sink

import "github.com/cockroachdb/pebble/v2"

// Memos calls fn with the memos whose keys begin with prefix, in the order of the keys; the value expires when fn returns. An error of fn ends it and is
// returned. What is written meanwhile is not seen.
func (s *Store) Memos(prefix string, fn func(key string, value []byte) error) error {
	return s.read(func(db *pebble.DB) error {
		return scan(db, append([]byte{keyMemo}, prefix...), func(it *pebble.Iterator) error {
			for ok := it.First(); ok; ok = it.Next() {
				value, err := it.ValueAndErr()
				if err == nil {
					err = fn(string(it.Key()[1:]), value)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}
