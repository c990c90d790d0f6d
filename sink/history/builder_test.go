package history

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/sink"
)

// countedReads is a feed that counts how often it is read.
type countedReads struct {
	*sink.Outbox
	n atomic.Int64
}

func (c *countedReads) Read(from uint64, fn func(Entry) bool) error {
	c.n.Add(1)
	return c.Outbox.Read(from, fn)
}

// ended is told how something ended.
type ended chan error

func (e ended) Committed(err error) { e <- err }

// TestBuilderRests: a builder that begins when all is shipped, as after a restart, waits for the next entry instead of looking for it all the time, and ends when it
// is told to.
func TestBuilderRests(t *testing.T) {
	store, err := sink.Open(sink.Config{Dir: t.TempDir(), Outbox: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(t.Context())
	m, done := testMessage(1, 1, "hello"), make(ended, 1)
	tx := store.Begin(store.Generation())
	tx.Messages(m.Conv, m.Seq, m.Seq, m.Append(nil))
	tx.Commit(done)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	feed := &countedReads{Outbox: store.Outbox()}
	var all Range
	if err := feed.Read(0, func(e Entry) bool { all = Range{First: e.Number, Last: e.Number}; return true }); err != nil {
		t.Fatal(err)
	}
	if err := feed.Freeze(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if err := feed.Shipped(t.Context(), all); err != nil {
		t.Fatal(err)
	}

	cfg := Config{}.withDefaults()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	empty, full := make(chan *batch, 1), make(chan *batch)
	empty <- new(batch)
	feed.n.Store(0)
	go func() { done <- (&builder{cfg: &cfg, feed: feed}).run(ctx, empty, full) }() // until ctx ends; awaited below
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	if n := feed.n.Load(); n > 2 {
		t.Errorf("it looked %d times for an entry that is not there", n)
	}
}
