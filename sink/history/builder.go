package history

import (
	"context"
	"time"
)

// builder makes batches of what the feed has, in order, one ahead of the insert. Owned by its goroutine.
type builder struct {
	cfg  *Config
	feed Feed
	next uint64 // the first entry that is in no batch yet
}

// run fills empty batches and hands them on, the frozen range first, until ctx ends or the feed fails. It closes full when it returns.
func (b *builder) run(ctx context.Context, empty <-chan *batch, full chan<- *batch) error {
	defer close(full)
	frozen, again, err := b.feed.Frozen()
	for {
		if err != nil {
			return err
		}
		var bt *batch
		select {
		case bt = <-empty:
		case <-ctx.Done():
			return nil
		}
		bt.reset(b.feed.Source())
		if again {
			again = false
			err = b.refill(bt, frozen)
		} else {
			err = b.fill(ctx, bt)
		}
		if err != nil {
			continue
		}
		bt.finish()
		select {
		case full <- bt:
		case <-ctx.Done():
			return nil
		}
	}
}

// refill reads just the entries that were frozen.
func (b *builder) refill(bt *batch, frozen Range) error {
	err := b.feed.Read(frozen.First, func(e Entry) bool {
		if e.Number <= frozen.Last {
			bt.add(e)
		}
		return e.Number < frozen.Last
	})
	bt.span, bt.frozen = frozen, true
	b.next = frozen.Last + 1
	return err
}

// fill reads entries until the batch is full, or its oldest entry has waited for as long as it may. It ends with an empty batch never.
func (b *builder) fill(ctx context.Context, bt *batch) error {
	for rows := 0; ; {
		full, err := b.read(bt, &rows)
		if err != nil || full {
			return err
		}
		if bt.empty() {
			err = b.feed.Wait(ctx, max(b.next, 1)-1)
		} else if wait := b.cfg.BatchDelay - bt.age(time.Now()); wait > 0 {
			// The feed is not waited for, because it wakes with each commit: at most 16 looks in a delay.
			err = sleep(ctx, min(wait, max(b.cfg.BatchDelay/16, time.Millisecond)))
		} else {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// read takes what fits, and tells whether more would not.
func (b *builder) read(bt *batch, rows *int) (full bool, err error) {
	err = b.feed.Read(b.next, func(e Entry) bool {
		if bt.full(b.cfg, *rows, len(bt.frames), e.Rows, len(e.Frames)) {
			full = true
			return false
		}
		bt.add(e)
		*rows += e.Rows
		b.next = e.Number + 1
		return true
	})
	return full || *rows >= b.cfg.BatchRows || len(bt.frames) >= b.cfg.BatchBytes, err
}

// sleep waits, at most until ctx ends, and then returns its error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
