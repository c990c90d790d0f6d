package sink

import (
	"bytes"
	"encoding/binary"
	"errors"
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

// replay counts what an engine replays while it is opened. Pebble reads the files itself; each is read here just before, which
// costs a few milliseconds for a journal of the default size. Errors are left to Pebble, which judges them. Owned by the goroutine that
// opens.
type replay struct {
	fs    vfs.FS
	dir   string
	began time.Time
	seen  map[string]bool
	convs map[frame.ID]struct{}
	rec   Recovery
}

func newReplay(fs vfs.FS, dir string) *replay {
	return &replay{fs: fs, dir: dir, began: time.Now(), seen: map[string]bool{}, convs: map[frame.ID]struct{}{}}
}

func (r *replay) done() Recovery {
	r.rec.Duration = time.Since(r.began)
	r.rec.Conversations = len(r.convs)
	return r.rec
}

// file counts one file of the journal.
func (r *replay) file(name string) {
	if r.seen[name] {
		return
	}
	r.seen[name] = true
	num, _, ok := wal.ParseLogFilename(r.fs.PathBase(name))
	if !ok {
		return
	}
	logs, err := wal.Scan(wal.Dir{FS: r.fs, Dirname: r.dir})
	if err != nil {
		return
	}
	if l, ok := logs.Get(num); ok {
		r.log(l, name)
	}
}

func (r *replay) log(l wal.LogicalLog, name string) {
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
			if errors.Is(err, record.ErrUnexpectedEOF) {
				r.rec.TornBytes += tornBytes(r.fs, name, uint32(l.Num), offset.Physical)
			}
			return
		}
		r.rec.Batches++
		r.batch(buf.Bytes())
	}
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

// The chunks of a log file, as Pebble writes them: checksum 4, length 2, kind 1, log number 4, synced offset 8, all little endian;
// none crosses the border of a block.
const (
	chunkHeader  = 19
	chunkBlock   = 32 << 10
	chunkKindMin = 9 // a whole record; 10 to 12 are its first, middle and last part
	chunkKindMax = 12
)

// tornBytes counts the bytes of a log file, from offset, that carry its number: a record that was being written. What else stands
// there are zeros, or older records in a file that is used again.
func tornBytes(fs vfs.FS, name string, num uint32, offset int64) int64 {
	f, err := fs.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	var torn int64
	for {
		if left := chunkBlock - offset%chunkBlock; left < chunkHeader {
			offset += left
		}
		var h [chunkHeader]byte
		n, err := f.ReadAt(h[:], offset)
		if n < chunkHeader || err != nil && err != io.EOF {
			return torn + nonZero(h[:n])
		}
		if h[6] < chunkKindMin || h[6] > chunkKindMax || binary.LittleEndian.Uint32(h[7:]) != num {
			return torn
		}
		size := min(chunkHeader+int64(binary.LittleEndian.Uint16(h[4:])), info.Size()-offset)
		torn += size
		offset += size
	}
}

// nonZero returns the length of b without its trailing zeros.
func nonZero(b []byte) int64 { return int64(len(bytes.TrimRight(b, "\x00"))) }
