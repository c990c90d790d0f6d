package sink

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/switchyard-im/switchyard/frame"
)

// RewriteStates goes through the state records of all conversations and lets replace change them: it returns the record to put in place, or false to
// leave it as it is; the record expires, and an error ends it. Open tells that the conversation is not closed; its record must be left, since a shard
// writes it too. Of a closed one a shard writes nothing but marks; those that come in the very moment of a change may be lost, as with a crash.
//
// It tells how many records it changed, and paces and ends as Rewrite does.
func (s *Store) RewriteStates(ctx context.Context, replace func(conv frame.ID, state []byte, open bool) (to []byte, ok bool, err error)) (changed int, err error) {
	for next := []byte{keyState}; next != nil; {
		began := time.Now()
		step := stateStep{replace: replace}
		err := s.stateStep(ctx, &step, next)
		pause := time.Since(began)
		switch {
		case errors.Is(err, ErrUnavailable) && !s.isClosing():
			pause = max(pause, s.cfg.ReopenMin)
		case err != nil:
			return changed, err
		default:
			next = step.next
			changed += len(step.keys)
		}
		if !sleep(ctx, pause) {
			return changed, ctx.Err()
		}
	}
	return changed, nil
}

// stateStep is what RewriteStates puts at once.
type stateStep struct {
	replace       func(conv frame.ID, state []byte, open bool) ([]byte, bool, error)
	keys, records [][]byte
	next          []byte // where the next step begins; nil: this is the last
}

// stateStep has the generation from before it read, as rewriteStep.
func (s *Store) stateStep(ctx context.Context, step *stateStep, from []byte) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	generation := s.Generation()
	err := s.read(func(db *pebble.DB) error {
		return scan(db, []byte{keyState}, func(it *pebble.Iterator) error { return step.read(db, it, from) })
	})
	if err != nil || len(step.keys) == 0 {
		return err
	}
	return s.upkeep(ctx, func(t *Tx) {
		t.generation = generation
		for i, key := range step.keys {
			t.set(key, step.records[i])
		}
	}, nil)
}

func (step *stateStep) read(db *pebble.DB, it *pebble.Iterator, from []byte) error {
	n := 0
	for ok := it.SeekGE(from); ok; ok = it.Next() {
		if n++; n > rewriteRecords {
			step.next = bytes.Clone(it.Key())
			return nil
		}
		if err := step.take(db, it); err != nil {
			return err
		}
	}
	return nil
}

func (step *stateStep) take(db *pebble.DB, it *pebble.Iterator) error {
	state, err := it.ValueAndErr()
	if err != nil {
		return err
	}
	if len(it.Key()) != convKeyLen {
		return errDamaged
	}
	conv := frame.ID(it.Key()[1:])
	_, open, err := get(db, appendConvKey(nil, keyOpen, conv))
	if err != nil {
		return err
	}
	to, ok, err := step.replace(conv, state, open)
	if ok && err == nil {
		step.keys = append(step.keys, bytes.Clone(it.Key()))
		step.records = append(step.records, to)
	}
	return err
}
