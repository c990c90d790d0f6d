package history_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/history"
)

// memoryFeed is an outbox in memory. It outlives the shippers of a test, as the real one outlives the process.
type memoryFeed struct {
	mu      sync.Mutex
	entries []history.Entry // guarded by mu, as all below; those that are not shipped
	last    uint64
	frozen  *history.Range
	wake    chan struct{}
	freezes []history.Range
	fail    error // what the next Freeze ends with
}

func (f *memoryFeed) Source() string { return "0123456789abcdef" }

// put adds an entry with these messages.
func (f *memoryFeed) put(messages ...frame.Message) {
	var frames []byte
	for i := range messages {
		frames = messages[i].Append(frames)
	}
	f.putEntry(history.Entry{Rows: len(messages), Frames: frames})
}

func (f *memoryFeed) putEntry(e history.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	e.Number, e.TimeMS = f.last, uint64(time.Now().UnixMilli())
	f.entries = append(f.entries, e)
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

func (f *memoryFeed) Frozen() (history.Range, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen == nil {
		return history.Range{}, false, nil
	}
	return *f.frozen, true, nil
}

func (f *memoryFeed) Read(from uint64, fn func(history.Entry) bool) error {
	f.mu.Lock()
	entries := f.entries
	f.mu.Unlock()
	for _, e := range entries {
		if e.Number >= from && !fn(e) {
			return nil
		}
	}
	return nil
}

func (f *memoryFeed) Freeze(_ context.Context, r history.Range) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail; err != nil {
		f.fail = nil
		return err
	}
	if f.frozen != nil && *f.frozen != r {
		return errors.New("memory feed: another range is frozen")
	}
	f.frozen = &r
	f.freezes = append(f.freezes, r)
	return nil
}

func (f *memoryFeed) Shipped(_ context.Context, r history.Range) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen == nil || *f.frozen != r {
		return errors.New("memory feed: shipped what was not frozen")
	}
	for len(f.entries) > 0 && f.entries[0].Number <= r.Last {
		f.entries = f.entries[1:]
	}
	f.frozen = nil
	return nil
}

func (f *memoryFeed) Wait(ctx context.Context, after uint64) error {
	f.mu.Lock()
	if n := len(f.entries); n > 0 && f.entries[n-1].Number > after {
		f.mu.Unlock()
		return nil
	}
	if f.wake == nil {
		f.wake = make(chan struct{})
	}
	wake := f.wake
	f.mu.Unlock()
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *memoryFeed) Backlog() history.Backlog {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b history.Backlog
	for _, e := range f.entries {
		b.Rows += uint64(e.Rows)
		b.Bytes += uint64(len(e.Frames))
	}
	if len(f.entries) > 0 {
		b.OldestMS = f.entries[0].TimeMS
	}
	return b
}

// run runs a shipper until the test ends or stop is called.
func run(t testing.TB, c *history.Client, feed history.Feed) (s *history.Shipper, stop func()) {
	t.Helper()
	s, err := history.NewShipper(c, feed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // until stop, which waits
		defer close(done)
		s.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return s, stop
}

// eventually waits until ok says so, for as long as the machine may need.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 30 s: " + what)
		}
	}
}

// shipped waits until the feed has nothing more to ship.
func shipped(t testing.TB, feed history.Feed) {
	t.Helper()
	eventually(t, "everything is shipped", func() bool { return feed.Backlog() == history.Backlog{} })
}
