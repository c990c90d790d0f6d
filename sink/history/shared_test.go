package history_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/switchyard-im/switchyard/sink/history"
	"github.com/switchyard-im/switchyard/sink/history/chtest"
)

// inDatabase is a configuration for a database of the test's own, which does not exist yet.
func inDatabase(t testing.TB) history.Config {
	t.Helper()
	server := chtest.Shared(t)
	cfg := history.Config{
		Addresses: []string{server.Addr},
		Database:  server.Database(t),
		Logger:    slog.New(slog.DiscardHandler),
		RetryMin:  time.Millisecond,
		RetryMax:  20 * time.Millisecond,
	}
	return cfg
}

// administer is a connection beside those of the package.
func administer(t testing.TB, cfg history.Config) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: cfg.Addresses, Auth: clickhouse.Auth{Database: "system"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func exec(t testing.TB, conn driver.Conn, query string, args ...any) {
	t.Helper()
	if err := conn.Exec(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// scan reads one row of one column.
func scan[T any](t testing.TB, conn driver.Conn, query string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func open(t testing.TB, cfg history.Config) *history.Client {
	t.Helper()
	c, err := history.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// migrated is a client with its database in place.
func migrated(t testing.TB, cfg history.Config) *history.Client {
	t.Helper()
	c := open(t, cfg)
	if err := c.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c
}

// logLines is a log to look at. Safe for concurrent use.
type logLines struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *logLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
