package history

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/switchyard-im/switchyard/frame"
)

// A page is read with FINAL, which merges rows of one message, and only from a window of sequences: FINAL over a whole conversation would read
// all of it. The window begins somewhat larger than the page, since a batch may be there twice, and grows while the page is short and older
// (or newer) rows may exist: sequences have no holes but for a change of epoch, deleted rows and dead letters.
const (
	windowFactor = 4
	windowGrowth = 8
)

const selectPage = `
SELECT seq, prev, toUnixTimestamp64Milli(sent_at), sender, client_id, kind, text, body
FROM messages FINAL
WHERE conv_id = {conv:UUID} AND seq >= {from:UInt64} AND seq < {to:UInt64}
ORDER BY seq `

// PageAfter is Cold's.
func (c *Client) PageAfter(ctx context.Context, dst []byte, conv frame.ID, after, before uint64, maxCount, maxBytes int) (frames []byte, count int, err error) {
	if after == math.MaxUint64 || before <= after+1 {
		return dst, 0, nil
	}
	var messages []frame.Message
	for size := window(maxCount); ; size = grown(size) {
		to := before
		if before-after > size {
			to = after + size
		}
		if messages, err = c.page(ctx, conv, after+1, to, "ASC", maxCount); err != nil {
			return dst, 0, err
		}
		if len(messages) == maxCount || to == before {
			break
		}
	}
	frames, count = appendBounded(dst, messages, maxBytes)
	return frames, count, nil
}

// PageBefore is Cold's.
func (c *Client) PageBefore(ctx context.Context, dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error) {
	if before == 0 {
		if before, err = c.end(ctx, conv); err != nil {
			return dst, 0, false, err
		}
	}
	var messages []frame.Message
	for size := window(maxCount + 1); ; size = grown(size) {
		from := uint64(0)
		if before > size {
			from = before - size
		}
		if messages, err = c.page(ctx, conv, from, before, "DESC", maxCount+1); err != nil {
			return dst, 0, false, err
		}
		if len(messages) > maxCount || from == 0 {
			break
		}
	}
	more = len(messages) > maxCount
	newest := fitting(messages[:min(len(messages), maxCount)], maxBytes)
	more = more || len(newest) < len(messages)
	slices.Reverse(newest)
	return appendAll(dst, newest), len(newest), more, nil
}

func window(count int) uint64 { return windowFactor * uint64(count) }

// grown stays below what a sum with a sequence can hold.
func grown(size uint64) uint64 { return min(size*windowGrowth, 1<<60) }

// end is the sequence behind the last message of a conversation.
func (c *Client) end(ctx context.Context, conv frame.ID) (uint64, error) {
	var last uint64
	err := c.read.QueryRow(withParameters(ctx, clickhouse.Parameters{"conv": conv.String()}),
		"SELECT max(seq) FROM messages WHERE conv_id = {conv:UUID}").Scan(&last)
	return last + 1, explain(c.cfg, err)
}

// page reads the messages with from <= seq < to.
func (c *Client) page(ctx context.Context, conv frame.ID, from, to uint64, order string, limit int) (messages []frame.Message, err error) {
	ctx = withParameters(ctx, clickhouse.Parameters{
		"conv": conv.String(), "from": strconv.FormatUint(from, 10), "to": strconv.FormatUint(to, 10), "limit": strconv.Itoa(limit),
	})
	rows, err := c.read.Query(ctx, selectPage+order+" LIMIT {limit:UInt64}")
	if err != nil {
		return nil, explain(c.cfg, err)
	}
	defer rows.Close()
	for rows.Next() {
		m, err := scanMessage(rows)
		if err != nil {
			return nil, fmt.Errorf("history: a row of messages: %w", err)
		}
		m.Conv = conv
		messages = append(messages, m)
	}
	return messages, explain(c.cfg, rows.Err())
}

// scanner is one row of an answer.
type scanner interface{ Scan(dest ...any) error }

// scanMessage reads the columns of selectPage.
func scanMessage(row scanner) (m frame.Message, err error) {
	var (
		time         int64
		sender       string
		id           uuid.UUID
		kind         uint8
		text, binary string
	)
	if err := row.Scan(&m.Seq, &m.Prev, &time, &sender, &id, &kind, &text, &binary); err != nil {
		return m, err
	}
	m.TimeMS, m.Sender, m.ID, m.Kind = uint64(time), []byte(sender), frame.ID(id), frame.Kind(kind)
	m.Body = joinBody(nil, []byte(text), []byte(binary))
	return m, nil
}

func withParameters(ctx context.Context, p clickhouse.Parameters) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithParameters(p))
}

// fitting returns as many messages from the first on as have at most maxBytes together, and the first whatever it has.
func fitting(messages []frame.Message, maxBytes int) []frame.Message {
	var scratch []byte
	size := 0
	for i := range messages {
		scratch = messages[i].Append(scratch[:0])
		size += len(scratch)
		if i > 0 && size > maxBytes {
			return messages[:i]
		}
	}
	return messages
}

func appendAll(dst []byte, messages []frame.Message) []byte {
	for i := range messages {
		dst = messages[i].Append(dst)
	}
	return dst
}

func appendBounded(dst []byte, messages []frame.Message, maxBytes int) (frames []byte, count int) {
	messages = fitting(messages, maxBytes)
	return appendAll(dst, messages), len(messages)
}
