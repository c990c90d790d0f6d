package sink

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// What the store notes of each commit, as bits: the record recordNoted has those that all its messages have, or had before they were shipped or
// deleted. Messages that were stored before an outbox or a retention was configured lack them; a backfill puts them again.
const (
	notedOutbox = 1
	notedAging  = 2
)

func (c *Config) notes() (bits byte) {
	if c.Outbox {
		bits |= notedOutbox
	}
	if c.Retention > 0 || c.RetentionBytes > 0 {
		bits |= notedAging
	}
	return bits
}

// prepareBackfill compares what is noted with what shall be. It finds where a backfill has to begin, if there is one to do.
func (k *kept) prepareBackfill(db *pebble.DB, cfg Config) error {
	want := cfg.notes()
	value, known, err := get(db, recordNoted)
	if err != nil || !known && want == 0 {
		return err
	}
	has := byte(0)
	switch {
	case known && len(value) != 1:
		return errDamaged
	case known:
		has = value[0]
	default:
		empty, err := isEmpty(db, keyMessages)
		if err != nil {
			return err
		}
		if empty {
			has = want
		}
	}
	if has&notedOutbox&^want != 0 {
		cfg.Logger.Warn("sink: the outbox is off; what is stored from now on, and what still waits in it, is put into the history when it is on again")
	}
	if has &= want; !known || has != value[0] { // what is configured no more is noted no more
		if err := db.Set(recordNoted, []byte{has}, pebble.Sync); err != nil {
			return err
		}
	}
	return k.resumeBackfill(db, has, want)
}

// resumeBackfill finds where a backfill goes on. One that was begun for another configuration is forgotten: what was stored since then lacks what is
// to be noted, also where that backfill has been.
func (k *kept) resumeBackfill(db *pebble.DB, has, want byte) error {
	progress, known, err := get(db, recordBackfill)
	if err != nil {
		return err
	}
	if has != want {
		k.backfill = []byte{keyMessages}
	}
	switch {
	case !known:
		return nil
	case has != want && len(progress) > 0 && progress[0] == want:
		k.backfill = append(k.backfill, progress[1:]...)
		return nil
	}
	return db.Delete(recordBackfill, pebble.Sync)
}

// forgetAges drops all aging entries, as the backfill that begins notes everything anew: else it would count twice.
func (k *kept) forgetAges(db *pebble.DB) error {
	b := db.NewBatch()
	defer b.Close()
	k.pruned = k.aged
	return errors.Join(
		b.DeleteRange([]byte{keyAging}, []byte{keyAging + 1}, nil),
		b.Set(recordPruned, appendAge(nil, k.pruned), nil),
		b.Commit(pebble.Sync),
	)
}

func isEmpty(db *pebble.DB, kind byte) (empty bool, err error) {
	err = scan(db, []byte{kind}, func(it *pebble.Iterator) error {
		empty = !it.First()
		return nil
	})
	return empty, err
}

// backfill puts all messages again, so that the outbox and the retention get to know them; it goes on where it was when the store was closed. It takes
// at most half of the outbox and half of the time. Messages that came meanwhile are put twice; whoever takes them in tells by conversation
// and sequence. It runs on a goroutine of its own until it is done (true) or ctx ends.
func (s *Store) backfill(ctx context.Context, from []byte) (done bool) {
	s.log.Info("sink: messages that were stored before are put into the outbox, or noted for the retention", "outbox", s.outbox != nil, "retention", s.retention != nil)
	n, err := s.rewrite(ctx, rewriting{
		from: from,
		change: func(dst []byte, r messageRecord) ([]byte, int, error) {
			return append(dst, r.frames...), r.count(), nil
		},
		note: func(t *Tx, next []byte) { noteBackfill(t, next, s.cfg.notes()) },
		wait: s.waitForHalf,
	})
	switch {
	case err == nil:
		s.log.Info("sink: all messages that were stored before are in the outbox, or noted for the retention", "messages", n)
	case ctx.Err() == nil && !errors.Is(err, ErrUnavailable):
		s.log.Error("sink: messages that were stored before cannot be put into the outbox or noted for the retention; nothing will be deleted", "error", err)
	}
	return err == nil
}

// noteBackfill notes how far a backfill has come, and what it is for.
func noteBackfill(t *Tx, next []byte, all byte) {
	if next != nil {
		t.set(recordBackfill, append([]byte{all}, next[1:]...))
		return
	}
	t.delete(recordBackfill)
	t.set(recordNoted, []byte{all})
}

// waitForHalf waits while more than half of the outbox is full.
func (s *Store) waitForHalf(ctx context.Context) error {
	for s.outbox != nil && s.outbox.Backlog().Bytes > s.outbox.cap.max/2 {
		if !sleep(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}
