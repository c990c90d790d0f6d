package sink

import (
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// place is a point in the numbering of the commits, and what the outbox was given up to there, all that is shipped included. So a
// backlog is the difference of two places, and nothing has to be counted when the store is opened.
type place struct{ number, rows, bytes uint64 }

// The kinds of an entry.
const (
	entryMessages = 1
)

const (
	entryVersion = 1
	entryHeadLen = 1 + 1 + 8 + 4 + 8 + 8
)

// entry is one entry of the outbox without its frames. The zero entry stands for none.
//
//	'x' number(8)   version(1) kind(1) time(8) rows(4) rows(8) bytes(8), then the Message frames in a row
//
// Time is when it was committed, in Unix milliseconds. The second rows and the bytes count all entries up to this one.
type entry struct {
	kind   byte
	timeMS uint64
	rows   uint32
	upto   place
}

func (e entry) appendHead(dst []byte) []byte {
	dst = append(dst, entryVersion, e.kind)
	dst = binary.BigEndian.AppendUint64(dst, e.timeMS)
	dst = binary.BigEndian.AppendUint32(dst, e.rows)
	dst = binary.BigEndian.AppendUint64(dst, e.upto.rows)
	return binary.BigEndian.AppendUint64(dst, e.upto.bytes)
}

// parseEntry reads an entry; body borrows from value.
func parseEntry(key, value []byte) (e entry, body []byte, err error) {
	if len(key) != entryKeyLen || len(value) < entryHeadLen || value[0] != entryVersion {
		return entry{}, nil, errDamaged
	}
	e = entry{kind: value[1], timeMS: binary.BigEndian.Uint64(value[2:]), rows: binary.BigEndian.Uint32(value[10:])}
	e.upto = place{
		number: binary.BigEndian.Uint64(key[1:]),
		rows:   binary.BigEndian.Uint64(value[14:]),
		bytes:  binary.BigEndian.Uint64(value[22:]),
	}
	if e.kind != entryMessages {
		return entry{}, nil, errDamaged
	}
	return e, value[entryHeadLen:], nil
}

// before returns the place before an entry with a body of size bytes.
func (e entry) before(size int) place {
	return place{number: e.upto.number - 1, rows: e.upto.rows - uint64(e.rows), bytes: e.upto.bytes - uint64(size)}
}

// appendPlace and parsePlace are the form of a place in a record of its own.
func appendPlace(dst []byte, p place) []byte {
	dst = binary.BigEndian.AppendUint64(dst, p.number)
	dst = binary.BigEndian.AppendUint64(dst, p.rows)
	return binary.BigEndian.AppendUint64(dst, p.bytes)
}

func parsePlace(b []byte) (place, error) {
	if len(b) != 24 {
		return place{}, errDamaged
	}
	return place{number: binary.BigEndian.Uint64(b), rows: binary.BigEndian.Uint64(b[8:]), bytes: binary.BigEndian.Uint64(b[16:])}, nil
}

// entryWriter numbers the commits that have messages, and adds their entries to the batch. Nil if there is nothing to add. Owned by the
// committer of one engine: what it numbered and the disk does not have is forgotten with the engine, and the numbers are given again.
type entryWriter struct {
	last place
}

func newEntryWriter(cfg Config, k kept) *entryWriter {
	if !cfg.Outbox {
		return nil
	}
	return &entryWriter{last: k.last}
}

// size is how many bytes write will add to the batch, about.
func (w *entryWriter) size(g *group) int {
	if w == nil {
		return 0
	}
	return g.frames
}

// write adds what the outbox gets of a batch that is otherwise complete: one key for all its messages, as keys are what costs CPU in the
// engine. The frames are taken from the batch itself, so a transaction holds them once.
func (w *entryWriter) write(g *group, now time.Time) {
	if w == nil || g.messages == 0 {
		return
	}
	w.last.number++
	w.last.rows += uint64(g.messages)
	w.last.bytes += uint64(g.frames)
	g.entry = entry{kind: entryMessages, timeMS: uint64(now.UnixMilli()), rows: uint32(g.messages), upto: w.last}

	changes := batchrepr.Reader(g.buf[batchHeader:])
	g.buf = append(g.buf, opSet, entryKeyLen)
	g.buf = appendEntryKey(g.buf, keyOutbox, w.last.number)
	g.buf = binary.AppendUvarint(g.buf, uint64(entryHeadLen+g.frames))
	g.buf = g.entry.appendHead(g.buf)
	g.buf = appendFrames(g.buf, changes)
	g.ops++
}

// appendFrames appends the frames of all messages records among the changes of a batch.
func appendFrames(dst []byte, changes batchrepr.Reader) []byte {
	for {
		kind, key, value, ok, err := changes.Next()
		if err != nil {
			panic("BUG: sink: " + err.Error())
		}
		if !ok {
			return dst
		}
		if kind == opSet && key[0] == keyMessages {
			_, n := binary.Uvarint(value)
			dst = append(dst, value[n:]...)
		}
	}
}
