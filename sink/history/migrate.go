package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const createMigrations = `
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number     UInt32,
    name       String,
    applied_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY number`

// expiring are the tables whose rows end with the retention, and their column of time.
var expiring = []struct{ table, time string }{{"messages", "sent_at"}, {"conversation_events", "at"}}

// Migrate creates what is missing in ClickHouse, database and tables, brings the tables to SchemaVersion, and sets the retention. It
// does nothing if all is as it should be, and it may run in several servers at once. A schema newer than the binary is refused.
func (c *Client) Migrate(ctx context.Context) error {
	return explain(c.cfg, c.migrate(ctx))
}

func (c *Client) migrate(ctx context.Context) error {
	if err := c.createDatabase(ctx); err != nil {
		return err
	}
	if err := c.read.Exec(ctx, createMigrations); err != nil {
		return err
	}
	version, err := c.version(ctx)
	if err != nil {
		return err
	}
	if version > SchemaVersion() {
		return newerSchema(c.cfg, version)
	}
	// All of them, not only those after the version: they do no harm, and a table that was dropped is created again.
	for _, m := range migrations {
		if err := c.apply(ctx, m, m.number > version); err != nil {
			return fmt.Errorf("migration %04d_%s: %w", m.number, m.name, err)
		}
	}
	return c.applyRetention(ctx)
}

// apply runs one migration, and notes it if it is new.
func (c *Client) apply(ctx context.Context, m migration, isNew bool) error {
	if err := c.read.Exec(ctx, m.statement); err != nil || !isNew {
		return err
	}
	c.cfg.Logger.Info("history: migrated", "database", c.cfg.Database, "migration", m.number, "name", m.name)
	return c.read.Exec(ctx, "INSERT INTO schema_migrations (number, name, applied_at) SETTINGS async_insert = 0 VALUES (?, ?, now64(3))", uint32(m.number), m.name)
}

// version is the number of the last migration that ran; 0 if none did. It needs the table of migrations.
func (c *Client) version(ctx context.Context) (int, error) {
	var version uint32
	err := c.read.QueryRow(ctx, "SELECT max(number) FROM schema_migrations").Scan(&version)
	return int(version), err
}

// CheckSchema tells whether the tables are as this binary needs them, and changes nothing.
func (c *Client) CheckSchema(ctx context.Context) error {
	if err := c.checkDatabase(ctx); err != nil {
		return explain(c.cfg, err)
	}
	version, err := c.version(ctx)
	switch {
	case err != nil:
		return explain(c.cfg, err)
	case version > SchemaVersion():
		return newerSchema(c.cfg, version)
	case version < SchemaVersion():
		return &Fault{ClassOperator, "run switchyard history migrate",
			fmt.Errorf("the schema of database %s has version %d and this binary needs %d", c.cfg.Database, version, SchemaVersion())}
	}
	return nil
}

// ErrNewerSchema is what Migrate and CheckSchema end with when a newer binary has upgraded the tables.
var ErrNewerSchema = errors.New("the schema is newer than this binary")

func newerSchema(cfg Config, version int) error {
	return &Fault{ClassOperator, "run the newer switchyard, or configure another database",
		fmt.Errorf("%w: database %s has version %d, this binary knows %d", ErrNewerSchema, cfg.Database, version, SchemaVersion())}
}

// createDatabase creates the database if there is none.
func (c *Client) createDatabase(ctx context.Context) error {
	return c.outside(ctx, func(conn driver.Conn, known bool) error {
		if known {
			return nil
		}
		return conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(c.cfg.Database))
	})
}

// checkDatabase tells whether there is one.
func (c *Client) checkDatabase(ctx context.Context) error {
	return c.outside(ctx, func(_ driver.Conn, known bool) error {
		if known {
			return nil
		}
		return &clickhouse.Exception{Code: codeUnknownDatabase, Message: "there is no database " + c.cfg.Database}
	})
}

// outside calls fn with a connection to the database that every ClickHouse has, and whether ours is known. A connection to one that does not exist is
// refused, and ends a ClickHouse that is embedded in a process.
func (c *Client) outside(ctx context.Context, fn func(conn driver.Conn, known bool) error) (err error) {
	conn, err := clickhouse.Open(c.cfg.options("system", 1, c.cfg.InsertTimeout))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var known uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", c.cfg.Database).Scan(&known); err != nil {
		return err
	}
	return fn(conn, known > 0)
}

// quoteName quotes an identifier.
func quoteName(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// applyRetention makes the tables' TTL that of the configuration.
func (c *Client) applyRetention(ctx context.Context) error {
	for _, t := range expiring {
		engine, err := c.engine(ctx, t.table)
		if err != nil {
			return err
		}
		if change := retentionChange(engine, t.time, c.cfg.Retention); change != "" {
			if err := c.read.Exec(ctx, "ALTER TABLE "+t.table+" "+change); err != nil {
				return fmt.Errorf("retention of %s: %w", t.table, err)
			}
			c.cfg.Logger.Info("history: retention changed", "table", t.table, "retention", c.cfg.Retention)
		}
	}
	return nil
}

// engine is a table's engine clause as ClickHouse writes it.
func (c *Client) engine(ctx context.Context, table string) (engine string, err error) {
	err = c.read.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = ?", table).Scan(&engine)
	return engine, err
}

// retentionChange is what ALTER TABLE needs to bring the engine's TTL to the retention; empty if nothing.
func retentionChange(engine, column string, retention time.Duration) string {
	want := fmt.Sprintf("TTL toDateTime(%s) + toIntervalSecond(%d)", column, retention/time.Second)
	switch {
	case retention == 0 && strings.Contains(engine, " TTL "):
		return "REMOVE TTL"
	case retention != 0 && !strings.Contains(engine, " "+want+" "):
		return "MODIFY " + want
	}
	return ""
}
