package history

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// writer inserts rows, one insert at a time. It is not safe for concurrent use.
type writer struct {
	conn     driver.Conn
	database string // the connection's
	timeout  time.Duration
}

// insert writes what the columns hold into their table, all of it or nothing, unless rows were inserted under this token before: then it does nothing.
// An error may mean either, or that it is still going on, see settled. The driver's batch is never sent twice: a second Send inserts the rows again and
// returns nil, so after an error a new batch is made of the same rows. The id is the query's, "" for any.
func (w *writer) insert(ctx context.Context, c columns, id, token string) error {
	return w.send(clickhouse.Context(ctx, clickhouse.WithQueryID(id)), c.query(), token, c.appendTo)
}

// settled is nil if no query with this id is going on. ClickHouse does not run two with the same at once, and it goes on with an insert whose client
// has left.
func (w *writer) settled(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	return w.conn.Exec(clickhouse.Context(ctx, clickhouse.WithQueryID(id)), "SELECT 1")
}

// insertGaps writes what was given up.
func (w *writer) insertGaps(ctx context.Context, source string, gaps []gapRow, token string) error {
	return w.send(ctx, "INSERT INTO history_gaps (source, number, from_at, to_at, lost)", token, func(b driver.Batch) error {
		for _, g := range gaps {
			if err := b.Append(source, g.number, time.UnixMilli(int64(g.gap.FromMS)), time.UnixMilli(int64(g.gap.ToMS)), g.gap.Rows); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) send(ctx context.Context, query, token string, fill func(driver.Batch) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	b, err := w.conn.PrepareBatch(insertSettings(ctx, token), query)
	if err != nil {
		return err
	}
	defer b.Close() // an unsent batch holds its connection; after Send this does nothing
	if err := fill(b); err != nil {
		return err
	}
	return b.Send()
}

// insertSettings makes an insert answer when its rows are written (the server's default is to collect inserts), and drop what came
// under this token before; nothing with an empty one.
func insertSettings(ctx context.Context, token string) context.Context {
	settings := clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 0}
	if token != "" {
		settings["insert_deduplicate"], settings["insert_deduplication_token"] = 1, token
	}
	return clickhouse.Context(ctx, clickhouse.WithSettings(settings))
}

// heldRows is how many rows are asked for in one query: their keys are in its text.
const heldRows = 1000

// holds tells whether a table has all the rows, or later versions of them.
func (w *writer) holds(ctx context.Context, table string, rows []Row) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	for some := range slices.Chunk(rows, heldRows) {
		var there uint64
		if err := w.conn.QueryRow(withParameters(ctx, keysOf(some)), "SELECT uniqExact(conv_id, seq) FROM "+table+
			" WHERE (conv_id, seq) IN (SELECT arrayJoin(arrayZip({convs:Array(UUID)}, {seqs:Array(UInt64)}))) AND version >= {version:UInt64}").Scan(&there); err != nil {
			return false, err
		}
		if there < uint64(len(some)) {
			return false, nil
		}
	}
	return true, nil
}

// keysOf are the parameters for the keys of rows, and the lowest of their versions.
func keysOf(rows []Row) clickhouse.Parameters {
	convs, seqs, version := make([]string, len(rows)), make([]string, len(rows)), rows[0].Version
	for i := range rows {
		convs[i], seqs[i] = "'"+rows[i].Conv.String()+"'", strconv.FormatUint(rows[i].Seq, 10)
		version = min(version, rows[i].Version)
	}
	return clickhouse.Parameters{
		"convs": "[" + strings.Join(convs, ",") + "]", "seqs": "[" + strings.Join(seqs, ",") + "]", "version": strconv.FormatUint(version, 10),
	}
}
