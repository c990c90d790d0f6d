package sink

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// engine is one open instance of Pebble behind its own fence. When the fence falls the engine is replaced as a whole.
//
// Its committer and completer are in pipeline.go. Readers may come from any goroutine, between acquire and release.
type engine struct {
	// Fixed after construction.
	db        *pebble.DB
	cache     *pebble.Cache // of db, and ours until db is closed
	fence     *fence
	memtables memtables // where db has them
	kept      kept      // what the store knew of the outbox when it was opened

	users  atomic.Int64  // readers, and one for the store itself; the instance may be closed at zero
	unused chan struct{} // closed when users reaches zero
	closed chan struct{} // closed when Pebble is closed

	closeErr error // valid after closed
}

// acquire keeps the engine from being closed until release; false means it is already going.
func (e *engine) acquire() bool {
	for {
		n := e.users.Load()
		if n == 0 || e.fence.fallen.Load() {
			return false
		}
		if e.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (e *engine) release() {
	if e.users.Add(-1) == 0 {
		close(e.unused)
	}
}

// close closes Pebble when the last reader has gone. It runs on a goroutine of its own (started by engine.discard, waited for by
// closed), because an instance that failed in an unforeseen way may hang here.
func (e *engine) close(log *slog.Logger) {
	defer close(e.closed)
	<-e.unused
	if e.closeErr = guard(e.db.Close); e.closeErr != nil {
		log.Warn("sink: closing the store", "error", e.closeErr)
	}
	e.cache.Unref()
}

// discard gives up the store's own use of the engine and closes it in the background.
func (e *engine) discard(log *slog.Logger) {
	go e.close(log)
	e.release()
}

// guard runs f and turns a panic into an error. Pebble panics where it cannot report an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// errExited means that Pebble ended the goroutine by Fatalf.
var errExited = errors.New("sink: the engine gave up")

// openEngine opens the store in dir. A new store is made by opening it twice: the first log of a new store is written in an old
// format in which damage in the middle would be taken for the end.
func openEngine(f *fence, cfg Config) (*engine, error) {
	memtables, err := findMemtables()
	if err != nil {
		return nil, err
	}
	desc, err := pebble.Peek(cfg.Dir, f.FS)
	if err != nil {
		return nil, err
	}
	cache := pebble.NewCache(cfg.CacheSize)
	db, kept, err := openNew(f, cfg, cache, desc.Exists)
	if err != nil {
		cache.Unref()
		return nil, err
	}
	e := &engine{db: db, cache: cache, fence: f, memtables: memtables, kept: kept, unused: make(chan struct{}), closed: make(chan struct{})}
	e.users.Store(1)
	return e, nil
}

// openNew opens a store that may not exist yet.
func openNew(f *fence, cfg Config, cache *pebble.Cache, exists bool) (*pebble.DB, kept, error) {
	if !exists {
		db, _, err := openPebble(f, cfg, cache)
		if err != nil {
			return nil, kept{}, err
		}
		if err := guard(db.Close); err != nil {
			return nil, kept{}, err
		}
	}
	return openPebble(f, cfg, cache)
}

// openPebble opens Pebble, and reads what is kept of the outbox, on a goroutine of its own, which Pebble may end by Fatalf. If the fence fell meanwhile, what was opened
// is an illusion and is closed again.
func openPebble(f *fence, cfg Config, cache *pebble.Cache) (*pebble.DB, kept, error) {
	type result struct {
		db   *pebble.DB
		kept kept
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		r := result{err: errExited}
		defer func() { opened <- r }()
		r.err = guard(func() (err error) {
			if r.db, err = pebble.Open(cfg.Dir, pebbleOptions(f, cfg, cache)); err != nil {
				return err
			}
			if r.kept, err = prepare(r.db, cfg); err != nil {
				return err
			}
			r.kept.notices, err = loadNotices(r.db)
			return err
		})
	}()
	r := <-opened
	if !f.fallen.Load() && r.err == nil {
		return r.db, r.kept, nil
	}
	if r.db != nil {
		go func() { _ = guard(r.db.Close) }()
	}
	if !f.fallen.Load() {
		return nil, kept{}, r.err
	}
	<-f.down
	return nil, kept{}, f.cause
}

// closeTimeout bounds the wait for an instance that was told to close.
const closeTimeout = 10 * time.Second

// Where Pebble stops commits that begin a memtable, until some are flushed or compacted.
const (
	// Commits wait when four memtables are full; with less, a burst waits for the flush of the last one.
	stopWritesMemTables = 4
	// Reads are by key or within one conversation, so a few more tables in level 0 cost little, and compacting them later costs
	// less. Far beyond that, commits wait for the compaction.
	stopWritesLevels = 64
)

// memTableSize is twice as large with an outbox, where each message is written twice: else tables would be made, and compacted, twice as
// often, which costs 1 to 2 us of CPU a message; with it the outbox costs less than 1 us.
func memTableSize(cfg Config) int64 {
	if cfg.Outbox {
		return 2 * cfg.MemTableSize
	}
	return cfg.MemTableSize
}

func pebbleOptions(f *fence, cfg Config, cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		FS:                          f,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      pebbleLogger{log: cfg.Logger, fence: f},
		Cache:                       cache,
		MemTableSize:                uint64(memTableSize(cfg)),
		MemTableStopWritesThreshold: stopWritesMemTables,
		FlushDelayDeleteRange:       cfg.reclaim,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       stopWritesLevels,
		LBaseMaxBytes:               64 << 20,
		EventListener: &pebble.EventListener{
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				cfg.Logger.Error("sink: a table of the store is damaged; restore it from a backup", "details", info.String())
			},
			BackgroundError: func(err error) {
				if !f.fallen.Load() {
					cfg.Logger.Error("sink: background work of the store failed", "error", err)
				}
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	// Written data is handed to the disk in small pieces, so that the sync of a commit does not wait for a whole table.
	o.BytesPerSync = 256 << 10
	o.WALBytesPerSync = 0 // each commit syncs
	return o
}

var _ vfs.FS = (*fence)(nil)
