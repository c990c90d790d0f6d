package sink

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// TestRewriteOverFailure lets the store fail and come back between the reading of a step and its commit. What was read may not have been durable,
// so nothing of it may be written.
func TestRewriteOverFailure(t *testing.T) {
	s := openTest(t, func(c *Config) { c.Outbox = true })
	if err := s.upkeep(context.Background(), func(tx *Tx) { tx.Messages([16]byte{1}, 1, 1, []byte{0x90}) }, nil); err != nil {
		t.Fatal(err)
	}
	fail := true
	w := rewriting{
		change: func(dst []byte, r messageRecord) ([]byte, int, error) { return append(dst, r.frames...), 1, nil },
		note: func(*Tx, []byte) {
			if old := s.engine.Load(); fail {
				old.fence.fall(errors.New("test"))
				reopened(t, s, old)
			}
		},
	}
	before := s.outbox.Backlog().Rows
	if err := s.rewriteStep(context.Background(), &w, new(rewriteStep), []byte{keyMessages}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the step ended with %v", err)
	}
	if rows := s.outbox.Backlog().Rows; rows != before {
		t.Errorf("%d messages were put again", rows-before)
	}
	fail = false
	if err := s.rewriteStep(context.Background(), &w, new(rewriteStep), []byte{keyMessages}); err != nil {
		t.Error("without a failure:", err)
	}
	if rows := s.outbox.Backlog().Rows; rows != before+1 {
		t.Errorf("without a failure %d messages were put again", rows-before)
	}
}

// TestPruneOverFailure is the same for the pruner: the record behind the one that it is to delete may have been taken back, and that one be the last again.
func TestPruneOverFailure(t *testing.T) {
	s := openTest(t, func(c *Config) { c.RetentionBytes, c.pruneInterval = 1, time.Hour })
	conv := frame.ID{1}
	for seq := uint64(1); seq <= 2; seq++ {
		if err := s.upkeep(context.Background(), func(tx *Tx) { tx.Messages(conv, seq, seq, []byte{0x90}) }, nil); err != nil {
			t.Fatal(err)
		}
	}
	d, err := s.retention.due(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.collect(s, conv, 0); err != nil || len(d.keys) != messagesKeyLen {
		t.Fatalf("%d bytes of keys, %v", len(d.keys), err)
	}
	old := s.engine.Load()
	old.fence.fall(errors.New("test"))
	reopened(t, s, old)
	if err := d.commit(context.Background(), s, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the step ended with %v", err)
	}
}
