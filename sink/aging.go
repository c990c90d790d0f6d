package sink

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// age is a point in the order in which messages were stored: the number of a commit, and the bytes of all messages up to it since the store was
// made. So how much is kept is the difference of two.
type age struct{ number, bytes uint64 }

// An aging entry tells the pruner which records a commit wrote, and when:
//
//	'y' number(8)   version(1) time(8) bytes(8), then conv(16) last(8) of each record
//
// Time is in Unix milliseconds; bytes are those of age.
const (
	agingVersion = 1
	agingHeadLen = 1 + 8 + 8
	agingItemLen = messagesKeyLen - 1
)

// agingEntry is one entry; items borrows.
type agingEntry struct {
	timeMS uint64
	upto   age
	items  []byte
}

func parseAging(key, value []byte) (agingEntry, error) {
	if len(key) != entryKeyLen || len(value) < agingHeadLen || value[0] != agingVersion || (len(value)-agingHeadLen)%agingItemLen != 0 {
		return agingEntry{}, errDamaged
	}
	return agingEntry{
		timeMS: binary.BigEndian.Uint64(value[1:]),
		upto:   age{number: binary.BigEndian.Uint64(key[1:]), bytes: binary.BigEndian.Uint64(value[9:])},
		items:  value[agingHeadLen:],
	}, nil
}

// writeAging adds the aging entry of a batch.
func (w *entryWriter) writeAging(g *group, changes batchrepr.Reader, nowMS uint64) {
	records := 0
	eachMessages(changes, func(_, _ []byte) { records++ })
	w.aged += uint64(g.frames)
	g.aged = age{number: w.last.number, bytes: w.aged}

	g.buf = append(g.buf, opSet, entryKeyLen)
	g.buf = appendEntryKey(g.buf, keyAging, w.last.number)
	g.buf = binary.AppendUvarint(g.buf, uint64(agingHeadLen+records*agingItemLen))
	g.buf = append(g.buf, agingVersion)
	g.buf = binary.BigEndian.AppendUint64(g.buf, nowMS)
	g.buf = binary.BigEndian.AppendUint64(g.buf, w.aged)
	eachMessages(changes, func(key, _ []byte) { g.buf = append(g.buf, key[1:]...) })
	g.ops++
}

func appendAge(dst []byte, a age) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, a.number), a.bytes)
}

func parseAge(b []byte) (age, error) {
	if len(b) != 16 {
		return age{}, errDamaged
	}
	return age{number: binary.BigEndian.Uint64(b), bytes: binary.BigEndian.Uint64(b[8:])}, nil
}
