package history

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// eraseBodies is how many bodies of events one mutation replaces. Few differ: they name a user, an event and a reason.
const eraseBodies = 1000

// mutationPoll is how often a mutation is looked at.
const mutationPoll = 50 * time.Millisecond

// literal is a string in a query, whatever its bytes, such that no log of ClickHouse has it in the clear.
func literal[T string | []byte](s T) string { return "unhex('" + hex.EncodeToString([]byte(s)) + "')" }

func literals(all [][]byte) string {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(literal(s))
	}
	return b.String()
}

// erase rewrites all rows of a user in place, also those that newer ones have replaced. They are counted; the error's text has the remedy.
func (c *Client) erase(ctx context.Context, e *erasure) (messages, events uint64, err error) {
	if messages, err = c.eraseSent(ctx, e); err != nil {
		return messages, 0, explain(c.cfg, err)
	}
	bodies, err := c.eraseBodies(ctx, e)
	if err != nil {
		return messages + bodies, 0, explain(c.cfg, err)
	}
	events, err = c.eraseEvents(ctx, e)
	return messages + bodies, events, explain(c.cfg, err)
}

func sentBy(e *erasure) string { return "kind != 1 AND sender = " + literal(e.user) }

func (c *Client) eraseSent(ctx context.Context, e *erasure) (rows uint64, err error) {
	if rows, err = c.count(ctx, tableMessages, sentBy(e)); err != nil || rows == 0 {
		return 0, err
	}
	return rows, c.mutate(ctx, tableMessages, fmt.Sprintf("sender = '%s', client_id = toUUID('00000000-0000-0000-0000-000000000000'), text = '', body = %s", erasedName, literal(noBody)), sentBy(e))
}

// eraseBodies replaces each body that names the user by the one without him.
func (c *Client) eraseBodies(ctx context.Context, e *erasure) (rows uint64, err error) {
	for {
		from, to, texts, err := c.bodiesOf(ctx, e)
		if err != nil || len(from) == 0 {
			return rows, err
		}
		old := literals(from)
		where := "kind = 1 AND body IN (" + old + ")"
		n, err := c.count(ctx, tableMessages, where)
		if err != nil {
			return rows, err
		}
		change := fmt.Sprintf("body = transform(body, [%s], [%s], body), text = transform(body, [%s], [%s], text)", old, literals(to), old, literals(texts))
		if err := c.mutate(ctx, tableMessages, change, where); err != nil {
			return rows, err
		}
		rows += n
	}
}

// bodiesOf finds bodies of events that name the user, and what takes their place.
func (c *Client) bodiesOf(ctx context.Context, e *erasure) (from, to, texts [][]byte, err error) {
	rows, err := c.read.Query(ctx, "SELECT DISTINCT body FROM messages WHERE kind = 1 AND position(body, "+literal(e.user)+") > 0")
	if err != nil {
		return nil, nil, nil, err
	}
	defer rows.Close()
	for rows.Next() && len(from) < eraseBodies {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, nil, nil, err
		}
		if erased, ok := e.event([]byte(body)); ok {
			text, _, _ := splitBody(erased, nil)
			from, to, texts = append(from, []byte(body)), append(to, erased), append(texts, text)
		}
	}
	return from, to, texts, errors.Join(rows.Err(), rows.Close())
}

func naming(e *erasure) string {
	user := literal(e.user)
	return fmt.Sprintf("visitor = %s OR agent = %s OR actor = %s", user, user, user)
}

func (c *Client) eraseEvents(ctx context.Context, e *erasure) (rows uint64, err error) {
	if rows, err = c.count(ctx, tableEvents, naming(e)); err != nil || rows == 0 {
		return 0, err
	}
	user := literal(e.user)
	change := fmt.Sprintf("comment = if(visitor = %s OR actor = %s, '', comment)", user, user)
	for _, column := range []string{"visitor", "agent", "actor"} {
		change += fmt.Sprintf(", %s = if(%s = %s, '%s', %s)", column, column, user, erasedName, column)
	}
	return rows, c.mutate(ctx, tableEvents, change, naming(e))
}

// left counts the rows that still have something of the user.
func (c *Client) left(ctx context.Context, e *erasure) (rows uint64, err error) {
	sent, err1 := c.count(ctx, tableMessages, sentBy(e))
	bodies, _, _, err2 := c.bodiesOf(ctx, e)
	events, err3 := c.count(ctx, tableEvents, naming(e))
	return sent + uint64(len(bodies)) + events, explain(c.cfg, errors.Join(err1, err2, err3))
}

// count counts rows, those that newer ones have replaced included.
func (c *Client) count(ctx context.Context, table, where string) (rows uint64, err error) {
	err = c.read.QueryRow(ctx, "SELECT count() FROM "+table+" WHERE "+where).Scan(&rows)
	return rows, err
}

// mutate rewrites rows and returns when that is done in all parts. It asks again and again, because a mutation may take longer than a connection waits.
func (c *Client) mutate(ctx context.Context, table, change, where string) error {
	if err := c.read.Exec(ctx, "ALTER TABLE "+table+" UPDATE "+change+" WHERE "+where+" SETTINGS mutations_sync = 0"); err != nil {
		return err
	}
	for {
		var open uint64
		var reason string
		err := c.read.QueryRow(ctx, "SELECT count(), max(latest_fail_reason) FROM system.mutations WHERE database = currentDatabase() AND table = ? AND NOT is_done AND NOT is_killed", table).Scan(&open, &reason)
		switch {
		case err != nil || open == 0:
			return err
		case reason != "":
			return &Fault{ClassOperator, "a mutation of table " + table + " fails; mend the cause, and look at system.mutations: ClickHouse goes on trying until KILL MUTATION", errors.New(reason)}
		}
		if err := sleep(ctx, mutationPoll); err != nil {
			return err
		}
	}
}
