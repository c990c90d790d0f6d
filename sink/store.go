package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrUnavailable is what a transaction ends with, and a read returns, while the store cannot keep what it is given: disk full,
// failed write or sync, a transaction of an older generation, or the store is closed.
var ErrUnavailable = errors.New("sink: the store is unavailable")

// Store is the journal and the hot history. All methods are safe for concurrent use.
type Store struct {
	// Fixed after construction.
	cfg     Config
	fs      vfs.FS
	log     *slog.Logger
	metrics *metrics
	// releases undo acquire. Owned by Open, then by the supervisor.
	releases []func() error

	// pool holds the transactions that are not in use, MaxInFlight in all; Begin waits while it is empty.
	pool    chan *Tx
	buffers buffers
	// queue holds what was committed and not yet taken by the committer. It has room for all transactions, so Commit never waits.
	queue chan *Tx
	// pause is where the committer lingers; a Begin that waits cuts it short.
	pause *pause

	generation atomic.Uint64
	engine     atomic.Pointer[engine] // nil while there is none
	low        atomic.Bool            // too little free space
	full       atomic.Bool            // the outbox is full, and refuses
	recovery   atomic.Pointer[Recovery]
	outbox     *Outbox // nil if it is off
	notices    *Notices
	retention  *retention // nil if everything is kept
	// changing is held by whoever changes or deletes messages that are stored, from reading them until the change is durable.
	changing sync.Mutex

	closing   chan struct{} // closed by the first Close: Begin refuses
	closeOnce sync.Once
	drained   chan struct{}  // closed by Close when all transactions are home, or its patience is over
	stopped   chan struct{}  // closed when the supervisor is done
	watched   chan struct{}  // closed when the space watch is done
	beside    sync.WaitGroup // the upkeep
	closeErr  error          // valid after stopped
}

// Open opens the store in cfg.Dir, or creates it, and recovers what was acknowledged. It takes as long as replaying the
// journal, about MemTableSize, and fails with the remedy in the error's text if the directory is in use, cannot be written, or
// is damaged. The store must be closed.
func Open(cfg Config) (*Store, error) { return openOn(vfs.Default, cfg) }

func openOn(base vfs.FS, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := newStore(base, cfg)
	if err := s.acquire(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	e, err := s.openOnce()
	if err != nil {
		return nil, errors.Join(explain(cfg.Dir, err), s.release())
	}
	if cfg.Durability == DurabilityUnsafeNoFsync {
		s.log.Warn("sink: durability is unsafe-no-fsync: a loss of power loses acknowledged messages")
	}
	s.engine.Store(e)
	s.checkSpace()
	go s.supervise(e)                                            // until drained; Close waits
	go s.watchSpace()                                            // until stopped; Close waits
	s.beside.Go(func() { s.upkeepUntilClosed(e.kept.backfill) }) // until closing; Close waits
	return s, nil
}

func newStore(base vfs.FS, cfg Config) *Store {
	s := &Store{
		cfg:     cfg,
		fs:      base,
		log:     cfg.Logger,
		pool:    make(chan *Tx, cfg.MaxInFlight),
		queue:   make(chan *Tx, cfg.MaxInFlight),
		closing: make(chan struct{}),
		drained: make(chan struct{}),
		stopped: make(chan struct{}),
		watched: make(chan struct{}),
	}
	for range cfg.MaxInFlight {
		s.pool <- &Tx{store: s}
	}
	s.generation.Store(1)
	s.notices = newNotices(s)
	if cfg.Outbox {
		s.outbox = newOutbox(s)
	}
	if cfg.Retention > 0 || cfg.RetentionBytes > 0 {
		s.retention = newRetention(s)
	}
	return s
}

// acquire takes what is not memory: the timer, the names of the metrics, the directory.
func (s *Store) acquire() (err error) {
	if s.pause, err = newPause(); err != nil {
		return err
	}
	s.releases = append(s.releases, s.pause.close)
	if s.metrics, err = newMetrics(s); err != nil {
		return err
	}
	s.releases = append(s.releases, s.metrics.unregister)
	return s.lock()
}

// release gives back what acquire took.
func (s *Store) release() error {
	var errs []error
	for _, release := range s.releases {
		errs = append(errs, release())
	}
	return errors.Join(errs...)
}

// lock takes the directory for this process, over all instances of the engine.
func (s *Store) lock() error {
	if err := s.fs.MkdirAll(s.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("sink: cannot make the directory of the store: %w: check its parent's permissions", err)
	}
	lock, err := s.fs.Lock(s.fs.PathJoin(s.cfg.Dir, "LOCK"))
	if err != nil {
		return fmt.Errorf("sink: the store in %s is in use by another process, or cannot be written: %w: stop the other process, or name another directory", s.cfg.Dir, err)
	}
	s.releases = append(s.releases, lock.Close)
	return nil
}

// Begin starts a transaction of the given generation. It waits while MaxInFlight transactions are in flight. After Close it
// returns a transaction that is refused.
func (s *Store) Begin(generation uint64) *Tx {
	var t *Tx
	select {
	case t = <-s.pool:
	default:
		t = s.waitForTx()
	}
	t.generation = generation
	t.ops = s.buffers.get()
	return t
}

func (s *Store) waitForTx() *Tx {
	s.pause.wake()
	select {
	case t := <-s.pool:
		return t
	case <-s.closing:
		return &Tx{store: s, err: ErrUnavailable}
	}
}

// exhausted tells that all transactions are in flight, so that a Begin waits or soon will.
func (s *Store) exhausted() bool { return len(s.pool) == 0 }

// Generation counts the interruptions of the store; see accepts.
func (s *Store) Generation() uint64 { return s.generation.Load() }

// Available tells whether a commit could succeed now.
func (s *Store) Available() bool {
	e := s.engine.Load()
	return e != nil && !e.fence.fallen.Load() && !s.low.Load() && !s.full.Load()
}

// accepts tells whether a transaction may be written. The generation is raised when an interruption begins and when it ends, so
// that of a shard's transactions none is accepted after one was refused.
func (s *Store) accepts(t *Tx) bool {
	if t.upkeep {
		return t.generation == 0 || t.generation == s.generation.Load()
	}
	return t.generation == s.generation.Load() && !s.low.Load() && !s.full.Load()
}

// enqueue is Commit.
func (s *Store) enqueue(t *Tx) {
	if t.err != nil { // begun after Close, never in the pool
		t.done.Committed(t.err)
		return
	}
	s.queue <- t
}

// finish gives a transaction back to the pool and tells its owner how it ended. The completer and the supervisor call it, never at
// the same time.
func (s *Store) finish(t *Tx, now time.Time) {
	done, err := t.done, t.err
	s.metrics.completed(now.Sub(t.commitAt), err)
	t.reset()
	s.pool <- t
	done.Committed(err)
}

// Close ends the store in an orderly way: it waits until every transaction that was begun is completed, at most until ctx ends,
// then closes the engine. Transactions begun afterwards are refused. A second Close waits for the first.
func (s *Store) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		close(s.closing)
		defer close(s.drained)
		for range s.cfg.MaxInFlight {
			select {
			case <-s.pool:
			case <-ctx.Done():
				s.log.Warn("sink: closed with transactions in flight", "cause", context.Cause(ctx))
				return
			}
		}
	})
	<-s.stopped
	<-s.watched
	s.beside.Wait()
	return s.closeErr
}
