package history

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// conversations has a row for each conversation that was opened in the time and belongs to one of the groups. Rows that are there twice do no harm to
// a minimum, a maximum or the last, so it needs no FINAL.
const conversations = `
WITH conversations AS
(
	SELECT conv_id,
		minIf(at, event = 'opened') AS opened,
		minIf(at, event = 'assigned') AS assigned, countIf(event = 'assigned') > 0 AS was_assigned,
		maxIf(at, event = 'closed') AS closed, countIf(event = 'closed') > 0 AS was_closed,
		argMaxIf(rating, seq, event = 'rated') AS rating,
		argMaxIf(agent, seq, event = 'assigned') AS last_agent,
		argMaxIf(group_name, seq, group_name != '') AS last_group
	FROM conversation_events
	WHERE deleted = 0 AND conv_id IN
	(
		SELECT conv_id FROM conversation_events
		WHERE event = 'opened' AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
	)
	GROUP BY conv_id
	HAVING last_group IN {groups:Array(String)}
)`

// replies are the first messages of agents in their conversations.
const replies = `,
replies AS
(
	SELECT conv_id, min(sent_at) AS replied
	FROM messages
	WHERE kind = 0 AND deleted = 0 AND (conv_id, sender) IN
		(SELECT conv_id, agent FROM conversation_events WHERE event = 'assigned' AND conv_id IN (SELECT conv_id FROM conversations))
	GROUP BY conv_id
)`

// summary follows with the source of key and value.
const summary = `
SELECT key, count() AS n, avg(value), quantileExact(0.5)(value), quantileExact(0.9)(value), quantileExact(0.99)(value)
FROM (SELECT %s AS key, toUInt64(%s) AS value FROM %s)
GROUP BY key ORDER BY key`

// keys and values are expressions on conversations.
var (
	keys = map[Dimension]string{ByAgent: "last_agent", ByGroup: "last_group", ByDay: "toString(toDate(opened, 'UTC'))"}

	values = map[Measure]struct{ value, source string }{
		FirstReply: {"greatest(dateDiff('millisecond', opened, replied), 0)", "conversations INNER JOIN replies USING (conv_id)"},
		QueueTime:  {"greatest(dateDiff('millisecond', opened, assigned), 0)", "conversations WHERE was_assigned"},
		HandleTime: {"greatest(dateDiff('millisecond', assigned, closed), 0)", "conversations WHERE was_assigned AND was_closed"},
		Ratings:    {"rating", "conversations WHERE rating > 0"},
	}
)

var errReport = errors.New("history: there is no such report")

// Report is Queries'.
func (c *Client) Report(ctx context.Context, q Report) (Table, error) {
	key, value := keys[q.By], values[q.Measure]
	if key == "" || value.value == "" {
		return Table{}, errReport
	}
	sql := conversations
	if q.Measure == FirstReply {
		sql += replies
	}
	rows, err := c.read.Query(withParameters(ctx, clickhouse.Parameters{
		"groups": arrayOf(q.Groups), "from": strconv.FormatUint(min(q.FromMS, maxToMS), 10), "to": strconv.FormatUint(bound(q.ToMS), 10),
	}), sql+fmt.Sprintf(summary, key, value.value, value.source))
	if err != nil {
		return Table{}, explain(c.cfg, err)
	}
	defer rows.Close()
	t := Table{Complete: true}
	for rows.Next() {
		var l Line
		if err := rows.Scan(&l.Key, &l.Count, &l.Mean, &l.P50, &l.P90, &l.P99); err != nil {
			return Table{}, err
		}
		t.Lines = append(t.Lines, l)
	}
	return t, explain(c.cfg, rows.Err())
}
