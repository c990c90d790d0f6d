package sink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/switchyard-im/switchyard/frame"
)

// Recovery is what opening the store replayed from the journal; what had reached the tables before is not counted.
type Recovery struct {
	Duration      time.Duration
	Logs          int   // files of the journal
	LogBytes      int64 // bytes of them that were replayed
	Batches       int   // commits
	Messages      int
	Conversations int   // with new messages or state
	TornBytes     int64 // bytes of an incomplete record at the end, cut off; none of it was acknowledged
}

// report tells the operator.
func (r Recovery) report(log *slog.Logger) {
	log.Info("sink: the store is open", "took", r.Duration.Round(time.Microsecond), "replayed_messages", r.Messages,
		"replayed_conversations", r.Conversations, "replayed_batches", r.Batches, "replayed_bytes", r.LogBytes, "logs", r.Logs)
	if r.TornBytes > 0 {
		log.Warn("sink: cut off an incomplete record at the end of the journal; none of it was acknowledged", "bytes", r.TornBytes)
	}
}

// Recovery returns what the last opening replayed.
func (s *Store) Recovery() Recovery { return *s.recovery.Load() }

// replay looks at what an engine replays while it is opened. Pebble reads the files itself; each is read here just before, which
// costs a few milliseconds for a journal of the default size. It counts, and it refuses a journal that ends in the middle (see
// inspectTail). Other errors are left to Pebble. Owned by the goroutine that opens.
type replay struct {
	fs    vfs.FS
	dir   string
	trust bool // the journal was synced, so its damage can be told from a torn tail
	began time.Time
	seen  map[string]bool
	convs map[frame.ID]struct{}
	rec   Recovery
}

func newReplay(fs vfs.FS, dir string, trust bool) *replay {
	return &replay{fs: fs, dir: dir, trust: trust, began: time.Now(), seen: map[string]bool{}, convs: map[frame.ID]struct{}{}}
}

func (r *replay) done() Recovery {
	r.rec.Duration = time.Since(r.began)
	r.rec.Conversations = len(r.convs)
	return r.rec
}

// file looks at one file of the journal. An error forbids to open it.
func (r *replay) file(name string) error {
	if r.seen[name] {
		return nil
	}
	r.seen[name] = true
	num, _, ok := wal.ParseLogFilename(r.fs.PathBase(name))
	if !ok {
		return nil
	}
	logs, err := wal.Scan(wal.Dir{FS: r.fs, Dirname: r.dir})
	if err != nil {
		return err
	}
	if l, ok := logs.Get(num); ok {
		return r.log(l, name)
	}
	return nil
}

func (r *replay) log(l wal.LogicalLog, name string) error {
	reader := l.OpenForRead()
	defer reader.Close()
	r.rec.Logs++
	var buf bytes.Buffer
	for {
		rec, offset, err := reader.NextRecord()
		if err == nil {
			buf.Reset()
			_, err = io.Copy(&buf, rec)
		}
		if err != nil {
			r.rec.LogBytes += offset.Physical
			return r.end(l, name, offset.Physical, err)
		}
		r.rec.Batches++
		r.batch(buf.Bytes())
	}
}

// end looks at where the reading of a file ended with cause. A proper end is believed only if no record follows: one flipped bit in the log
// number of a header makes it the mark of the end.
func (r *replay) end(l wal.LogicalLog, name string, offset int64, cause error) error {
	proper := errors.Is(cause, io.EOF)
	if !proper && !errors.Is(cause, record.ErrUnexpectedEOF) {
		return nil // Pebble tells
	}
	torn, damaged, err := inspectTail(r.fs, name, uint32(l.Num), offset)
	if damaged && r.trust {
		return fmt.Errorf("%w: %s at offset %d", errDamagedJournal, name, offset)
	}
	if !proper {
		r.rec.TornBytes += torn
	}
	return err
}

func (r *replay) batch(repr []byte) {
	if len(repr) < batchrepr.HeaderLen {
		return
	}
	for b := batchrepr.Read(repr); ; {
		kind, key, value, ok, err := b.Next()
		if !ok || err != nil {
			return
		}
		if kind != opSet || len(key) < convKeyLen {
			continue
		}
		switch key[0] {
		case keyMessages:
			n, _ := binary.Uvarint(value)
			r.rec.Messages += int(n) + 1
			r.convs[frame.ID(key[1:convKeyLen])] = struct{}{}
		case keyState:
			r.convs[frame.ID(key[1:convKeyLen])] = struct{}{}
		}
	}
}
