package sink_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// write commits n transactions, one after the other, of one message each, and returns the size of the journal after each.
func write(t *testing.T, fs vfs.FS, cfg sink.Config, n int) (sizes []int64) {
	t.Helper()
	store, err := sink.OpenOn(fs, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, store)
	w := storetest.NewWaiter(1)
	conv := frame.ID{1}
	for seq := uint64(1); seq <= uint64(n); seq++ {
		tx := store.Begin(store.Generation())
		tx.Messages(conv, seq, seq, storetest.Messages(conv, seq, seq, 50+int(seq)%400))
		tx.Conversation(conv, state(seq), true)
		tx.Commit(w)
		if err := w.Wait(t); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, int64(len(readFile(t, fs, journal(t, fs, cfg.Dir)))))
	}
	return sizes
}

// journal returns the newest file of the journal.
func journal(t *testing.T, fs vfs.FS, dir string) string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".log") })
	slices.Sort(names)
	return fs.PathJoin(dir, names[len(names)-1])
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(b)); err != nil { // under -race the file system scrambles what it was given
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func clone(t *testing.T, from vfs.FS) vfs.FS {
	t.Helper()
	to := vfs.NewMem()
	if ok, err := vfs.Clone(from, to, "store", "store"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return to
}

// head returns how many messages the store has, after checking that they are the first ones.
func head(t *testing.T, store *sink.Store) uint64 {
	t.Helper()
	frames, last, count, err := store.ReadAfter(nil, frame.ID{1}, 0, math.MaxUint64, math.MaxInt, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	for i, seq := range storetest.Sequences(t, frames) {
		if seq != uint64(i+1) {
			t.Fatalf("message %d is %d", i+1, seq)
		}
	}
	st, _, _, err := store.LoadConversation(frame.ID{1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(count) != last || last > 0 && binary.BigEndian.Uint64(st) != last {
		t.Fatalf("%d messages up to %d, state %x", count, last, st)
	}
	return last
}

// TestTornTail cuts the journal off at every offset. The store starts with the transactions that are whole, and tells how much it cut.
func TestTornTail(t *testing.T) {
	rng := rand.New(rand.NewPCG(newSeed(t), 0))
	fs := vfs.NewMem()
	cfg := quiet("store")
	const total = 30
	sizes := write(t, fs, cfg, total)
	name := journal(t, fs, "store")
	whole := readFile(t, fs, name)
	for offset := int64(0); offset < sizes[total-1]; offset += 1 + rng.Int64N(60) {
		cut := clone(t, fs)
		writeFile(t, cut, name, whole[:offset])
		store, err := sink.OpenOn(cut, cfg)
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", offset, len(whole), err)
		}
		want, left := 0, offset
		for want < total && sizes[want] <= offset {
			left = offset - sizes[want]
			want++
		}
		rec := store.Recovery()
		if got := head(t, store); got != uint64(want) || rec.Messages != want {
			t.Errorf("cut at %d: %d messages, want %d; reported %+v", offset, got, want, rec)
		}
		if rec.TornBytes != left {
			t.Errorf("cut at %d: reported %d bytes torn, want %d", offset, rec.TornBytes, left)
		}
		closeStore(t, store)
	}
}

// TestDamagedJournal flips a bit somewhere in the journal. The store must not start as if what follows was never there. In what may
// not have been synced, the last records, a flipped bit looks like a torn tail, and so does one in a header of the last block.
func TestDamagedJournal(t *testing.T) {
	rng := rand.New(rand.NewPCG(newSeed(t), 0))
	for _, restarts := range []int{0, 1} { // the first journal of a new store, and a later one
		fs := vfs.NewMem()
		cfg := quiet("store")
		for range restarts {
			closeStore(t, openFor(t, fs, cfg))
		}
		const total, tail, header, block = 200, 10, 19, 32 << 10
		sizes := write(t, fs, cfg, total)
		name := journal(t, fs, "store")
		whole := readFile(t, fs, name)
		// The lowest bit of the log number in record 57's header among them: it makes that header the mark of a proper end.
		places := []int64{sizes[56]*8 + 7*8}
		for range 150 {
			places = append(places, rng.Int64N(sizes[total-1]*8))
		}
		for _, place := range places {
			at := place / 8
			record, _ := slices.BinarySearch(sizes, at+1)
			// A header stands at the start of a record, and of what a record has in its second block.
			inHeader := at/block == sizes[total-1]/block && (record > 0 && at-sizes[record-1] < header || at%block < header)
			damaged := clone(t, fs)
			b := bytes.Clone(whole)
			b[at] ^= 1 << (place % 8)
			writeFile(t, damaged, name, b)
			store, err := sink.OpenOn(damaged, cfg)
			switch {
			case err == nil:
				if n := head(t, store); record < total-tail && !inHeader && n < total {
					t.Errorf("a flipped bit at %d, in record %d of %d: the store starts with %d messages", at, record, total, n)
				}
				closeStore(t, store)
			case !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "backup"):
				t.Errorf("a flipped bit: %v", err)
			}
		}
	}
}

func TestRecoveryIsReported(t *testing.T) {
	fs := vfs.NewMem()
	cfg := quiet("store")
	var log bytes.Buffer
	write(t, fs, cfg, 10)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	store := openFor(t, fs, cfg)
	rec := store.Recovery()
	if rec.Messages != 10 || rec.Conversations != 1 || rec.Batches != 10 || rec.Logs != 1 || rec.LogBytes < 1000 || rec.Duration <= 0 || rec.TornBytes != 0 {
		t.Errorf("reported %+v", rec)
	}
	if !strings.Contains(log.String(), "replayed_messages=10") {
		t.Errorf("the log says\n%s", log.String())
	}
	if got := head(t, store); got != 10 {
		t.Errorf("%d messages", got)
	}
}

func TestDirectoryInUse(t *testing.T) {
	cfg := quiet(t.TempDir())
	openFor(t, vfs.Default, cfg)
	if _, err := sink.Open(cfg); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second store in the same directory: %v", err)
	}
}

func TestDirectoryCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Open(quiet(filepath.Join(file, "store"))); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a store below a file: %v", err)
	}
}

func TestNoSpaceAtStart(t *testing.T) {
	fs := newFaulty(vfs.NewMem())
	fs.faults.set(func(op errorfs.Op) error {
		if changes(op) && strings.HasSuffix(op.Path, ".log") {
			return unix.ENOSPC
		}
		return nil
	})
	if _, err := sink.OpenOn(fs, quiet("store")); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a start without space: %v", err)
	}
	fs.faults.clear()
	openFor(t, fs, quiet("store"))
}
