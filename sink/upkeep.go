package sink

import (
	"context"
	"encoding/binary"
	"time"
)

// upkeepUntilClosed does what the store has to do beside the message path: first the backfill, if there is one to do, then the pruning, because what is not
// noted yet may not be shipped yet.
func (s *Store) upkeepUntilClosed(backfill []byte) {
	if backfill == nil && s.retention == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // until closing, which always comes
		<-s.closing
		cancel()
	}()
	if backfill != nil && !s.backfill(ctx, backfill) {
		return
	}
	if s.retention != nil {
		s.retention.run(ctx)
	}
}

// upkeep commits a change that the store makes to its own records, in line with all others, and waits until it is durable or ctx ends; with
// the latter it may still come about. durable, which may be nil, is called on the completion goroutine when it has.
func (s *Store) upkeep(ctx context.Context, fill func(*Tx), durable func()) error {
	t := s.Begin(0)
	t.upkeep = true
	fill(t)
	done := upkeepDone{durable: durable, ended: make(chan error, 1)}
	t.Commit(done)
	select {
	case err := <-done.ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Durable returns when all that was read before the call is durable: a read may see a commit whose sync is still under way. Generation is the store's from
// before the read; if there was an interruption since, nobody knows, and it is ErrUnavailable. It costs no sync, and it is answered also while
// nothing is accepted because there is too little space or the outbox is full.
func (s *Store) Durable(ctx context.Context, generation uint64) error {
	return s.upkeep(ctx, func(t *Tx) { t.generation = generation }, nil)
}

// upkeepDone is the completion of an upkeep.
type upkeepDone struct {
	durable func()
	ended   chan error
}

func (d upkeepDone) Committed(err error) {
	if err == nil && d.durable != nil {
		d.durable()
	}
	d.ended <- err
}

// set, delete and deleteRange change single keys; deleteRange deletes from <= key < to.
func (t *Tx) set(key, value []byte) { t.change(opSet, key, value) }

func (t *Tx) deleteRange(from, to []byte) { t.change(opDeleteRange, from, to) }

func (t *Tx) delete(key []byte) {
	t.mark(false, len(key))
	t.ops = append(t.ops, key...)
}

func (t *Tx) change(kind byte, key, value []byte) {
	t.ops = append(t.ops, kind)
	t.ops = binary.AppendUvarint(t.ops, uint64(len(key)))
	t.ops = append(t.ops, key...)
	t.ops = binary.AppendUvarint(t.ops, uint64(len(value)))
	t.ops = append(t.ops, value...)
	t.count++
}

// sleep waits for d and tells whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
