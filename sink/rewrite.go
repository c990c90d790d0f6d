package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/switchyard-im/switchyard/frame"
)

// rewriteRecords and rewriteBytes bound how many records a step of a rewriting looks at, and how much it writes.
const (
	rewriteRecords = 1024
	rewriteBytes   = 1 << 20
)

// Rewrite goes through all messages and lets replace change them: it returns the message to put in place of m, with the same conversation, sequence
// and predecessor, or false to leave m as it is; m borrows and expires. With an outbox the record in which a message is changed goes
// into it again, so that the history gets the change as well, under a higher number.
//
// It tells how many messages it changed. Messages that are stored while it runs may or may not be seen. While the store is unavailable it waits;
// it rests as long as it works; it can be ended by ctx, and begun again. The bytes of what was replaced leave the disk with the next compactions.
func (s *Store) Rewrite(ctx context.Context, replace func(m *frame.Message) (replacement frame.Message, ok bool)) (changed int, err error) {
	return s.rewrite(ctx, rewriting{from: []byte{keyMessages}, change: func(dst []byte, r messageRecord) ([]byte, int, error) {
		return replaceIn(dst, r, replace)
	}})
}

// replaceIn appends the messages of a record, changed where replace says so.
func replaceIn(dst []byte, r messageRecord, replace func(*frame.Message) (frame.Message, bool)) (frames []byte, changed int, err error) {
	for r.first <= r.last {
		f, err := r.next()
		if err != nil {
			return dst, 0, err
		}
		var m frame.Message
		if err := m.Parse(f); err != nil {
			return dst, 0, fmt.Errorf("%w: %w", errDamaged, err)
		}
		to, ok := replace(&m)
		if !ok {
			dst = append(dst, f...)
			continue
		}
		if to.Conv != m.Conv || to.Seq != m.Seq || to.Prev != m.Prev {
			panic(fmt.Sprintf("BUG: sink: message %d of %x is replaced by %d of %x", m.Seq, m.Conv, to.Seq, to.Conv))
		}
		dst = to.Append(dst)
		changed++
	}
	return dst, changed, nil
}

// rewriting puts records again that are already stored.
type rewriting struct {
	from []byte // the key to begin with
	// change appends the frames to put in place of the record's, which expire, and tells how many messages differ; 0 leaves it as it is.
	change func(dst []byte, r messageRecord) (frames []byte, changed int, err error)
	// note, if there is one, adds to the transaction of each step how far it has come; next is nil at the end.
	note func(t *Tx, next []byte)
	// wait, if there is one, is called before each step.
	wait func(context.Context) error
}

// rewriteStep is what a rewriting puts at once.
type rewriteStep struct {
	next    []byte // where the next step begins; nil: this is the last
	records []messageRecord
	convs   []frame.ID
	ends    []int // of the frames of each record in frames
	frames  []byte
	changed int // messages
}

// rewrite works off a rewriting, step by step.
func (s *Store) rewrite(ctx context.Context, w rewriting) (changed int, err error) {
	var step rewriteStep
	for next := w.from; next != nil; {
		if w.wait != nil {
			if err := w.wait(ctx); err != nil {
				return changed, err
			}
		}
		began := time.Now()
		err := s.rewriteStep(ctx, &w, &step, next)
		pause := time.Since(began)
		switch {
		case errors.Is(err, ErrUnavailable) && !s.isClosing():
			pause = max(pause, s.cfg.ReopenMin)
		case err != nil:
			return changed, err
		default:
			next = step.next
			changed += step.changed
		}
		if !sleep(ctx, pause) {
			return changed, ctx.Err()
		}
	}
	return changed, nil
}

func (s *Store) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// rewriteStep reads some records and puts what becomes of them. Its generation is that from before it read: a record that was not yet
// durable, and that a failure took back, must not come again. Nobody else changes stored messages meanwhile.
func (s *Store) rewriteStep(ctx context.Context, w *rewriting, step *rewriteStep, from []byte) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	generation := s.Generation()
	if err := step.read(s, w, from); err != nil {
		return err
	}
	if len(step.records) == 0 && w.note == nil {
		return nil
	}
	return s.upkeep(ctx, func(t *Tx) {
		t.generation = generation
		start := 0
		for i, r := range step.records {
			t.Messages(step.convs[i], r.first, r.last, step.frames[start:step.ends[i]])
			start = step.ends[i]
		}
		if w.note != nil {
			w.note(t, step.next)
		}
	}, nil)
}

func (step *rewriteStep) read(s *Store, w *rewriting, from []byte) error {
	*step = rewriteStep{records: step.records[:0], convs: step.convs[:0], ends: step.ends[:0], frames: step.frames[:0]}
	return s.read(func(db *pebble.DB) error {
		return scan(db, []byte{keyMessages}, func(it *pebble.Iterator) error {
			n := 0
			for ok := it.SeekGE(from); ok; ok = it.Next() {
				if n++; n > rewriteRecords || len(step.frames) >= rewriteBytes {
					step.next = bytes.Clone(it.Key())
					return nil
				}
				if err := step.take(it, w); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (step *rewriteStep) take(it *pebble.Iterator, w *rewriting) error {
	r, err := currentRecord(it)
	if err != nil {
		return err
	}
	frames, changed, err := w.change(step.frames, r)
	if err != nil || changed == 0 {
		return err // what was appended is dropped
	}
	step.frames = frames
	step.changed += changed
	r.frames = nil // they expire
	step.records = append(step.records, r)
	step.convs = append(step.convs, frame.ID(it.Key()[1:convKeyLen]))
	step.ends = append(step.ends, len(frames))
	return nil
}
