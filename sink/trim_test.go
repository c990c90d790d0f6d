package sink

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/frame"
)

// scribbler is a Release that destroys what it is given.
type scribbler struct{ calls, largest atomic.Int64 }

func (s *scribbler) release(b []byte) {
	s.calls.Add(1)
	s.largest.Store(max(s.largest.Load(), int64(len(b))))
	for len(b) > 0 {
		b = b[copy(b, garbage):]
	}
}

var garbage = bytes.Repeat([]byte{0xff}, 64<<10)

// awaitCalls waits until Release was called so often.
func (s *scribbler) awaitCalls(t *testing.T, n int64) {
	t.Helper()
	for end := time.Now().Add(time.Minute); s.calls.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("released %d times, want %d", s.calls.Load(), n)
		}
	}
}

// TestQuietStoreReleasesMemtables writes a few memtables full, again and again with quiet in between. Then both memtables are released, and although
// what is released is destroyed, everything is there, before the next burst and after it.
func TestQuietStoreReleasesMemtables(t *testing.T) {
	const table, size, burst = 2 << 20, 60 << 10, 80
	var s scribbler
	st := openTest(t, func(c *Config) {
		c.MemTableSize, c.CacheSize, c.TrimInterval, c.Release = table, 1<<20, 5*time.Millisecond, s.release
	})
	record := func(seq uint64) []byte { return bytes.Repeat([]byte{byte(seq), byte(seq >> 8), 3}, size/3) }
	conv, head := frame.ID{1}, uint64(0)
	check := func() {
		t.Helper()
		for seq := uint64(1); seq <= head; seq++ {
			got, _, n, err := st.ReadAfter(nil, conv, seq-1, seq, 1, 1<<20)
			if err != nil || n != 1 || !bytes.Equal(got, record(seq)) {
				t.Fatalf("message %d of %d: %d read, %v", seq, head, n, err)
			}
		}
	}
	for round := range int64(3) {
		for range burst {
			head++
			w := make(waiter, 1)
			tx := st.Begin(st.Generation())
			tx.Messages(conv, head, head, record(head))
			tx.Commit(w)
			if err := <-w; err != nil {
				t.Fatal(err)
			}
		}
		s.awaitCalls(t, 2*(round+1))
		check()
	}
	if least := int64(table) - 64<<10; s.largest.Load() < least {
		t.Errorf("at most %d bytes were released at once, want %d", s.largest.Load(), least)
	}
	check()
}

// TestQuietStoreFlushesOnceForABurst: a store that stays quiet is left alone.
func TestQuietStoreFlushesOnceForABurst(t *testing.T) {
	s := openTest(t, func(c *Config) { c.TrimInterval = time.Millisecond })
	flushes := func() int64 { return s.engine.Load().db.Metrics().Flush.Count }
	before := flushes()
	time.Sleep(50 * time.Millisecond)
	if n := flushes() - before; n != 0 {
		t.Errorf("%d flushes of a store that was given nothing", n)
	}
}

// TestTrimBuffers: what grew is let go of, what did not is kept, also where the batch still has it.
func TestTrimBuffers(t *testing.T) {
	s := openTest(t, nil)
	p := &pipeline{store: s, engine: s.engine.Load(), free: make(chan *group, 2)}
	grown := func(n int) *group {
		g := &group{buf: make([]byte, batchHeader, n), batch: p.engine.db.NewBatch()}
		if err := g.batch.SetRepr(g.buf); err != nil {
			t.Fatal(err)
		}
		return g
	}
	large, mine, small := grown(idleBuffer+1), grown(1<<20), grown(idleBuffer)
	p.free <- large
	p.free <- small
	s.buffers.put(make([]byte, idleBuffer+1))
	s.buffers.put(make([]byte, idleBuffer))
	p.trimBuffers(mine)
	if len(p.free) != 2 || large.buf != nil || mine.buf != nil || cap(large.batch.Repr()) > idleBuffer || cap(mine.batch.Repr()) > idleBuffer {
		t.Error("a group that grew keeps its buffer")
	}
	if cap(small.buf) != idleBuffer {
		t.Error("a small group lost its buffer")
	}
	if len(s.buffers.free) != 1 || cap(s.buffers.free[0]) != idleBuffer {
		t.Errorf("%d buffers of transactions are kept", len(s.buffers.free))
	}
}

// TestBusyStoreKeepsItsMemory: while much is written nothing is flushed or released.
func TestBusyStoreKeepsItsMemory(t *testing.T) {
	s := openTest(t, nil)
	p := &pipeline{store: s, engine: s.engine.Load(), free: make(chan *group, 1), trims: time.NewTicker(time.Hour)}
	g := &group{buf: make([]byte, 1<<20)}
	for range 100 {
		p.trimmer.written = quietBytes
		if !p.trim(g) || g.buf == nil || p.trimmer.flushed != nil {
			t.Fatal("a busy store is trimmed")
		}
	}
	if p.trimmer.unflushed != 100*quietBytes {
		t.Errorf("%d bytes are remembered", p.trimmer.unflushed)
	}
	g.batch = p.engine.db.NewBatch()
	if !p.trim(g) || g.buf != nil || p.trimmer.flushed == nil || p.trimmer.unflushed != 0 {
		t.Error("a store that became quiet is not trimmed")
	}
	<-p.trimmer.flushed
}

// TestStuckTrim leaves a committer behind that does not come back from a flush: it knows, and touches nothing any more.
func TestStuckTrim(t *testing.T) {
	s := openTest(t, nil)
	p := &pipeline{store: s, engine: s.engine.Load(), free: make(chan *group, 1)}
	p.trimmer.unflushed = worthFlush
	hung, left := make(chan struct{}), make(chan struct{})
	flush := func() error {
		close(hung)
		<-left
		return nil
	}
	go func() {
		<-hung
		if g := p.current.Load(); len(g.txs) != 0 || !g.claimed.CompareAndSwap(false, true) {
			t.Error("the supervisor cannot leave the committer behind")
		}
		close(left)
	}()
	if p.claimWhile(flush) {
		t.Error("a committer that was left behind goes on")
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestNoFlushedMemtableStays: when a store has become quiet, Pebble's queue of memtables has an array of its own, whatever it was before. So
// without cgo the memtables of the burst are garbage.
func TestNoFlushedMemtableStays(t *testing.T) {
	for _, burst := range []int{1, 5, 20, 100} {
		s := openTest(t, func(c *Config) { c.MemTableSize = 2 << 20 })
		for i := range burst {
			w := make(waiter, 1)
			tx := s.Begin(s.Generation())
			tx.Messages(frame.ID{1}, uint64(i)+1, uint64(i)+1, make([]byte, 200<<10))
			tx.Commit(w)
			if err := <-w; err != nil {
				t.Fatal(err)
			}
		}
		e, released := s.engine.Load(), 0
		db := reflect.ValueOf(e.db).Elem().FieldByName("mu").FieldByName("mem").FieldByName("queue")
		// In the place of the store's committer, which waits.
		p := &pipeline{store: s, engine: e, free: make(chan *group, 1), trims: time.NewTicker(time.Hour)}
		s.cfg.Release = func([]byte) { released++ }
		p.trimmer.unflushed = worthFlush
		for end := time.Now().Add(time.Minute); released == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
			p.trim(&group{})
		}
		if released != 2 || db.Len() != 1 || db.Cap() != 1 {
			t.Errorf("burst of %d: %d memtables released, the queue holds %d of %d", burst, released, db.Len(), db.Cap())
		}
	}
}

// TestTrimHoldsTheEngine: the engine cannot be closed, and its memtables freed, while their memory is released, also by a committer that was left
// behind. One that is closed already is let alone.
func TestTrimHoldsTheEngine(t *testing.T) {
	calls, users := 0, int64(0)
	s := openTest(t, nil)
	e := s.engine.Load()
	s.cfg.Release = func([]byte) { calls, users = calls+1, e.users.Load() }
	p := &pipeline{store: s, engine: e, trims: time.NewTicker(time.Hour)}
	flushed := make(chan struct{})
	close(flushed)
	release := func() {
		p.trimmer = trimmer{flushed: flushed, moved: true}
		if err := p.flushOrRelease(); err != nil {
			t.Error(err)
		}
	}
	release()
	if calls == 0 || users != 2 {
		t.Errorf("memory is released %d times, while the engine has %d users: want the store and the committer", calls, users)
	}
	calls = 0
	e.fence.fall(errExited)
	<-e.closed
	release()
	if calls != 0 || p.trimmer.flushed == nil {
		t.Error("memory of an engine that is closed is released")
	}
}

// tablesLater is a file system on which no table is made before now is closed.
type tablesLater struct {
	vfs.FS
	now chan struct{}
}

func (f tablesLater) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") {
		<-f.now
	}
	return f.FS.Create(name, category)
}

// TestTrimWaitsForTheBurst: while memtables of the burst are being flushed, or many of its tables are not compacted yet, no flush is added, which
// would wait for that with all commits behind it. It comes later.
func TestTrimWaitsForTheBurst(t *testing.T) {
	const size = 1 << 20
	fs := tablesLater{FS: vfs.NewMem(), now: make(chan struct{})}
	s, err := openOn(fs, Config{Dir: "store", MemTableSize: size, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e := s.engine.Load()
	p := &pipeline{store: s, engine: e, free: make(chan *group, 1), trims: time.NewTicker(time.Hour)}
	for e.db.Metrics().MemTable.Size < 2*size {
		if err := e.db.Set([]byte("k"), make([]byte, 100<<10), nil); err != nil {
			t.Fatal(err)
		}
	}
	if p.trimmer.unflushed = worthFlush; !p.trim(&group{}) || p.trimmer.flushed != nil {
		t.Error("a flush is added to one that is under way")
	}
	close(fs.now)
	for end := time.Now().Add(time.Minute); p.trimmer.flushed == nil; time.Sleep(time.Millisecond) {
		if !p.trim(&group{}) || time.Now().After(end) {
			t.Fatal("there is no flush when the burst is over")
		}
	}
	<-p.trimmer.flushed
	m := e.db.Metrics()
	for levels, want := range map[int32]bool{0: true, stopWritesLevels/2 - 1: true, stopWritesLevels / 2: false} {
		if m.Levels[0].Sublevels = levels; prompt(m, size) != want {
			t.Errorf("with %d levels of tables to be compacted: %t", levels, !want)
		}
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// cached fills the store's cache: it writes tables and reads all that is in them.
func cached(t *testing.T, s *Store) (readAll func()) {
	t.Helper()
	const n, size = 200, 8 << 10
	record := func(i uint64) []byte { return bytes.Repeat([]byte{byte(i), 3, byte(i >> 3), 4}, size/4) }
	conv := frame.ID{7}
	for i := uint64(1); i <= n; i++ {
		w := make(waiter, 1)
		tx := s.Begin(s.Generation())
		tx.Messages(conv, i, i, record(i))
		tx.Commit(w)
		if err := <-w; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.engine.Load().db.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		for i := uint64(1); i <= n; i++ {
			if got, _, _, err := s.ReadAfter(nil, conv, i-1, i, 1, 1<<20); err != nil || !bytes.Equal(got, record(i)) {
				t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
			}
		}
	}
}

// TestIdleCacheIsEmptied, and filled again by those who read.
func TestIdleCacheIsEmptied(t *testing.T) {
	s := openTest(t, func(c *Config) { c.TrimInterval = time.Hour }) // looked at below
	readAll := cached(t, s)
	p := &pipeline{store: s, engine: s.engine.Load()}
	cache := p.engine.cache
	for range 3 {
		readAll()
		full := cache.Size()
		if full <= idleCache {
			t.Fatalf("the cache holds %d bytes: this tests nothing", full)
		}
		p.trimCache()
		if cache.Size() != full {
			t.Errorf("a cache that was read from is emptied: %d bytes, %d before", cache.Size(), full)
		}
		p.trimCache()
		if cache.Size() > 0 {
			t.Errorf("%d of %d bytes stay in an idle cache", cache.Size(), full)
		}
	}
	readAll()
}

// TestQuietStoreEmptiesItsCache: the committer looks.
func TestQuietStoreEmptiesItsCache(t *testing.T) {
	s := openTest(t, func(c *Config) { c.TrimInterval = 20 * time.Millisecond })
	readAll := cached(t, s)
	readAll()
	cache := s.engine.Load().cache
	for end := time.Now().Add(time.Minute); cache.Size() > idleCache; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after a minute of quiet the cache holds %d bytes", cache.Size())
		}
	}
	readAll()
}
