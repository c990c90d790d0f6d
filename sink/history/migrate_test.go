package history_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/sink/history"
)

func TestMigrateCreatesEverything(t *testing.T) {
	c := migrated(t, inDatabase(t))
	for _, table := range []string{"messages", "conversation_events", "history_gaps"} {
		if got := scan[uint64](t, c.Reads(), "SELECT count() FROM "+table); got != 0 {
			t.Errorf("%s has %d rows", table, got)
		}
	}
	if got := scan[uint64](t, c.Reads(), "SELECT count() FROM schema_migrations"); got != uint64(history.SchemaVersion()) {
		t.Errorf("%d migrations are noted, want %d", got, history.SchemaVersion())
	}
	if err := c.CheckSchema(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestMigrateAgainChangesNothing(t *testing.T) {
	c := migrated(t, inDatabase(t))
	before := scan[time.Time](t, c.Reads(), "SELECT max(metadata_modification_time) FROM system.tables WHERE database = currentDatabase()")
	if err := c.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if after := scan[time.Time](t, c.Reads(), "SELECT max(metadata_modification_time) FROM system.tables WHERE database = currentDatabase()"); !after.Equal(before) {
		t.Errorf("the second run changed tables: %v, %v", before, after)
	}
	if got := scan[uint64](t, c.Reads(), "SELECT count() FROM schema_migrations"); got != uint64(history.SchemaVersion()) {
		t.Errorf("%d migrations are noted", got)
	}
}

// TestServersMigrateAtOnce: several servers that start together must all find the tables in place.
func TestServersMigrateAtOnce(t *testing.T) {
	cfg := inDatabase(t)
	cfg.Retention = time.Hour
	var all sync.WaitGroup
	for range 8 {
		c := open(t, cfg)
		all.Go(func() {
			if err := errors.Join(c.Migrate(context.Background()), c.CheckSchema(context.Background())); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestMigrateRestoresADroppedTable(t *testing.T) {
	c := migrated(t, inDatabase(t))
	exec(t, c.Reads(), "DROP TABLE messages SYNC")
	if err := c.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	scan[uint64](t, c.Reads(), "SELECT count() FROM messages")
}

func TestSchemaFromTheFuture(t *testing.T) {
	c := migrated(t, inDatabase(t))
	exec(t, c.Reads(), "INSERT INTO schema_migrations VALUES (1000, 'later', now64(3))")
	for name, err := range map[string]error{"Migrate": c.Migrate(context.Background()), "CheckSchema": c.CheckSchema(context.Background())} {
		if !errors.Is(err, history.ErrNewerSchema) || !strings.Contains(err.Error(), "version 1000") || !strings.Contains(err.Error(), "run the newer switchyard") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckSchemaBeforeMigrate(t *testing.T) {
	cfg := inDatabase(t)
	exec(t, administer(t, cfg), "CREATE DATABASE "+cfg.Database)
	c := open(t, cfg)
	if err := c.CheckSchema(context.Background()); err == nil || !strings.Contains(err.Error(), "switchyard history migrate") {
		t.Errorf("empty database: %v", err)
	}
	if err := c.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	exec(t, c.Reads(), "ALTER TABLE schema_migrations DELETE WHERE number = 3 SETTINGS mutations_sync = 2")
	if err := c.CheckSchema(context.Background()); err == nil || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "switchyard history migrate") {
		t.Errorf("older schema: %v", err)
	}
}

func TestRetentionFollowsTheConfiguration(t *testing.T) {
	cfg := inDatabase(t)
	for _, want := range []struct {
		retention time.Duration
		ttl       string
	}{{0, ""}, {24 * time.Hour, "toIntervalSecond(86400)"}, {24 * time.Hour, "toIntervalSecond(86400)"}, {time.Hour, "toIntervalSecond(3600)"}, {0, ""}} {
		cfg.Retention = want.retention
		c := migrated(t, cfg)
		for _, table := range []string{"messages", "conversation_events"} {
			engine := scan[string](t, c.Reads(), "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = ?", table)
			if want.ttl == "" && strings.Contains(engine, "TTL") || !strings.Contains(engine, want.ttl) {
				t.Errorf("retention %v of %s: %s", want.retention, table, engine)
			}
		}
	}
}
