package sink

import (
	"context"
	"errors"
	"testing"
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
