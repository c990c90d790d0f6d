package history_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/history"
)

const benchRows = 10_000 // rows of a batch

// benchMessage is a chat message of usual size: its text has about 120 bytes.
func benchMessage(conv int, seq uint64) frame.Message {
	m := chat(conv, seq)
	text := make([]byte, 0, 128)
	for len(text) < 110 {
		text = append(text, words[rand.IntN(len(words))]...)
	}
	m.Body = frame.AppendText(nil, text)
	return m
}

var words = []string{"hello ", "order ", "invoice ", "yesterday ", "please ", "the ", "a ", "thanks ", "number ", "problem ", "again ", "with ", "my ", "account "}

// benchEntries are entries of 100 messages in as many conversations, as commits under load have them.
func benchEntries(entries int) (frames [][]byte) {
	for e := range entries {
		var b []byte
		for conv := range 100 {
			m := benchMessage(conv, uint64(e+1))
			b = m.Append(b)
		}
		frames = append(frames, b)
	}
	return frames
}

// BenchmarkShip ships batches of 10,000 rows; an operation is a row. Beside BenchmarkBare it tells what the shipper costs.
func BenchmarkShip(b *testing.B) {
	cfg := shipping(b)
	cfg.BatchRows, cfg.CatchUpRate = benchRows, -1
	c := migrated(b, cfg)
	feed := &memoryFeed{}
	for _, f := range benchEntries((b.N + 99) / 100) {
		feed.putEntry(history.Entry{Rows: 100, Frames: f})
	}
	b.ReportAllocs()
	b.ResetTimer()
	run(b, c, feed)
	for feed.Backlog().Rows > 0 {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkBare inserts the same rows with a loop of clickhouse-go alone.
func BenchmarkBare(b *testing.B) {
	c := migrated(b, shipping(b))
	type columns struct {
		conv, id           []uuid.UUID
		seq, prev, version []uint64
		at                 []int64
		sender, text, body []string
		kind, deleted      []uint8
	}
	var batches []columns
	var batch columns
	for _, f := range benchEntries((b.N + 99) / 100) {
		for len(f) > 0 {
			var m frame.Message
			_, one, rest, err := frame.Next(f)
			if err != nil || m.Parse(one) != nil {
				b.Fatal(err)
			}
			f = rest
			text, _ := frame.Text(m.Body)
			batch.conv, batch.id = append(batch.conv, uuid.UUID(m.Conv)), append(batch.id, uuid.UUID(m.ID))
			batch.seq, batch.prev, batch.version = append(batch.seq, m.Seq), append(batch.prev, m.Prev), append(batch.version, 1)
			batch.at = append(batch.at, int64(m.TimeMS))
			batch.sender, batch.text, batch.body = append(batch.sender, string(m.Sender)), append(batch.text, string(text)), append(batch.body, "")
			batch.kind, batch.deleted = append(batch.kind, uint8(m.Kind)), append(batch.deleted, 0)
		}
		if len(batch.conv) >= benchRows {
			batches = append(batches, batch)
			batch = columns{}
		}
	}
	if len(batch.conv) > 0 {
		batches = append(batches, batch)
	}
	ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0}))
	b.ReportAllocs()
	b.ResetTimer()
	for _, t := range batches {
		into, err := c.Reads().PrepareBatch(ctx, "INSERT INTO messages (conv_id, seq, prev, sent_at, sender, client_id, kind, text, body, version, deleted)")
		if err != nil {
			b.Fatal(err)
		}
		for i, column := range []any{t.conv, t.seq, t.prev, t.at, t.sender, t.id, t.kind, t.text, t.body, t.version, t.deleted} {
			if err := into.Column(i).Append(column); err != nil {
				b.Fatal(err)
			}
		}
		if err := into.Send(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
