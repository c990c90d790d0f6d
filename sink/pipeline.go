package sink

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// batchHeader is the length of the header of Pebble's batch: sequence number 8, count 4, little endian.
const batchHeader = 12

// maxRetainedBatch is the largest buffer, in bytes, that a group keeps for the next batch.
const maxRetainedBatch = 8 << 20

// group is what one sync makes durable: the transactions that waited together, and the batch made of them. It goes from the
// committer to the completer and back; PipelineDepth of them exist for an engine.
type group struct {
	txs   []*Tx
	buf   []byte        // the batch; Pebble reads it until the apply is over
	batch *pebble.Batch // reused, on buf
	ops   int
	// applied tells that the batch waits for its sync; if not, there is nothing to wait for.
	applied bool

	messages int
	frames   int   // bytes of the Message frames
	entry    entry // what the batch put into the outbox, if it has messages
	notices  []noticeMark
	aged     age // up to what it is noted for the retention, if it has messages
	// claimed decides who hands the group on: the committer after apply, or the supervisor, if the committer is stuck in it.
	claimed atomic.Bool
}

func (g *group) reset() {
	clear(g.txs)
	g.txs = g.txs[:0]
	if cap(g.buf) > maxRetainedBatch {
		g.buf = nil
	}
	g.ops, g.messages, g.frames, g.applied = 0, 0, 0, false
	g.entry, g.aged = entry{}, age{}
	clear(g.notices)
	g.notices = g.notices[:0]
	g.claimed.Store(false)
}

func (g *group) add(t *Tx) {
	g.txs = append(g.txs, t)
	if len(g.buf) < batchHeader {
		g.buf = append(g.buf[:0], make([]byte, batchHeader)...)
	}
}

// pipeline is the committer and the completer of one engine. The supervisor starts and stops it.
type pipeline struct {
	// Fixed after construction.
	store  *Store
	engine *engine

	free    chan *group // groups that the committer may fill; bounds how many are not yet synced
	applied chan *group // in commit order, to the completer; as large as free, so sending never waits
	stop    chan struct{}

	committerDone chan struct{}
	completerDone chan struct{}

	current atomic.Pointer[group] // what the committer works on, for the supervisor

	// Owned by the committer.
	lastStart time.Time // of a batch
	trimmer   trimmer
	trims     *time.Ticker // when to look for memory that nobody needs
	entries   *entryWriter
}

func startPipeline(s *Store, e *engine) *pipeline {
	depth := s.cfg.PipelineDepth
	p := &pipeline{
		store:         s,
		engine:        e,
		free:          make(chan *group, depth),
		applied:       make(chan *group, depth),
		stop:          make(chan struct{}),
		committerDone: make(chan struct{}),
		completerDone: make(chan struct{}),
		trims:         time.NewTicker(s.cfg.TrimInterval),
		entries:       newEntryWriter(s, e.kept),
	}
	for range depth {
		p.free <- &group{batch: e.db.NewBatch()}
	}
	go p.commit()   // until stop; shutdown waits
	go p.complete() // until applied is closed; shutdown waits
	return p
}

// shutdown stops both goroutines; everything that the committer took is completed when it returns. The committer may be stuck in
// Pebble for good, if the engine failed in an unforeseen way: then it is left behind, and its transactions end here.
func (p *pipeline) shutdown(patience time.Duration) {
	close(p.stop)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.committerDone:
	case <-timer.C:
		p.store.log.Error("sink: the engine does not answer; it is left behind")
		if g := p.current.Load(); g != nil && g.claimed.CompareAndSwap(false, true) {
			refuse(g.txs)
			p.applied <- &group{txs: g.txs}
		} else {
			<-p.committerDone
		}
	}
	close(p.applied)
	<-p.completerDone
}

func refuse(txs []*Tx) {
	for _, t := range txs {
		t.err = ErrUnavailable
	}
}

// commit is the committer.
func (p *pipeline) commit() {
	defer close(p.committerDone)
	defer p.trims.Stop()
	for {
		var g *group
		select {
		case g = <-p.free:
		case <-p.stop:
			return
		}
		if !p.collect(g) || !p.apply(g) {
			return
		}
	}
}

// collect waits for a transaction and takes all that wait with it, up to the limits of a batch.
func (p *pipeline) collect(g *group) bool {
	t := p.wait(g)
	if t == nil {
		return false
	}
	p.take(g, t)
	p.linger()
	for g.ops < p.store.cfg.MaxBatchOps && len(g.buf)+p.entries.size(g) < p.store.cfg.MaxBatchBytes {
		select {
		case t := <-p.store.queue:
			p.take(g, t)
		default:
			return true
		}
	}
	return true
}

// wait returns the next transaction, or nil if the committer shall end. Meanwhile it gives memory back.
func (p *pipeline) wait(g *group) *Tx {
	for {
		select {
		case t := <-p.store.queue:
			return t
		case <-p.trims.C:
			if !p.trim(g) {
				return nil
			}
		case <-p.stop:
			return nil
		}
	}
}

// linger waits until SyncInterval after the last batch, or until a Begin waits.
func (p *pipeline) linger() {
	if wait := p.store.cfg.SyncInterval - time.Since(p.lastStart); wait > 0 {
		p.store.pause.wait(wait, p.store.exhausted)
	}
	p.lastStart = time.Now()
}

// take puts a transaction into the group, or refuses it there, so that it keeps its place.
func (p *pipeline) take(g *group, t *Tx) {
	g.add(t)
	defer t.release()
	if !p.store.accepts(t) {
		t.err = ErrUnavailable
		return
	}
	p.store.notices.number(t)
	g.buf = append(g.buf, t.ops...)
	g.notices = append(g.notices, t.notices...)
	g.ops += t.count
	g.messages += t.messages
	p.trimmer.written += len(t.ops)
	g.frames += t.frames
}

// apply writes the group to the log and the memtable without waiting for the sync, and hands it to the completer. It returns
// false if the engine is gone. Pebble may panic or end the goroutine: then the group is refused and handed over all the same.
func (p *pipeline) apply(g *group) (ok bool) {
	p.current.Store(g)
	defer func() {
		if !ok {
			if r := recover(); r != nil {
				p.engine.fence.fall(errPanic(r))
			}
			p.engine.fence.fall(errExited)
		}
		if !g.claimed.CompareAndSwap(false, true) {
			ok = false // the supervisor did not wait
			return
		}
		p.applied <- g
	}()
	if g.ops == 0 {
		return true
	}
	p.entries.write(g, time.Now())
	g.batch.Reset() // clears the header
	binary.LittleEndian.PutUint32(g.buf[8:], uint32(g.ops))
	if err := g.batch.SetRepr(g.buf); err != nil {
		panic("BUG: sink: " + err.Error())
	}
	if err := p.engine.db.ApplyNoSyncWait(g.batch, pebble.Sync); err != nil {
		p.engine.fence.fall(err)
		return true
	}
	g.applied = true
	return true
}

// complete is the completer.
func (p *pipeline) complete() {
	defer close(p.completerDone)
	for g := range p.applied {
		p.finish(g)
		p.free <- g
	}
}

// finish waits for the sync of the group and tells its transactions how they ended. The order matters: a failed sync lets the
// fence fall before SyncWait returns.
func (p *pipeline) finish(g *group) {
	var err error
	if g.applied {
		err = g.batch.SyncWait()
		if g.batch.Empty() {
			g.buf = nil // a batch too large for the memtable: Pebble keeps its bytes
		}
	}
	if err != nil {
		p.engine.fence.fall(err)
	}
	failed := p.engine.fence.fallen.Load() // for an empty group too: it may stand on one that failed
	p.store.metrics.batch(g)
	if !failed {
		p.store.outbox.synced(g.entry, g.messages)
		p.store.retention.synced(g.aged)
		p.store.notices.synced(g.notices)
	}
	now := time.Now()
	for _, t := range g.txs {
		if failed {
			t.err = ErrUnavailable
		}
		p.store.finish(t, now)
	}
	g.buf = g.buf[:0]
	g.reset()
}
