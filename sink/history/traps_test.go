package history_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/history"
)

// The traps of the driver and the server that the package goes around. The first half of each test shows the trap, so that one that is
// gone some day is noticed.

const insertSeq = "INSERT INTO messages (conv_id, seq, sent_at)"

// insertRaw inserts a row as one would without knowing the traps.
func insertRaw(t *testing.T, c *history.Client, ctx context.Context, seq uint64, at time.Time) {
	t.Helper()
	b, err := c.Reads().PrepareBatch(ctx, insertSeq)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Append(uuid.UUID(convID(1)), seq, at); err != nil {
		t.Fatal(err)
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
}

// TestTrapSecondSend (T1): a batch that is sent again inserts its rows again and says that all is well. That this package sends none twice is
// TestAfterAnErrorTheBatchIsBuiltAnew.
func TestTrapSecondSend(t *testing.T) {
	c := migrated(t, shipping(t))
	exec(t, c.Reads(), "CREATE TABLE plain (v UInt8) ENGINE = MergeTree ORDER BY v") // where nothing deduplicates
	b, err := c.Reads().PrepareBatch(context.Background(), "INSERT INTO plain (v)")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Append(uint8(1)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Send(); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, c, "SELECT count() FROM plain"); got != 2 {
		t.Errorf("%d rows after two sends: the trap has changed", got)
	}
}

// TestTrapSameTokenOtherRows (T2): what comes under a known token is dropped unseen. So the token holds the contents: two stores that
// number alike, one of them restored from a backup for example, both keep their rows.
func TestTrapSameTokenOtherRows(t *testing.T) {
	c := migrated(t, shipping(t))
	ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": "same"}))
	insertRaw(t, c, ctx, 1, time.UnixMilli(startMS))
	insertRaw(t, c, ctx, 2, time.UnixMilli(startMS))
	if got := raw(t, c); got != 1 {
		t.Errorf("%d rows: the trap has changed", got)
	}
	exec(t, c.Reads(), "TRUNCATE TABLE messages")
	for _, seq := range []uint64{1, 2} {
		feed := &memoryFeed{} // numbers from 1, and has the same source
		feed.put(chat(1, seq))
		_, stop := run(t, c, feed)
		shipped(t, feed)
		stop()
	}
	if got := distinct(t, c); got != 2 {
		t.Errorf("%d messages, want both", got)
	}
}

// TestTrapTimes (T3): times beyond what DateTime64 and the driver can hold come back as others. Such rows go to the dead letters, and take no
// other row with them.
func TestTrapTimes(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	far := time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)
	insertRaw(t, c, context.Background(), 1, far)
	if got := scan[time.Time](t, c.Reads(), "SELECT sent_at FROM messages"); got.Equal(far) {
		t.Errorf("%v is kept: the trap has changed", far)
	}
	exec(t, c.Reads(), "TRUNCATE TABLE messages")

	feed := &memoryFeed{}
	var want []byte
	for i, at := range []uint64{0, 1, startMS, uint64(far.UnixMilli()), 1<<53 - 1, startMS + 1} {
		m := chat(1, uint64(i+1))
		if m.TimeMS = at; at >= startMS && at <= startMS+1 {
			want = m.Append(want)
		}
		feed.put(m)
	}
	s, _ := run(t, c, feed)
	shipped(t, feed)
	if got := stored(t, c, 1); !bytes.Equal(got, want) {
		t.Errorf("got %x\nwant %x", got, want)
	}
	letters := deadLetters(t, cfg)
	if len(letters) != 4 || s.Status().Dead != 4 || letters[1].TimeMS != 1 || letters[1].Conv != convID(1).String() {
		t.Errorf("dead letters: %+v", letters)
	}
}

// TestTrapTooManyParts (T4): code 252 means two things. Too many parts is waited for.
func TestTrapTooManyParts(t *testing.T) {
	c := migrated(t, shipping(t))
	exec(t, c.Reads(), "SYSTEM STOP MERGES messages")
	insertRaw(t, c, context.Background(), 1, time.UnixMilli(startMS))
	insertRaw(t, c, context.Background(), 2, time.UnixMilli(startMS))
	exec(t, c.Reads(), "ALTER TABLE messages MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 2")
	feed := &memoryFeed{}
	feed.put(chat(2, 1), chat(2, 2))
	s, _ := run(t, c, feed)
	fault := failing(t, s)
	if fault.Class != history.ClassTransient || !codeIs(fault, 252) {
		t.Errorf("%+v", fault)
	}
	exec(t, c.Reads(), "ALTER TABLE messages MODIFY SETTING parts_to_delay_insert = 1000, parts_to_throw_insert = 3000")
	shipped(t, feed)
	if got := distinct(t, c); got != 4 || s.Status().Dead != 0 || s.Status().Fault != nil {
		t.Errorf("%d messages, %+v", got, s.Status())
	}
}

// TestTrapTooManyPartitions (T4): the other 252, rows of too many months, would fail for ever. Smaller batches do not.
func TestTrapTooManyPartitions(t *testing.T) {
	c := migrated(t, shipping(t))
	exec(t, c.Reads(), "ALTER TABLE messages DROP INDEX text_words") // a hundred parts are slow enough
	var months []frame.Message
	for i := range uint64(101) {
		m := chat(1, i+1)
		m.TimeMS = uint64(time.Date(2005, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC).UnixMilli())
		months = append(months, m)
	}
	feed := &memoryFeed{}
	feed.put(months...)
	s, _ := run(t, c, feed)
	shipped(t, feed)
	if got := distinct(t, c); got != 101 || s.Status().Dead != 0 {
		t.Errorf("%d messages, %+v", got, s.Status())
	}
}
