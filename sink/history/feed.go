package history

import "context"

// Feed is where the rows come from: the store's outbox. The methods are its own; see there.
type Feed interface {
	Source() string
	Frozen() (r Range, ok bool, err error)
	Read(from uint64, fn func(Entry) (more bool)) error
	Freeze(ctx context.Context, r Range) error
	Shipped(ctx context.Context, r Range) error
	Wait(ctx context.Context, after uint64) error
	Backlog() Backlog
}
