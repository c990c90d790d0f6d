package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Shipper moves what the feed has to ClickHouse, in order, one insert at a time. Run does the work; Status may be called meanwhile
// from any goroutine.
type Shipper struct {
	// Fixed after construction.
	cfg      Config
	client   *Client
	feed     Feed
	inserter inserter
	dead     deadFile
	metrics  *metrics

	condition condition

	// Owned by Run.
	paced    time.Time // when the rows shipped so far may have taken until
	rejected int       // rows in a row, without an insert that went well
}

// rejectedInARow is how many rows, without one between them that ClickHouse takes, are believed to be at fault. After them it is the table.
const rejectedInARow = 100

// NewShipper makes a shipper from a feed to the client's ClickHouse, with the client's configuration. There may be one for a feed. It must be run.
func NewShipper(client *Client, feed Feed) (*Shipper, error) {
	s := &Shipper{cfg: client.cfg, client: client, feed: feed, dead: deadFile{Path: client.cfg.DeadLetters}}
	if s.cfg.DeadLetters == "" {
		return nil, errors.New("history: DeadLetters is empty: name the file for rows that ClickHouse does not want")
	}
	if info, err := os.Stat(filepath.Dir(s.cfg.DeadLetters)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("history: the directory of the dead letters, %s, is not there: create it", filepath.Dir(s.cfg.DeadLetters))
	}
	s.inserter = inserter{
		writer: &writer{conn: client.write, database: s.cfg.Database, timeout: s.cfg.InsertTimeout},
		try:    s.attempt,
		reject: s.reject,
	}
	var err error
	if s.metrics, err = newMetrics(s); err != nil {
		return nil, err
	}
	return s, nil
}

// Run ships until ctx ends. What is under way then is shipped again by the next Run. Nothing but the end of ctx ends it: whatever goes wrong is
// tried again, and told in the log, the metrics and the Status.
func (s *Shipper) Run(ctx context.Context) {
	defer s.metrics.unregister()
	if s.retryBlameless(ctx, s.prepare) != nil {
		return
	}
	for failed := 1; ctx.Err() == nil; failed++ {
		if s.session(ctx) {
			failed = 1
		}
		_ = sleep(ctx, s.cfg.backoff(failed)) // its error ends the loop
	}
}

// prepare brings the tables into place, or waits until somebody else has.
func (s *Shipper) prepare(ctx context.Context) error {
	if s.cfg.Migrate {
		return s.client.Migrate(ctx)
	}
	return s.client.CheckSchema(ctx)
}

// session ships until ctx ends or the feed fails, which it does while the store is opened again: what is frozen must be asked for anew then. It
// tells whether anything was shipped.
func (s *Shipper) session(ctx context.Context) (progress bool) {
	ctx, cancel := context.WithCancel(ctx)
	empty, full := make(chan *batch, 2), make(chan *batch)
	empty <- new(batch)
	empty <- new(batch)

	var built error
	var wait sync.WaitGroup
	wait.Go(func() { built = (&builder{cfg: &s.cfg, feed: s.feed}).run(ctx, empty, full) }) // until ctx ends; waited for below
	var err error
	for b := range full {
		if err = s.ship(ctx, b); err != nil {
			break
		}
		progress = true
		empty <- b
	}
	cancel()
	wait.Wait()
	if err := errors.Join(err, built); err != nil && !errors.Is(err, context.Canceled) {
		s.cfg.Logger.Warn("history: the outbox cannot be read or written at present", "cause", err)
	}
	return progress
}

// ship makes one batch history. It ends with an error only if the feed fails or ctx ends.
func (s *Shipper) ship(ctx context.Context, b *batch) error {
	if !b.frozen {
		if err := s.feed.Freeze(ctx, b.span); err != nil {
			return err
		}
	}
	if err := s.insert(ctx, b); err != nil {
		return err
	}
	if err := s.feed.Shipped(ctx, b.span); err != nil {
		return err
	}
	s.metrics.batches.Inc()
	s.countShipped(len(b.rows))
	return s.pace(ctx, len(b.rows))
}

func (s *Shipper) insert(ctx context.Context, b *batch) error {
	if err := s.bury(ctx, b.dead...); err != nil {
		return err
	}
	s.inserter.again = b.frozen
	if err := s.inserter.insertFilled(ctx, &b.messageColumns, b.rows, b.token); err != nil {
		return err
	}
	if err := s.inserter.insertFilled(ctx, &b.eventColumns, b.events, b.token); err != nil {
		return err
	}
	if len(b.gaps) == 0 {
		return nil
	}
	return s.retryBlameless(ctx, func(ctx context.Context) error {
		return s.inserter.writer.insertGaps(ctx, b.source, b.gaps, b.gapToken())
	})
}

// reject is for a row that ClickHouse does not want.
func (s *Shipper) reject(ctx context.Context, table string, r *Row, err error) error {
	s.rejected++
	return s.bury(ctx, deadRow(table, r, err))
}

// attempt retries an insert and times each of its runs.
func (s *Shipper) attempt(ctx context.Context, insert func(context.Context) error) error {
	retry := s.retry
	if s.rejected >= rejectedInARow {
		retry = s.retryBlameless
	}
	err := retry(ctx, func(ctx context.Context) error {
		start := time.Now()
		defer func() { s.metrics.insert.Observe(time.Since(start).Seconds()) }()
		return insert(ctx)
	})
	if err == nil {
		s.rejected = 0
	}
	return err
}

// bury writes dead letters. While that fails nothing is shipped, because a row must not be nowhere.
func (s *Shipper) bury(ctx context.Context, letters ...deadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	err := s.retry(ctx, func(context.Context) error {
		if err := s.dead.Append(letters); err != nil {
			return &Fault{ClassOperator, "dead letters must be kept before anything else is shipped", err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.countDead(len(letters))
	s.cfg.Logger.Error("history: rows went to the dead letters", "rows", len(letters), "cause", letters[0].Error, "file", s.dead.Path,
		"remedy", "mend the cause, then run switchyard history replay-dead")
	return nil
}

// pace waits so that no more than CatchUpRate rows are shipped in a second. Time that was not used is no credit for more than a moment.
func (s *Shipper) pace(ctx context.Context, rows int) error {
	if s.cfg.CatchUpRate < 0 {
		return nil
	}
	now := time.Now()
	if earliest := now.Add(-100 * time.Millisecond); s.paced.Before(earliest) {
		s.paced = earliest
	}
	s.paced = s.paced.Add(time.Duration(rows) * time.Second / time.Duration(s.cfg.CatchUpRate))
	return sleep(ctx, s.paced.Sub(now))
}
