package sink

import (
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// entryWriter numbers the commits that have messages, and adds their entries to the batch. Nil if there is nothing to add. Owned by the
// committer of one engine: what it numbered and the disk does not have is forgotten with the engine, and the numbers are given again.
type entryWriter struct {
	outbox    *Outbox    // nil if it is off
	retention *retention // nil if everything is kept
	last      place
	aged      uint64 // bytes of messages that were ever noted for the retention
	gap       *Gap   // that is open, as the last entry
}

func newEntryWriter(s *Store, k kept) *entryWriter {
	if s.outbox == nil && s.retention == nil {
		return nil
	}
	last := place{number: k.number, rows: k.last.rows, bytes: k.last.bytes}
	return &entryWriter{outbox: s.outbox, retention: s.retention, last: last, aged: k.aged.bytes}
}

// size is how many bytes write will add to the batch, about.
func (w *entryWriter) size(g *group) int {
	if w == nil || w.outbox == nil {
		return 0
	}
	return g.frames
}

// write adds the entries of a batch that is otherwise complete, if it has messages.
func (w *entryWriter) write(g *group, now time.Time) {
	if w == nil || g.messages == 0 {
		return
	}
	w.last.number++
	changes, nowMS := batchrepr.Reader(g.buf[batchHeader:]), uint64(now.UnixMilli())
	if w.retention != nil {
		w.writeAging(g, changes, nowMS)
	}
	switch {
	case w.outbox == nil:
	case w.dropping():
		w.writeGap(g, nowMS)
	default:
		w.writeEntry(g, changes, nowMS)
	}
}

// writeEntry adds what the outbox gets: one key for all messages, as keys are what costs CPU in the engine. The frames are taken from the batch
// itself, so a transaction holds them once.
func (w *entryWriter) writeEntry(g *group, changes batchrepr.Reader, nowMS uint64) {
	w.gap = nil
	w.last.rows += uint64(g.messages)
	w.last.bytes += uint64(g.frames)
	g.entry = entry{kind: entryMessages, timeMS: nowMS, rows: uint32(g.messages), upto: w.last}

	g.buf = append(g.buf, opSet, entryKeyLen)
	g.buf = appendEntryKey(g.buf, keyOutbox, w.last.number)
	g.buf = binary.AppendUvarint(g.buf, uint64(entryHeadLen+g.frames))
	g.buf = g.entry.appendHead(g.buf)
	eachMessages(changes, func(_, value []byte) {
		_, n := binary.Uvarint(value)
		g.buf = append(g.buf, value[n:]...)
	})
	g.ops++
}

// eachMessages calls fn for each messages record among the changes of a batch.
func eachMessages(changes batchrepr.Reader, fn func(key, value []byte)) {
	for {
		kind, key, value, ok, err := changes.Next()
		if err != nil {
			panic("BUG: sink: " + err.Error())
		}
		if !ok {
			return
		}
		if kind == opSet && key[0] == keyMessages {
			fn(key, value)
		}
	}
}
