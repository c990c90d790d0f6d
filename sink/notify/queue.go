package notify

import (
	"context"

	"github.com/switchyard-im/switchyard/sink"
)

// Queue is where notifications wait: the store's. The methods are its own; see there.
type Queue interface {
	Signal(lane string) <-chan struct{}
	Waiting(lane string) sink.Waiting
	Lanes() []string
	Put(ctx context.Context, lane string, notices ...sink.Notice) error
	Read(lane string, after uint64, fn func(sink.Notice) (more bool)) error
	Body(dst []byte, lane string, number uint64) (body []byte, ok bool, err error)
	Settle(ctx context.Context, lane string, settlements []sink.Settlement) error
}
