// Package sinkbench measures sink on a machine of an operator's choice: how fast the history goes from the journal to ClickHouse, beside a bare loop
// of the driver with the same rows, and what group commit is worth to the journal. cmd/switchyard-bench runs it.
//
// It works inside the process, with the store and the shipper that the server has, and so is no part of bench, which is a client and knows nothing
// but the protocol. CPU is that of this process: of the store and the driver, not of ClickHouse.
package sinkbench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/sink/history"
)

// Config says what is measured. ClickHouse is required; zero values mean the defaults.
type Config struct {
	// ClickHouse is host:port of a server's native protocol; User, "default" by default, must be allowed to create and drop the database
	// that is used, which has a new name.
	ClickHouse string
	User       string
	Password   string
	// Dir is where the stores of the run are, on the disk to measure. They are removed. The system's folder for such by default.
	Dir string
	// Batches are how many rows an insert has. Default 1, 1,000, 10,000 and 50,000.
	Batches []int
	// Rows is how many a measurement ships, rounded up to whole batches and to 10 at least, and SingleRows how many with one row an insert. Defaults 200,000 and 300.
	Rows       int
	SingleRows int
	// BodyBytes is the length of a message's text. Default 128.
	BodyBytes int
	// Rounds is how often each measurement is made, the ones to be compared in turns. Default 3.
	Rounds int
	// Writers is how many messages are under way to the journal at a time. Default 128.
	Writers int
	// Duration is how long the journal is written to in a round. Default 2 s.
	Duration time.Duration
	// Progress gets a line now and then. Optional.
	Progress func(string)
}

func (c Config) withDefaults() Config {
	setDefault(&c.User, "default")
	setDefault(&c.Dir, os.TempDir())
	setDefault(&c.Rows, 200_000)
	setDefault(&c.SingleRows, 300)
	setDefault(&c.BodyBytes, 128)
	setDefault(&c.Rounds, 3)
	setDefault(&c.Writers, 128)
	setDefault(&c.Duration, 2*time.Second)
	if len(c.Batches) == 0 {
		c.Batches = []int{1, 1_000, 10_000, 50_000}
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// maxBatch keeps the memory of a run below a gigabyte.
const maxBatch = 100_000

func (c Config) validate() error {
	var errs []error
	atLeast := func(name string, v, least int) {
		if v < least {
			errs = append(errs, fmt.Errorf("sinkbench: %s is %d: use at least %d", name, v, least))
		}
	}
	atLeast("Rows", c.Rows, 1)
	atLeast("SingleRows", c.SingleRows, 1)
	atLeast("BodyBytes", c.BodyBytes, 1)
	atLeast("Rounds", c.Rounds, 1)
	atLeast("Writers", c.Writers, 1)
	for _, b := range c.Batches {
		if b < 1 || b > maxBatch {
			errs = append(errs, fmt.Errorf("sinkbench: a batch of %d rows: use 1 to %d", b, maxBatch))
		}
	}
	if c.BodyBytes > maxBody {
		errs = append(errs, fmt.Errorf("sinkbench: BodyBytes is %d: use at most %d", c.BodyBytes, maxBody))
	}
	return errors.Join(errs...)
}

// Run measures. It takes about a minute with the defaults.
func Run(ctx context.Context, cfg Config) (rep *Report, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Dir, err = os.MkdirTemp(cfg.Dir, "switchyard-sinkbench-"); err != nil {
		return nil, fmt.Errorf("sinkbench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cfg.Dir)) }()
	rep = &Report{BodyBytes: cfg.BodyBytes, Rounds: cfg.Rounds, Writers: cfg.Writers}
	if rep.Journal, err = measureJournal(ctx, cfg); err != nil {
		return nil, err
	}
	db, err := newDatabase(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.drop()) }()
	for _, batch := range cfg.Batches {
		measured, err := measureBatch(ctx, cfg, db, batch)
		if err != nil {
			return nil, err
		}
		rep.Inserts = append(rep.Inserts, measured)
	}
	return rep, nil
}

// leastInserts is how many inserts a measurement has: one batch is made while another is inserted, which the first and the last one cannot show.
const leastInserts = 10

// measureBatch ships and inserts the same rows in turns, and who begins changes with each round.
func measureBatch(ctx context.Context, cfg Config, db *database, batch int) (Insert, error) {
	rows := (cfg.Rows + batch - 1) / batch * batch
	rows = max(rows, leastInserts*batch)
	if batch == 1 {
		rows = cfg.SingleRows
	}
	var shipped, bare []Speed
	ways := []func() error{
		func() error {
			return run(ctx, &shipped, func() (Speed, error) { return ship(ctx, cfg, db, rows, batch) })
		},
		func() error {
			return run(ctx, &bare, func() (Speed, error) { return insertBare(ctx, cfg, db, rows, batch) })
		},
	}
	for round := range cfg.Rounds {
		cfg.Progress(fmt.Sprintf("%d rows an insert, round %d of %d", batch, round+1, cfg.Rounds))
		for _, way := range ways {
			if err := way(); err != nil {
				return Insert{}, err
			}
		}
		slices.Reverse(ways)
	}
	return newInsert(batch, rows, shipped, bare), nil
}

// run adds what was measured.
func run[T any](ctx context.Context, all *[]T, measure func() (T, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v, err := measure()
	*all = append(*all, v)
	return err
}

// quiet is the log of what is measured: the figures tell how it went.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// historyConfig is how rows are shipped: as the server does, as fast as it can.
func (c Config) historyConfig(database string) history.Config {
	return history.Config{
		Addresses: []string{c.ClickHouse}, Database: database, User: c.User, Password: c.Password,
		CatchUpRate: -1, BatchBytes: 256 << 20, // rows alone end a batch
		DeadLetters: c.Dir + "/dead", Logger: quiet(),
	}
}
