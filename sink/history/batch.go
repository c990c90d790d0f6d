package history

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// batch is what is inserted together: the rows of a range of the outbox. The builder owns it while it fills it, then the shipper until the
// batch is shipped; there are two, so that one is filled while the other is inserted. Rows borrow from frames, so both end together.
type batch struct {
	source string
	span   Range
	frozen bool // the range was frozen before this process started

	frames   []byte // the Message frames of all entries
	entries  []entryEnd
	gaps     []gapRow
	oldestMS uint64 // when the first entry was committed

	rows   []Row // merged, in the order of the outbox
	events []Row // those of them that are events
	// The columns hold rows and events, ready to be sent: they are filled while the batch before is inserted.
	messageColumns messageColumns
	eventColumns   eventColumns
	dead           []deadLetter
	token          string
	merge          map[rowKey]int32 // where in rows a message stands
}

// entryEnd says which bytes of frames are an entry's: those up to end that are not of the entry before.
type entryEnd struct {
	number uint64
	end    int
}

type rowKey struct {
	conv frame.ID
	seq  uint64
}

type gapRow struct {
	number uint64
	gap    sink.Gap
}

// reset makes the batch empty. Memory that one large batch needed and this one did not is let go.
func (b *batch) reset(source string) {
	*b = batch{
		source: source, frames: emptied(b.frames), entries: emptied(b.entries), gaps: emptied(b.gaps),
		rows: emptied(b.rows), events: emptied(b.events), merge: b.merge,
		messageColumns: b.messageColumns, eventColumns: b.eventColumns,
	}
	if b.merge == nil || cap(b.rows) == 0 {
		b.merge = make(map[rowKey]int32)
	}
	clear(b.merge)
}

// emptied returns a slice without elements, and without its memory if little of much was used.
func emptied[T any](s []T) []T {
	if cap(s) > 4096 && len(s) < cap(s)/8 {
		return nil
	}
	return s[:0]
}

func (b *batch) empty() bool { return len(b.entries) == 0 && len(b.gaps) == 0 }

// full tells whether an entry of so many bytes and rows would be too much.
func (b *batch) full(cfg *Config, rows, bytes, moreRows, moreBytes int) bool {
	return !b.empty() && (rows+moreRows > cfg.BatchRows || bytes+moreBytes > cfg.BatchBytes)
}

// add copies an entry.
func (b *batch) add(e Entry) {
	if b.empty() {
		b.span.First = e.Number
		b.oldestMS = e.TimeMS
	}
	b.span.Last = e.Number
	if e.Gap != nil {
		b.gaps = append(b.gaps, gapRow{e.Number, *e.Gap})
		return
	}
	b.frames = append(b.frames, e.Frames...)
	b.entries = append(b.entries, entryEnd{e.Number, len(b.frames)})
}

// age is how long ago the oldest entry was committed: for ever if its time is yet to come, because then the clock was set back, and the entry would
// wait until it has caught up.
func (b *batch) age(now time.Time) time.Duration {
	ms := now.UnixMilli() - int64(b.oldestMS)
	if ms < 0 {
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}

// finish makes rows of the frames and gives them their token.
func (b *batch) finish() {
	start := 0
	for _, e := range b.entries {
		b.parse(b.frames[start:e.end], e.number)
		start = e.end
		runtime.Gosched() // a batch takes milliseconds, and messages do not wait for the history
	}
	for i := range b.rows {
		if isEvent(&b.rows[i]) {
			b.events = append(b.events, b.rows[i])
		}
	}
	b.messageColumns.fill(b.rows)
	b.eventColumns.fill(b.events)
	b.token = b.makeToken()
}

// makeToken names the contents: the same for the same rows of the same range, and another one if a row differs, because ClickHouse
// drops what comes under a token that it knows without looking at it.
func (b *batch) makeToken() string {
	return fmt.Sprintf("%s-%d-%d-%d-%016x", b.source, b.span.First, b.span.Last, len(b.rows), xxhash.Sum64(b.frames))
}

// parse adds the rows of an entry. A row that cannot be kept goes to the dead letters at once.
func (b *batch) parse(frames []byte, version uint64) {
	for len(frames) > 0 {
		var m frame.Message
		_, f, rest, err := frame.Next(frames)
		if err != nil {
			b.dead = append(b.dead, deadFrame(frames, version, err)) // where the next one begins is not known
			return
		}
		frames = rest
		if err := m.Parse(f); err != nil {
			b.dead = append(b.dead, deadFrame(f, version, err))
			continue
		}
		b.put(&m, version)
	}
}

// put adds a row, or replaces the one of the same message: entries come in the order of their numbers, so the last one counts.
func (b *batch) put(m *frame.Message, version uint64) {
	var r Row
	r.setFrame(m, version)
	if err := r.check(); err != nil {
		b.dead = append(b.dead, deadRow(tableMessages, &r, err))
		return
	}
	key := rowKey{r.Conv, r.Seq}
	if at, known := b.merge[key]; known {
		b.rows[at] = r
		return
	}
	b.merge[key] = int32(len(b.rows))
	b.rows = append(b.rows, r)
}

// gapToken names the gaps; one that has grown is another.
func (b *batch) gapToken() string {
	var lost uint64
	for _, g := range b.gaps {
		lost += g.gap.Rows
	}
	return fmt.Sprintf("%s-%d-%d-gaps-%d", b.source, b.span.First, b.span.Last, lost)
}

// halfToken is the token of a half of a batch that was cut in two; as deterministic as the whole's.
func halfToken(token string, half int) string { return token + "/" + strconv.Itoa(half) }
