package dispatch

import (
	"context"
	"fmt"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// question is one that the desk answers between two batches of events. Whoever asks waits, so there are never more than those who may ask.
type question struct {
	ask      func(*desk.Desk) // on the desk's goroutine
	answered chan struct{}    // capacity 1: the desk never waits
}

var errStopped = fmt.Errorf("%w: the center is stopping", ErrUnavailable)

// Explain tells why an open conversation has its agent, or waits: its latest assignments, and for one that waits what the desk sees now; false if it
// is not open. Any goroutine; it waits for the desk, at most until ctx ends.
func (c *Center) Explain(ctx context.Context, conv frame.ID) ([]desk.Decision, bool, error) {
	var decisions []desk.Decision
	var open bool
	if err := c.ask(ctx, func(d *desk.Desk) { decisions, open = d.Explain(conv) }); err != nil {
		return nil, false, err
	}
	return decisions, open, nil
}

// Agents returns the agents of a group, by name. Any goroutine; it waits for the desk, at most until ctx ends.
func (c *Center) Agents(ctx context.Context, group string) ([]desk.AgentState, error) {
	var answer []desk.AgentState
	if err := c.ask(ctx, func(d *desk.Desk) { answer = d.Agents(group) }); err != nil {
		return nil, err
	}
	return answer, nil
}

// Queue returns the first of those who wait in a group. Any goroutine; it waits for the desk, at most until ctx ends.
func (c *Center) Queue(ctx context.Context, group string, limit int) (desk.Snapshot, error) {
	var answer desk.Snapshot
	if err := c.ask(ctx, func(d *desk.Desk) { answer = d.Snapshot(group, limit) }); err != nil {
		return desk.Snapshot{}, err
	}
	return answer, nil
}

// ask has a question answered. After an error the question may still be asked, so what it writes must not be read.
func (c *Center) ask(ctx context.Context, what func(*desk.Desk)) error {
	q := question{what, make(chan struct{}, 1)}
	c.desk.questions.put(q)
	select {
	case <-q.answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.quit:
		return errStopped
	}
}

func (d *deskRunner) answer(q question) {
	q.ask(d.desk)
	q.answered <- struct{}{}
}
