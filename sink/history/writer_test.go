package history

import (
	"context"
	"errors"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/switchyard-im/switchyard/frame"
)

// flakyConn fails the first sends, each after it was prepared anew. Only what the writer uses is there.
type flakyConn struct {
	driver.Conn
	failures int
	batches  []*flakyBatch
}

func (c *flakyConn) PrepareBatch(context.Context, string, ...driver.PrepareBatchOption) (driver.Batch, error) {
	b := &flakyBatch{conn: c}
	c.batches = append(c.batches, b)
	return b, nil
}

// Exec tells that no insert is going on.
func (c *flakyConn) Exec(context.Context, string, ...any) error { return nil }

// QueryRow tells that the rows are not there.
func (c *flakyConn) QueryRow(context.Context, string, ...any) driver.Row { return noRows{} }

type noRows struct{ driver.Row }

func (noRows) Scan(dest ...any) error { *dest[0].(*uint64) = 0; return nil }

type flakyBatch struct {
	driver.Batch
	conn                *flakyConn
	columns, sent, shut int
}

func (b *flakyBatch) Column(int) driver.BatchColumn { return flakyColumn{b: b} }
func (b *flakyBatch) Close() error                  { b.shut++; return nil }
func (b *flakyBatch) Send() error {
	b.sent++
	if len(b.conn.batches) <= b.conn.failures {
		return errors.New("connection reset by peer")
	}
	return nil
}

type flakyColumn struct {
	driver.BatchColumn
	b *flakyBatch
}

func (c flakyColumn) Append(any) error { c.b.columns++; return nil }

// TestAfterAnErrorTheBatchIsBuiltAnew: a driver's batch is sent once, whatever comes of it (trap T1), filled completely each time, and closed.
func TestAfterAnErrorTheBatchIsBuiltAnew(t *testing.T) {
	conn := &flakyConn{failures: 3}
	w := &writer{conn: conn, timeout: 1e9}
	i := inserter{writer: w, try: func(ctx context.Context, insert func(context.Context) error) (err error) {
		for range 4 {
			if err = insert(ctx); err == nil {
				break
			}
		}
		return err
	}}
	row := Row{Conv: frame.ID{1}, Seq: 1, Body: frame.AppendText(nil, "x")}
	if err := i.insert(context.Background(), new(messageColumns), []Row{row}, "token"); err != nil {
		t.Fatal(err)
	}
	if len(conn.batches) != 4 {
		t.Errorf("%d batches for 3 failures and a success", len(conn.batches))
	}
	for n, b := range conn.batches {
		if b.sent != 1 || b.shut != 1 || b.columns != 11 {
			t.Errorf("batch %d: sent %d times, closed %d times, %d columns", n, b.sent, b.shut, b.columns)
		}
	}
}

// TestColumnsCopyStrings: what borrowString takes for granted.
func TestColumnsCopyStrings(t *testing.T) {
	b := []byte("before")
	c, err := column.Type("String").Column("c", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Append([]string{borrowString(b), borrowString(nil)}); err != nil {
		t.Fatal(err)
	}
	copy(b, "after!")
	if got, empty := c.Row(0, false), c.Row(1, false); got != "before" || empty != "" {
		t.Errorf("the column has %q, %q", got, empty)
	}
}
