package sink

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// What a burst needed and a quiet store does not is given back: the buffers of groups and transactions, the blocks of Pebble's log and of its cache, and
// its memtables, which grow to MemTableSize and never shrink. All of it is done by the committer, which alone writes to the engine.

const (
	// A store is quiet if it was given less than this, in bytes, in a TrimInterval.
	quietBytes = 64 << 10
	// A buffer of this size, in bytes, is kept for ever.
	idleBuffer = 64 << 10
	// So much written, in bytes, since the last flush of ours makes another one worth it: each makes a table, and that is compacted later.
	worthFlush = 2 << 20
	// Once it is being given back, the looks come so many times as often.
	soon = 16
)

const (
	// A cache is idle if fewer blocks than this were looked up in it in a TrimInterval: so few may come from the system's cache of the files.
	idleLookups = 256
	// So much in an idle cache, in bytes, is kept for ever.
	idleCache = 256 << 10
)

// trimmer is what the committer remembers from one look to the next.
type trimmer struct {
	written   int             // bytes since the last look
	unflushed int             // bytes since the last flush of ours
	flushed   <-chan struct{} // a flush of ours, after which the memtables are to be released; nil: none
	lookups   int64           // in the cache, as of the last look
	moved     bool            // with it no flushed memtable stays but the one that Pebble keeps, see engine.moves
}

// trim gives memory back if the store is quiet. Called by the committer every TrimInterval with the group that it is about to fill. It returns false
// if the store did not wait for the engine and goes on without this committer.
func (p *pipeline) trim(g *group) bool {
	t, limit := &p.trimmer, quietBytes
	if t.flushed != nil {
		limit /= soon
	} else {
		p.trimCache()
	}
	quiet := t.written < limit
	t.unflushed += t.written
	t.written = 0
	if !quiet {
		return true
	}
	p.trimBuffers(g)
	return p.trimEngine()
}

// trimCache empties the cache when it is idle: what the return of all clients after a restart has read would lie there until something else is read.
func (p *pipeline) trimCache() {
	if !p.engine.acquire() {
		return
	}
	defer p.engine.release()
	m := p.engine.cache.Metrics()
	idle := m.Hits+m.Misses-p.trimmer.lookups < idleLookups
	p.trimmer.lookups = m.Hits + m.Misses
	if idle && m.Size > idleCache {
		p.engine.cache.Reserve(int(p.store.cfg.CacheSize))() // no room for a moment: all of it is evicted
	}
}

// trimBuffers lets go of the buffers that grew: of the group that the committer has, of those that wait for it, and of transactions.
func (p *pipeline) trimBuffers(g *group) {
	p.shrink(g)
	for range len(p.free) { // the completer may add to them, and there is room for all
		other := <-p.free
		p.shrink(other)
		p.free <- other
	}
	p.store.buffers.trim()
}

func (p *pipeline) shrink(g *group) {
	if cap(g.buf) > idleBuffer {
		g.buf, g.batch = nil, p.engine.db.NewBatch() // the old batch still has the buffer
	}
}

// trimEngine flushes the memtable, and releases the memory of memtables when that is over.
func (p *pipeline) trimEngine() bool {
	t := &p.trimmer
	if t.flushed == nil && t.unflushed < worthFlush {
		return true
	}
	return p.claimWhile(p.flushOrRelease)
}

// claimWhile does something with the engine, which may hang or fail in it, as in apply. It returns false if the supervisor did not wait.
func (p *pipeline) claimWhile(f func() error) bool {
	none := &group{}
	p.current.Store(none)
	if err := guard(f); err != nil {
		p.engine.fence.fall(err)
	}
	return none.claimed.CompareAndSwap(false, true)
}

// flushOrRelease does the next step, unless the engine has failed. Closing it waits meanwhile, since that frees the memtables that are looked at here.
func (p *pipeline) flushOrRelease() (err error) {
	t, e := &p.trimmer, p.engine
	if !e.acquire() {
		return nil
	}
	defer e.release()
	switch {
	case !prompt(e.db.Metrics(), p.store.cfg.MemTableSize): // at a later look
	case t.unflushed >= worthFlush:
		err = p.flush()
	case !isClosed(t.flushed) || !e.settled(): // the disk is slow, or a reader is; at the next look
	case !t.moved:
		err = p.flush()
	default:
		e.releaseMemtables(p.store.cfg.Release)
		t.flushed = nil
	}
	p.lookAgain()
	return err
}

// prompt tells whether a flush begins at once. With much of a burst still to be flushed or compacted Pebble lets it wait, and the commits behind it.
func prompt(m *pebble.Metrics, memTableSize int64) bool {
	return m.MemTable.Size < uint64(memTableSize*stopWritesMemTables/2) && m.Levels[0].Sublevels < stopWritesLevels/2
}

// flush begins a new memtable and a new log, which takes some milliseconds in which commits wait; the rest is Pebble's background.
func (p *pipeline) flush() (err error) {
	t := &p.trimmer
	t.unflushed, t.moved = 0, p.engine.moves()
	t.flushed, err = p.engine.db.AsyncFlush()
	return err
}

// lookAgain sets the time of the next look: soon if there is more to do.
func (p *pipeline) lookAgain() {
	every := p.store.cfg.TrimInterval
	if p.trimmer.flushed != nil {
		every = max(every/soon, time.Millisecond)
	}
	p.trims.Reset(every)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
