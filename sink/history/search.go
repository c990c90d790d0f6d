package history

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/switchyard-im/switchyard/frame"
)

// groupConversations are the conversations that belong to one of the groups: the last event that names a group tells.
const groupConversations = `
	SELECT conv_id FROM conversation_events WHERE group_name != '' AND deleted = 0
	GROUP BY conv_id HAVING argMax(group_name, seq) IN {groups:Array(String)}`

// A search has two steps. The first finds places by the text index and without FINAL, for which the index would have to be read in whole. The second reads
// those places with FINAL, and drops those that were edited since and no longer have the words.
const (
	searchPlaces = `
SELECT toUnixTimestamp64Milli(sent_at), conv_id, seq
FROM messages
WHERE hasAllTokens(text, {words:String}) AND kind = 0 AND deleted = 0
	AND sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
	AND ({time:Int64} = 0 OR (toUnixTimestamp64Milli(sent_at), conv_id, seq) < ({time:Int64}, {conv:UUID}, {seq:UInt64}))
	AND conv_id IN (` + groupConversations + `)
ORDER BY sent_at DESC, conv_id DESC, seq DESC
LIMIT 1 BY sent_at, conv_id, seq
LIMIT {limit:UInt64}`

	searchMessages = `
SELECT conv_id, seq, prev, toUnixTimestamp64Milli(sent_at), sender, client_id, kind, text, body
FROM messages FINAL
WHERE (conv_id, seq) IN (SELECT arrayJoin(arrayZip({convs:Array(UUID)}, {seqs:Array(UInt64)}))) AND hasAllTokens(lowerUTF8(text), {words:Array(String)})
ORDER BY sent_at DESC, conv_id DESC, seq DESC`
)

// maxToMS stands for no bound; DateTime64 ends in 2299.
const maxToMS = maxTimeMS

// Search is Queries'.
func (c *Client) Search(ctx context.Context, q Search) (Found, error) {
	words := splitWords(q.Words)
	if len(words) == 0 {
		return Found{Complete: true}, nil
	}
	places, err := c.places(ctx, q, words)
	if err != nil || len(places) == 0 {
		return Found{Complete: true}, explain(c.cfg, err)
	}
	found := Found{Complete: true}
	if len(places) > q.Limit {
		places = places[:q.Limit]
		found.Next = places[q.Limit-1]
	}
	found.Messages, err = c.confirm(ctx, places, words)
	return found, explain(c.cfg, err)
}

// places is the first step: one place more than the limit, if there are so many.
func (c *Client) places(ctx context.Context, q Search, words []string) (places []Cursor, err error) {
	rows, err := c.read.Query(withParameters(ctx, clickhouse.Parameters{
		"words": strings.Join(words, " "), "groups": arrayOf(q.Groups), "limit": strconv.Itoa(q.Limit + 1),
		"from": strconv.FormatUint(min(q.FromMS, maxToMS), 10), "to": strconv.FormatUint(bound(q.ToMS), 10),
		"time": strconv.FormatUint(q.After.TimeMS, 10), "conv": q.After.Conv.String(), "seq": strconv.FormatUint(q.After.Seq, 10),
	}), searchPlaces)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p Cursor
		var ms int64
		var conv uuid.UUID
		if err := rows.Scan(&ms, &conv, &p.Seq); err != nil {
			return nil, err
		}
		p.TimeMS, p.Conv = uint64(ms), frame.ID(conv)
		places = append(places, p)
	}
	return places, rows.Err()
}

// confirm is the second step.
func (c *Client) confirm(ctx context.Context, places []Cursor, words []string) (messages []frame.Message, err error) {
	convs, seqs := make([]string, len(places)), make([]string, len(places))
	for i, p := range places {
		convs[i], seqs[i] = "'"+p.Conv.String()+"'", strconv.FormatUint(p.Seq, 10)
	}
	rows, err := c.read.Query(withParameters(ctx, clickhouse.Parameters{
		"convs": "[" + strings.Join(convs, ",") + "]", "seqs": "[" + strings.Join(seqs, ",") + "]", "words": arrayOf(words),
	}), searchMessages)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var conv uuid.UUID
		m, err := scanMessage(prefixed{rows, &conv})
		if err != nil {
			return nil, err
		}
		m.Conv = frame.ID(conv)
		messages = append(messages, m)
	}
	return messages, rows.Err()
}

// prefixed scans a row that has a further column in front.
type prefixed struct {
	row   scanner
	first any
}

func (p prefixed) Scan(dest ...any) error { return p.row.Scan(append([]any{p.first}, dest...)...) }

// splitWords cuts a text into words in lower case, as the text index does.
func splitWords(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r < 0x80 && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
}

// arrayOf writes a list as the text of a parameter of the type Array(String).
func arrayOf(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// bound is the end of a time, where 0 means none.
func bound(ms uint64) uint64 {
	if ms == 0 {
		return maxToMS
	}
	return min(ms, maxToMS)
}

// day is the date in UTC.
func day(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format(time.DateOnly) }
