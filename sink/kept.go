package sink

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// kept is what the disk knows of the outbox and of the retention when an engine is opened.
type kept struct {
	source  string
	last    place // the last entry of the outbox ever written
	shipped place
	frozen  Range // zero: none

	aged   age // the last aging entry ever written
	pruned age

	number  uint64 // after this one the commits are numbered
	notices keptNotices

	backfill []byte // where a backfill begins; nil: there is none to do
}

// lostAtMost is more than the commits that a loss of power can take back where nothing is synced. They may have been shipped. Their numbers are left out
// then, as the history keeps, of two messages with the same sequence, the one with the higher number. Config.numbers is higher too, unless the loss of power
// has set the clock back.
const lostAtMost = 1 << 20

// prepare reads what is kept, and gives a store without a name its name. It runs while the engine is opened, before anything is committed.
func prepare(db *pebble.DB, cfg Config) (k kept, err error) {
	if err := k.prepareBackfill(db, cfg); err != nil || cfg.notes() == 0 {
		return kept{}, err
	}
	if cfg.Outbox {
		if k.source, err = nameSource(db); err != nil {
			return kept{}, err
		}
	}
	if k.frozen, err = loadFrozen(db); err != nil {
		return kept{}, err
	}
	if err := errors.Join(k.loadPlaces(db), k.loadAges(db)); err != nil {
		return kept{}, err
	}
	if len(k.backfill) == 1 && cfg.notes()&notedAging != 0 {
		if err := k.forgetAges(db); err != nil {
			return kept{}, err
		}
	}
	err = k.setNumber(db, cfg)
	return k, err
}

// setNumber decides after which number commits are numbered.
func (k *kept) setNumber(db *pebble.DB, cfg Config) (err error) {
	k.number = max(k.last.number, k.aged.number, cfg.numbers())
	if cfg.Durability == DurabilityUnsafeNoFsync {
		k.number, err = skipNumbers(db, k.number)
	}
	return err
}

// skipNumbers leaves out the numbers that may have been given and lost, and makes sure, with a flush, that this is not lost.
func skipNumbers(db *pebble.DB, last uint64) (uint64, error) {
	b, ok, err := get(db, recordSkipped)
	if err != nil {
		return 0, err
	}
	if ok && len(b) != 8 {
		return 0, errDamaged
	}
	if ok {
		last = max(last, binary.BigEndian.Uint64(b))
	}
	last += lostAtMost
	return last, errors.Join(db.Set(recordSkipped, binary.BigEndian.AppendUint64(nil, last), pebble.Sync), db.Flush())
}

// loadAges finds the last aging entry.
func (k *kept) loadAges(db *pebble.DB) error {
	b, ok, err := get(db, recordPruned)
	if err != nil {
		return err
	}
	if ok {
		if k.pruned, err = parseAge(b); err != nil {
			return err
		}
	}
	k.aged = k.pruned
	from := appendEntryKey(nil, keyAging, k.pruned.number+1)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: []byte{keyAging + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	if !it.Last() {
		return it.Error()
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return err
	}
	last, err := parseAging(it.Key(), value)
	k.aged = last.upto
	return err
}

// nameSource returns the name of the store, which it makes up if there is none.
func nameSource(db *pebble.DB) (string, error) {
	name, ok, err := get(db, recordSource)
	if ok || err != nil {
		return string(name), err
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	made := hex.EncodeToString(random[:])
	return made, db.Set(recordSource, []byte(made), pebble.Sync)
}

func loadFrozen(db *pebble.DB) (Range, error) {
	b, ok, err := get(db, recordFrozen)
	if !ok || err != nil {
		return Range{}, err
	}
	if len(b) != 16 {
		return Range{}, errDamaged
	}
	return Range{First: binary.BigEndian.Uint64(b), Last: binary.BigEndian.Uint64(b[8:])}, nil
}

func (r Range) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, r.First)
	return binary.BigEndian.AppendUint64(dst, r.Last)
}

// loadPlaces finds where the outbox begins and ends. Its entries tell; when all are shipped, the record of what is shipped does.
func (k *kept) loadPlaces(db *pebble.DB) error {
	b, ok, err := get(db, recordShipped)
	if err != nil {
		return err
	}
	if ok {
		if k.shipped, err = parsePlace(b); err != nil {
			return err
		}
	}
	k.last = k.shipped
	from := appendEntryKey(nil, keyOutbox, k.shipped.number+1) // deleted ranges need not be looked through
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: []byte{keyOutbox + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	if !it.First() {
		return it.Error()
	}
	first, body, err := currentEntry(it)
	if err != nil {
		return err
	}
	k.shipped = first.before(len(body))
	it.Last()
	last, _, err := currentEntry(it)
	k.last = last.upto
	return err
}

// currentEntry reads the entry at which the iterator stands; body expires with its next move.
func currentEntry(it *pebble.Iterator) (entry, []byte, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return entry{}, nil, err
	}
	return parseEntry(it.Key(), value)
}
