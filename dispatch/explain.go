package dispatch

import (
	"context"
	"errors"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// question is one that the desk answers between two batches of events. Whoever asks waits, so there are never more than those who may ask.
type question struct {
	conv   frame.ID
	answer chan explained // capacity 1: the desk never waits
}

type explained struct {
	decisions []desk.Decision
	open      bool
}

var errStopped = errors.New("dispatch: the center is stopping")

// Explain tells why an open conversation has its agent, or waits: its latest assignments, and for one that waits what the desk sees now; false if it
// is not open. Any goroutine; it waits for the desk, at most until ctx ends.
func (c *Center) Explain(ctx context.Context, conv frame.ID) ([]desk.Decision, bool, error) {
	q := question{conv, make(chan explained, 1)}
	c.desk.questions.put(q)
	select {
	case e := <-q.answer:
		return e.decisions, e.open, nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-c.quit:
		return nil, false, errStopped
	}
}

func (d *deskRunner) answer(q question) {
	decisions, open := d.desk.Explain(q.conv)
	q.answer <- explained{decisions, open}
}
