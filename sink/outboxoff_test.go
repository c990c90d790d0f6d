package sink

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// TestOutboxOff checks that without an outbox nothing is written for it.
func TestOutboxOff(t *testing.T) {
	s := openTest(t, nil)
	if s.Outbox() != nil {
		t.Error("there is an outbox")
	}
	tx := s.Begin(s.Generation())
	tx.Messages([16]byte{1}, 1, 1, make([]byte, 100))
	tx.Conversation([16]byte{1}, []byte("x"), true)
	tx.Member("u", [16]byte{1}, true)
	w := make(waiter, 1)
	tx.Commit(w)
	if err := <-w; err != nil {
		t.Fatal(err)
	}
	if kinds := keyKinds(t, s); kinds != "mosu" {
		t.Errorf("there are keys of the kinds %q", kinds)
	}
}

// keyKinds returns the kinds of all keys, in order.
func keyKinds(t *testing.T, s *Store) (kinds string) {
	t.Helper()
	err := s.read(func(db *pebble.DB) error {
		it, err := db.NewIter(nil)
		if err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			if kind := string(it.Key()[:1]); len(kinds) == 0 || kinds[len(kinds)-1:] != kind {
				kinds += kind
			}
		}
		return it.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}
