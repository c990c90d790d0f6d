package history

import (
	"context"
	"errors"
	"time"

	"github.com/switchyard-im/switchyard/bench/api"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/oracle"
)

// web is one reader by the HTTP interface. Owned by its goroutine.
type web struct {
	cfg    *Config
	shelf  *shelf
	api    *api.Client
	books  []book
	number int
}

// book is a conversation to read, and the token to do it with.
type book struct {
	author *crowd.Author
	token  string
}

// read walks through one conversation after the other until the shelf is closed. The error is an answer that no retry changes, or ctx's.
func (w *web) read(ctx context.Context) error {
	for n := w.number; ; n++ {
		b := &w.books[n%len(w.books)]
		var ledger oracle.Ledger
		walk := b.author.Judge(&ledger, w.cfg.Again == 0, !w.cfg.Forwards)
		whole, err := w.walk(ctx, b, walk)
		w.shelf.walked(&ledger, whole)
		if err != nil || !whole && w.shelf.over() {
			return err
		}
	}
}

// walk reads one conversation; whole is false if it was broken off.
func (w *web) walk(ctx context.Context, b *book, walk *oracle.Walk) (whole bool, err error) {
	for {
		due, ok := w.shelf.due()
		if !ok {
			return false, nil
		}
		if err := w.sleep(ctx, due-client.Now()); err != nil || due > client.Now() {
			return false, err
		}
		w.shelf.asks(due, client.Now())
		page, came, err := w.page(ctx, b, walk.At())
		if errors.Is(err, errOver) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		w.shelf.read(due, came, len(page.Messages), page.PartialFrom != 0)
		if page.PartialFrom != 0 {
			return false, nil // the rest cannot be read now
		}
		if !walk.Page(page.Messages, page.More) {
			return true, nil
		}
	}
}

// again is how long a reader waits after an answer that names no time.
const again = 100 * time.Millisecond

// errOver is the end of the run before a page that was refused for now could be asked for again.
var errOver = errors.New("history: the run is over")

// page gets one page, however often the server says that it has no time for it, or until the run is over. Came is when it had arrived: reading it is the
// generator's work.
func (w *web) page(ctx context.Context, b *book, at uint64) (page *api.Page, came int64, err error) {
	get := w.api.Before
	if w.cfg.Forwards {
		get = w.api.After
	}
	for {
		asked := client.Now()
		page, err = get(ctx, b.token, b.author.Conv, at, w.cfg.Page)
		if err == nil {
			return page, asked + int64(page.Took), nil
		}
		answer := (*api.Error)(nil)
		refused := errors.As(err, &answer)
		if ctx.Err() != nil || !api.Temporary(err) || !refused && w.shelf.over() {
			return nil, 0, err
		}
		w.shelf.refused()
		wait := again
		if refused {
			wait = max(wait, answer.RetryAfter)
		}
		if err := w.sleep(ctx, int64(wait)); err != nil {
			return nil, 0, err
		}
		if refused && w.shelf.over() {
			return nil, 0, errOver
		}
	}
}

// sleep waits so many nanoseconds, or until ctx or the run ends; the error is ctx's.
func (w *web) sleep(ctx context.Context, ns int64) error {
	if ns <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(time.Duration(ns))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.shelf.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
