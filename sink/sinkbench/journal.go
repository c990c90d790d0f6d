package sinkbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// openStore opens a new store, as the server does, but for what change changes.
func openStore(cfg Config, change func(*sink.Config)) (*sink.Store, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "store-")
	if err != nil {
		return nil, fmt.Errorf("sinkbench: %w", err)
	}
	c := sink.Config{Dir: dir, Logger: quiet()}
	change(&c)
	return sink.Open(c)
}

func closeStore(s *sink.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.Close(ctx)
}

// committed is told how a transaction ended.
type committed chan error

func (c committed) Committed(err error) { c <- err }

// measureJournal lets the same writers write one message at a time each, in turns with group commit and without.
func measureJournal(ctx context.Context, cfg Config) (Journal, error) {
	var batched, single []Accepted
	for round := range cfg.Rounds {
		cfg.Progress(fmt.Sprintf("journal, round %d of %d", round+1, cfg.Rounds))
		if err := run(ctx, &batched, func() (Accepted, error) { return write(cfg, false) }); err != nil {
			return Journal{}, err
		}
		if err := run(ctx, &single, func() (Accepted, error) { return write(cfg, true) }); err != nil {
			return Journal{}, err
		}
	}
	return newJournal(batched, single), nil
}

// write has Writers write for Duration. Single writes have a commit and an fsync each, one after the other, and nothing waits for company.
func write(cfg Config, single bool) (a Accepted, err error) {
	store, err := openStore(cfg, func(c *sink.Config) {
		c.MaxInFlight = max(2*cfg.Writers, 256)
		if single {
			c.SyncInterval = -1
		}
	})
	if err != nil {
		return Accepted{}, err
	}
	defer func() { err = errors.Join(err, closeStore(store)) }()
	var turn *sync.Mutex
	if single {
		turn = new(sync.Mutex)
	}
	writers := make([]writer, cfg.Writers)
	watch := startWatch()
	end := watch.start.Add(cfg.Duration)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() { writers[i].run(store, i, cfg.BodyBytes, turn, end) }) // until end; waited for below
	}
	all.Wait()
	return accepted(writers, watch)
}

// writer writes a message, waits until it is accepted, and writes the next. Owned by its goroutine.
type writer struct {
	messages int
	waited   time.Duration // all latencies
	err      error
}

func (w *writer) run(store *sink.Store, conv, bodyBytes int, turn *sync.Mutex, end time.Time) {
	m := frame.Message{Conv: conversation(conv), Sender: []byte(sender), Body: frame.AppendText(nil, strings.Repeat("x", bodyBytes))}
	done := make(committed, 1)
	var buf []byte
	for start := time.Now(); start.Before(end) && w.err == nil; {
		m.Seq, m.Prev = m.Seq+1, m.Seq
		m.ID, m.TimeMS = clientID(w.messages), uint64(start.UnixMilli())
		buf = m.Append(buf[:0])
		w.err = commit(store, &m, buf, turn, done)
		now := time.Now()
		w.messages++
		w.waited += now.Sub(start)
		start = now
	}
}

// commit makes one message durable; with a turn, nobody else does meanwhile.
func commit(store *sink.Store, m *frame.Message, encoded []byte, turn *sync.Mutex, done committed) error {
	if turn != nil {
		turn.Lock()
		defer turn.Unlock()
	}
	tx := store.Begin(store.Generation())
	tx.Messages(m.Conv, m.Seq, m.Seq, encoded)
	tx.Commit(done)
	return <-done
}

// accepted sums the writers up.
func accepted(writers []writer, watch watch) (Accepted, error) {
	var messages int
	var waited time.Duration
	for i := range writers {
		if writers[i].err != nil {
			return Accepted{}, writers[i].err
		}
		messages += writers[i].messages
		waited += writers[i].waited
	}
	speed := watch.speed(messages)
	return Accepted{PerSecond: speed.RowsPerSecond, MeanMS: waited.Seconds() * 1e3 / float64(messages), CPUMicros: speed.CPUMicros}, nil
}
