package sink

import (
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// entryWriter numbers the commits that have messages, and adds their entries to the batch. Nil if there is nothing to add. Owned by the
// committer of one engine: what it numbered and the disk does not have is forgotten with the engine, and the numbers are given again.
type entryWriter struct {
	outbox *Outbox
	last   place
	gap    *Gap // that is open, as the last entry
}

func newEntryWriter(o *Outbox, k kept) *entryWriter {
	if o == nil {
		return nil
	}
	return &entryWriter{outbox: o, last: k.last}
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
	if w.dropping() {
		w.writeGap(g, uint64(now.UnixMilli()))
		return
	}
	w.gap = nil
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
