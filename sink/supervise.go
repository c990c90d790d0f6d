package sink

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// maxAbandoned is how many instances that could not be closed may stay behind in memory. With more of them the store stays
// unavailable until the process is started again.
const maxAbandoned = 4

// stuckAfter is how long a committer may take to come back from an engine whose fence has fallen.
const stuckAfter = 5 * time.Second

// supervise runs engines one after the other until the store is closed. It owns the queue whenever no pipeline runs.
func (s *Store) supervise(e *engine) {
	defer close(s.stopped)
	abandoned := 0
	for e != nil {
		p := startPipeline(s, e)
		select {
		case <-e.fence.down:
		case <-s.drained:
		}
		s.engine.Store(nil)
		p.shutdown(stuckAfter)
		e.discard(s.log)
		if !s.waitClosed(e) {
			abandoned++
		}
		if e = nil; !s.isDrained() {
			e = s.reopen(abandoned)
		}
	}
	s.refuseQueue()
	s.closeErr = errors.Join(s.closeErr, s.release())
}

func (s *Store) isDrained() bool {
	select {
	case <-s.drained:
		return true
	default:
		return false
	}
}

// waitClosed waits for an engine to be closed and refuses what comes in the meantime.
func (s *Store) waitClosed(e *engine) bool {
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	for {
		select {
		case <-e.closed:
			if !e.fence.fallen.Load() {
				s.closeErr = e.closeErr
			}
			return true
		case t := <-s.queue:
			s.refuse(t)
		case <-timer.C:
			s.log.Error("sink: a failed instance of the store could not be closed; its memory stays in use", "cause", e.fence.cause)
			return false
		}
	}
}

// reopen opens the store again, with growing pauses, and refuses what comes in the meantime. It returns nil when the store is closed.
func (s *Store) reopen(abandoned int) *engine {
	if abandoned > maxAbandoned {
		s.log.Error("sink: too many failed instances could not be closed; the store stays unavailable: start the process again")
		s.refuseUntil(nil)
		return nil
	}
	for pause := s.cfg.ReopenMin; ; pause = min(2*pause, s.cfg.ReopenMax) {
		if !s.refuseUntil(time.After(pause)) {
			return nil
		}
		if s.low.Load() {
			continue
		}
		e, err := s.tryOpen()
		if err != nil {
			s.log.Warn("sink: the store could not be opened again", "error", explain(s.cfg.Dir, err), "retry_after", min(2*pause, s.cfg.ReopenMax))
			continue
		}
		s.generation.Add(1)
		s.engine.Store(e)
		s.log.Info("sink: the store is available again", "generation", s.Generation())
		return e
	}
}

// tryOpen opens the store on a goroutine of its own and refuses what comes in the meantime.
func (s *Store) tryOpen() (e *engine, err error) {
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		e, err = s.openOnce()
	}()
	for {
		select {
		case <-opened:
			return e, err
		case t := <-s.queue:
			s.refuse(t)
		}
	}
}

// refuseUntil refuses transactions until a timer fires (true) or the store is closed (false).
func (s *Store) refuseUntil(timer <-chan time.Time) bool {
	for {
		select {
		case <-timer:
			return true
		case t := <-s.queue:
			s.refuse(t)
		case <-s.drained:
			return false
		}
	}
}

// refuseQueue refuses what is left in the queue after a Close that did not wait.
func (s *Store) refuseQueue() {
	for {
		select {
		case t := <-s.queue:
			s.refuse(t)
		default:
			return
		}
	}
}

func (s *Store) refuse(t *Tx) {
	t.err = ErrUnavailable
	s.finish(t, time.Now())
}

// openOnce opens an engine behind a new fence and reports what was recovered.
func (s *Store) openOnce() (*engine, error) {
	f := newFence(s.fs)
	f.noFsync = s.cfg.Durability == DurabilityUnsafeNoFsync
	f.onFall = s.failed
	f.onSync = s.metrics.synced
	r := newReplay(s.fs, s.cfg.Dir, !f.noFsync)
	f.onReplay = r.file
	e, err := openEngine(f, s.cfg)
	if err != nil {
		return nil, err
	}
	s.outbox.load(e.kept)
	s.retention.load(e.kept)
	s.notices.load(e.kept.notices)
	rec := r.done()
	s.recovery.Store(&rec)
	s.metrics.recovered(rec)
	rec.report(s.log)
	return e, nil
}

// failed is called by the fence before it falls, on whatever goroutine did the failed operation.
func (s *Store) failed(cause error) {
	s.generation.Add(1)
	s.metrics.failures.WithLabelValues(reason(cause)).Inc()
	s.log.Error("sink: the store has failed; nothing more is accepted until it could be opened again", "cause", cause, "generation", s.Generation())
}

// reason puts a failure into one of a few classes, for the metric.
func reason(cause error) string {
	switch {
	case errors.Is(cause, unix.ENOSPC), errors.Is(cause, unix.EDQUOT):
		return "no_space"
	case errors.Is(cause, unix.EIO):
		return "io"
	case errors.Is(cause, errExited):
		return "engine"
	default:
		return "other"
	}
}

// explain adds the remedy to an error of opening.
func explain(dir string, err error) error {
	switch {
	case pebble.IsCorruptionError(err), errors.Is(err, errDamagedJournal):
		return fmt.Errorf("sink: the store in %s is damaged, and starting would lose acknowledged messages: %w: restore the directory from a backup, or move it away to start empty", dir, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("sink: no space for the store in %s: %w: free some, it needs about twice its journal to start", dir, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS), errors.Is(err, unix.EPERM):
		return fmt.Errorf("sink: the store in %s cannot be written: %w: give the directory to the server's user", dir, err)
	default:
		return fmt.Errorf("sink: cannot open the store in %s: %w", dir, err)
	}
}

func errPanic(p any) error { return fmt.Errorf("%w: panic: %v", errExited, p) }

var _ vfs.File = blackHole{}
