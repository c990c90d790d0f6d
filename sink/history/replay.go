package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Replayed tells what became of the dead letters.
type Replayed struct {
	Inserted int // rows that are in ClickHouse now
	Kept     int // lines that are dead letters still
}

// ReplayDead inserts the rows of the file of dead letters, Config.DeadLetters. What is not wanted still stays in the file with its new error. It
// does not wait for a ClickHouse that is away: it ends with the error, and nothing is lost. It may run beside the server, and a
// second time after it was interrupted.
func (c *Client) ReplayDead(ctx context.Context) (Replayed, error) {
	file := deadFile{Path: c.cfg.DeadLetters}
	taken, err := file.Take()
	if taken == "" || err != nil {
		return Replayed{}, err
	}
	r := replay{client: c}
	if err := r.run(ctx, taken); err != nil {
		return r.done, fmt.Errorf("%w (the dead letters are in %s; run it again)", err, taken)
	}
	if err := file.Append(r.kept); err != nil {
		return r.done, err
	}
	return r.done, file.Finish(taken)
}

// replay is one run. Owned by one goroutine.
type replay struct {
	client *Client
	kept   []deadLetter
	done   Replayed
}

func (r *replay) run(ctx context.Context, path string) error {
	letters, err := readDead(path)
	if err != nil {
		return err
	}
	writer := &writer{conn: r.client.write, database: r.client.cfg.Database, timeout: r.client.cfg.InsertTimeout}
	for _, c := range []columns{new(messageColumns), new(eventColumns)} {
		for rows := range slices.Chunk(r.rowsFor(c.table(), letters), r.client.cfg.BatchRows) {
			if err := r.insert(ctx, writer, c, rows); err != nil {
				return err
			}
		}
	}
	r.done.Kept = len(r.kept)
	return nil
}

func (r *replay) insert(ctx context.Context, w *writer, c columns, rows []Row) error {
	rejected := 0
	i := inserter{
		writer: w,
		try: func(ctx context.Context, insert func(context.Context) error) error {
			return explain(r.client.cfg, insert(ctx))
		},
		reject: func(_ context.Context, table string, row *Row, err error) error {
			r.kept = append(r.kept, deadRow(table, row, err))
			rejected++
			return nil
		},
	}
	if err := i.insert(ctx, c, rows, fmt.Sprintf("replay-%d", time.Now().UnixNano())); err != nil {
		return err
	}
	r.done.Inserted += len(rows) - rejected
	return nil
}

// rowsFor returns the rows of a table; those that cannot be rows are kept. An event that messages did not want may be missing in
// the events, too, and does no harm there a second time.
func (r *replay) rowsFor(table string, letters []deadLetter) []Row {
	var rows []Row
	for i := range letters {
		d := &letters[i]
		row, err := d.row()
		switch {
		case err != nil && (table == tableMessages) == (d.Table != tableEvents): // once
			d.Error = err.Error()
			r.kept = append(r.kept, *d)
		case err == nil && (d.Table == table || isEvent(&row) && table == tableEvents):
			rows = append(rows, row)
		}
	}
	return rows
}

// readDead reads the file. A line that is none becomes a letter that is kept as it is.
func readDead(path string) (letters []deadLetter, err error) {
	err = deadFile{Path: path}.Each(path, func(d deadLetter, broken []byte) error {
		if broken != nil {
			d = deadFrame(broken, 0, errors.New("history: this line is not a dead letter"))
		}
		letters = append(letters, d)
		return nil
	})
	return letters, err
}
