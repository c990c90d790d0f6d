package sink

import "encoding/binary"

// Gap stands in the outbox for messages that were given up, because it was full and OutboxDrop was chosen.
type Gap struct {
	Rows         uint64 // how many
	FromMS, ToMS uint64 // when the first and the last of them were committed, Unix milliseconds
}

const gapLen = 8 + 8 + 8

func (g Gap) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, g.Rows)
	dst = binary.BigEndian.AppendUint64(dst, g.FromMS)
	return binary.BigEndian.AppendUint64(dst, g.ToMS)
}

func parseGap(b []byte) (*Gap, error) {
	if len(b) != gapLen {
		return nil, errDamaged
	}
	return &Gap{Rows: binary.BigEndian.Uint64(b), FromMS: binary.BigEndian.Uint64(b[8:]), ToMS: binary.BigEndian.Uint64(b[16:])}, nil
}

// dropping tells whether the messages of the next batch are given up: from when the outbox is full until it has room again.
func (w *entryWriter) dropping() bool {
	if w.outbox.store.cfg.OutboxFull != OutboxDrop {
		return false
	}
	waiting := w.last.bytes - w.outbox.shippedUpTo().bytes
	return w.outbox.cap.full(waiting, w.gap != nil)
}

// writeGap adds the messages of a batch to the gap that is open, or opens one. Each batch puts the gap's entry under its own number and deletes
// the one before; nobody reads it before the gap has ended, with the next batch whose messages are kept or with a restart.
func (w *entryWriter) writeGap(g *group, nowMS uint64) {
	if w.gap == nil {
		w.gap = &Gap{FromMS: nowMS}
	} else {
		g.buf = append(g.buf, opDelete, entryKeyLen)
		g.buf = appendEntryKey(g.buf, keyOutbox, w.last.number-1)
		g.ops++
	}
	w.gap.Rows += uint64(g.messages)
	w.gap.ToMS = nowMS
	g.entry = entry{kind: entryGap, timeMS: w.gap.FromMS, upto: w.last}

	g.buf = append(g.buf, opSet, entryKeyLen)
	g.buf = appendEntryKey(g.buf, keyOutbox, w.last.number)
	g.buf = binary.AppendUvarint(g.buf, entryHeadLen+gapLen)
	g.buf = g.entry.appendHead(g.buf)
	g.buf = w.gap.append(g.buf)
	g.ops++
}
