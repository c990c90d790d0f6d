package sinkbench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
)

// database is a ClickHouse database of the run's own, with the tables of the history and one for the bare loop. It must be dropped.
type database struct {
	name string
	conn driver.Conn // one connection, for the bare loop and everything that is not measured
}

func newDatabase(ctx context.Context, cfg Config) (*database, error) {
	db := &database{name: fmt.Sprintf("sinkbench_%016x", rand.Uint64())}
	client, err := history.Open(cfg.historyConfig(db.name))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(client.Migrate(ctx), client.Close()); err != nil {
		return nil, err
	}
	db.conn, err = clickhouse.Open(&clickhouse.Options{
		Addr: []string{cfg.ClickHouse}, Auth: clickhouse.Auth{Database: db.name, Username: cfg.User, Password: cfg.Password},
		MaxOpenConns: 1, MaxIdleConns: 1, ConnMaxLifetime: time.Hour, ReadTimeout: time.Minute,
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		Settings:    clickhouse.Settings{"async_insert": 0},
	})
	if err != nil {
		return nil, err
	}
	if err := db.conn.Exec(ctx, "CREATE TABLE bare AS messages"); err != nil {
		return nil, errors.Join(err, db.drop())
	}
	return db, nil
}

// drop removes the database, also when the run was broken off.
func (d *database) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(d.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+d.name+" SYNC"), d.conn.Close())
}

// empty empties both tables, so that no merge of older rows is under way.
func (d *database) empty(ctx context.Context) error {
	return errors.Join(d.conn.Exec(ctx, "TRUNCATE TABLE messages"), d.conn.Exec(ctx, "TRUNCATE TABLE bare"))
}

// holds fails unless a table has so many rows, each once.
func (d *database) holds(ctx context.Context, table string, rows int) error {
	var all, different uint64
	if err := d.conn.QueryRow(ctx, "SELECT count(), uniqExact(conv_id, seq) FROM "+table+" FINAL").Scan(&all, &different); err != nil {
		return err
	}
	if all != uint64(rows) || different != uint64(rows) {
		return &WrongRows{Table: table, Want: rows, Rows: int(all), Different: int(different)}
	}
	return nil
}

// WrongRows is what Run ends with if a table does not have what was sent.
type WrongRows struct {
	Table                 string
	Want, Rows, Different int
}

func (e *WrongRows) Error() string {
	return fmt.Sprintf("sinkbench: %d rows were sent, and the table %s has %d, of them %d different", e.Want, e.Table, e.Rows, e.Different)
}

// ship fills the outbox of a new store and measures how long the shipper takes to empty it.
func ship(ctx context.Context, cfg Config, db *database, n, batch int) (speed Speed, err error) {
	if err := db.empty(ctx); err != nil {
		return Speed{}, err
	}
	store, err := openStore(cfg, func(c *sink.Config) { c.Outbox = true })
	if err != nil {
		return Speed{}, err
	}
	defer func() { err = errors.Join(err, closeStore(store)) }()
	if err := fill(store, newRows(cfg.BodyBytes), n, batch); err != nil {
		return Speed{}, err
	}
	hc := cfg.historyConfig(db.name)
	hc.BatchRows = batch
	client, err := history.Open(hc)
	if err != nil {
		return Speed{}, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	shipper, err := history.NewShipper(client, store.Outbox())
	if err != nil {
		return Speed{}, err
	}
	settle()
	watch := startWatch()
	if err := emptied(ctx, store.Outbox(), shipper); err != nil {
		return Speed{}, err
	}
	return watch.speed(n), db.holds(ctx, "messages", n)
}

// emptied runs the shipper until the outbox is empty.
func emptied(ctx context.Context, o *sink.Outbox, shipper *history.Shipper) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { shipper.Run(ctx) }) // until cancel; waited for below
	for ctx.Err() == nil && o.Backlog().Rows > 0 {
		time.Sleep(time.Millisecond)
	}
	err := ctx.Err()
	cancel()
	wait.Wait()
	return err
}

// fill commits n rows in entries of at most 100 that a batch can be made of exactly.
func fill(store *sink.Store, r *rows, n, batch int) error {
	size := min(batch, 100)
	for batch%size != 0 {
		size--
	}
	done := make(committed, 1)
	var encoded []byte
	for first := 0; first < n; first += size {
		tx := store.Begin(store.Generation())
		for i := first; i < first+size; i++ {
			m := r.message(i)
			encoded = m.Append(encoded[:0])
			tx.Messages(m.Conv, m.Seq, m.Seq, encoded)
		}
		tx.Commit(done)
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

const insertQuery = "INSERT INTO bare (conv_id, seq, prev, sent_at, sender, client_id, kind, text, body, version, deleted)"

// insertBare measures the least that the driver does for the same rows: they are there as columns before it begins, and nothing is kept, looked up,
// merged or made ready to be sent again.
func insertBare(ctx context.Context, cfg Config, db *database, n, batch int) (Speed, error) {
	if err := db.empty(ctx); err != nil {
		return Speed{}, err
	}
	r := newRows(cfg.BodyBytes)
	var inserts [][]any
	for first := 0; first < n; first += batch {
		inserts = append(inserts, r.columns(first, first+batch).all())
	}
	settle()
	watch := startWatch()
	for _, columns := range inserts {
		if err := insertColumns(ctx, db.conn, columns); err != nil {
			return Speed{}, err
		}
	}
	return watch.speed(n), db.holds(ctx, "bare", n)
}

func insertColumns(ctx context.Context, conn driver.Conn, columns []any) error {
	b, err := conn.PrepareBatch(ctx, insertQuery)
	if err != nil {
		return err
	}
	defer b.Close()
	for i, c := range columns {
		if err := b.Column(i).Append(c); err != nil {
			return err
		}
	}
	return b.Send()
}
