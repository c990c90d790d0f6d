package history

import (
	"context"

	"github.com/switchyard-im/switchyard/sink"
)

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

// What a Feed is made of; see package sink.
type (
	Range   = sink.Range
	Entry   = sink.Entry
	Backlog = sink.Backlog
)
