package history_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/sink/history"
	"github.com/switchyard-im/switchyard/sink/history/chtest"
)

// onServer is the configuration shipping makes, for a server of the test's own.
func onServer(t testing.TB, server *chtest.Server) history.Config {
	t.Helper()
	cfg := shipping(t)
	cfg.Addresses, cfg.Database = []string{server.Addr}, server.Database(t)
	return cfg
}

// gauge reads a metric with one label.
func gauge(t testing.TB, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s of %q", name, label)
	return 0
}

// TestOutageMidLoad: ClickHouse takes no connections for a while. Everybody's messages are accepted meanwhile, an alarm is shown, and afterwards the
// history is complete.
func TestOutageMidLoad(t *testing.T) {
	server := chtest.Start(t)
	cfg := onServer(t, server)
	reg := prometheus.NewRegistry()
	cfg.Registerer = reg
	c := migrated(t, cfg)
	s, _ := openStore(t, t.TempDir())
	shipper, _ := run(t, c, s.Outbox())
	stop := load(t, s, 4)
	eventually(t, "something is shipped", func() bool { return shipper.Status().Shipped > 0 })

	server.StopListen()
	fault := failing(t, shipper)
	if fault.Class != history.ClassTransient || !strings.Contains(fault.Error(), server.Addr) || gauge(t, reg, "switchyard_history_failing", "transient") != 1 {
		t.Errorf("%+v, the alarm is %v", fault, gauge(t, reg, "switchyard_history_failing", "transient"))
	}
	before := s.Outbox().Backlog().Rows
	eventually(t, "messages are accepted during the outage", func() bool { return s.Outbox().Backlog().Rows > before+1000 })
	if gauge(t, reg, "switchyard_history_lag_seconds", "") <= 0 {
		t.Error("no lag is shown")
	}

	server.StartListen()
	heads := stop()
	shipped(t, s.Outbox())
	if shipper.Status().Fault != nil || gauge(t, reg, "switchyard_history_failing", "transient") != 0 || gauge(t, reg, "switchyard_history_failures_total", "transient") == 0 {
		t.Errorf("after the outage: %+v", shipper.Status())
	}
	exactly(t, open(t, cfg), heads) // the other one has connections that broke
}

// TestClickHouseKilledMidLoad: kill -9 of ClickHouse, several times during a load.
func TestClickHouseKilledMidLoad(t *testing.T) {
	server := chtest.Start(t)
	cfg := onServer(t, server)
	c := migrated(t, cfg)
	s, _ := openStore(t, t.TempDir())
	shipper, _ := run(t, c, s.Outbox())
	stop := load(t, s, 4)
	for range 3 {
		before := shipper.Status().Shipped
		eventually(t, "something is shipped", func() bool { return shipper.Status().Shipped > before })
		server.Kill()
		server.Restart()
	}
	heads := stop()
	shipped(t, s.Outbox())
	exactly(t, open(t, cfg), heads) // the other one has connections that broke
}

// An operatorError is something that goes on until somebody does something.
type operatorError struct {
	name   string
	spoil  func(t *testing.T, c *history.Client, cfg history.Config)
	mend   func(t *testing.T, c *history.Client, cfg history.Config)
	remedy string // a part of it
}

func sql(statements ...string) func(*testing.T, *history.Client, history.Config) {
	return func(t *testing.T, _ *history.Client, cfg history.Config) {
		conn := administer(t, cfg)
		for _, s := range statements {
			exec(t, conn, strings.ReplaceAll(s, "DB", cfg.Database))
		}
	}
}

func migrate(t *testing.T, c *history.Client, _ history.Config) {
	if err := c.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

var operatorErrors = []operatorError{
	{"table dropped", sql("DROP TABLE DB.messages SYNC"), migrate,
		"run switchyard history migrate"},
	{"table of events dropped", sql("DROP TABLE DB.conversation_events SYNC"), migrate,
		"run switchyard history migrate"},
	{"column dropped", sql("ALTER TABLE DB.messages DROP COLUMN prev"), sql("ALTER TABLE DB.messages ADD COLUMN prev UInt64"),
		"run switchyard history migrate"},
	// What the server throws when a disk has not enough room, without filling one.
	{"disk full", sql("ALTER TABLE DB.messages MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000"),
		sql("ALTER TABLE DB.messages RESET SETTING min_free_disk_bytes_to_perform_insert"),
		"disk is full: make room there"},
	{"read-only", sql("ALTER TABLE DB.messages MODIFY SETTING table_readonly = 1"), sql("ALTER TABLE DB.messages RESET SETTING table_readonly"),
		"the table is read-only"},
}

// TestOperatorErrors: each is told with its remedy, raises the alarm, loses no row, and is over once it is mended.
func TestOperatorErrors(t *testing.T) {
	for _, e := range operatorErrors {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			cfg := shipping(t)
			var log logLines
			reg := prometheus.NewRegistry()
			cfg.Registerer, cfg.Logger = reg, log.logger()
			c := migrated(t, cfg)
			feed := &memoryFeed{}
			shipper, _ := run(t, c, feed)
			feed.put(chat(1, 1))
			shipped(t, feed) // so the shipper has found its tables
			e.spoil(t, c, cfg)
			event := chat(1, 2)
			event.Kind = 1
			feed.put(chat(1, 3), event)
			fault := failing(t, shipper)
			if fault.Class != history.ClassOperator || !strings.Contains(fault.Remedy, e.remedy) {
				t.Errorf("%s: %v", fault.Class, fault)
			}
			if gauge(t, reg, "switchyard_history_failing", "operator") != 1 {
				t.Error("no alarm")
			}
			if !strings.Contains(log.text(), "level=ERROR") || !strings.Contains(log.text(), e.remedy) {
				t.Errorf("the log: %s", log.text())
			}
			e.mend(t, c, cfg)
			shipped(t, feed)
			// A table that is dropped takes what it has had.
			if got := count(t, c, "SELECT count() FROM messages FINAL WHERE seq > 1") + 10*count(t, c, "SELECT count() FROM conversation_events FINAL"); got != 12 {
				t.Errorf("%d messages and 10 times events", got)
			}
			if gauge(t, reg, "switchyard_history_failing", "operator") != 0 || shipper.Status().Fault != nil || shipper.Status().Dead != 0 {
				t.Errorf("%+v", shipper.Status())
			}
		})
	}
}

// TestSchemaNewerThanTheShipper: nothing is written to tables that a newer binary has upgraded.
func TestSchemaNewerThanTheShipper(t *testing.T) {
	for _, itself := range []bool{true, false} {
		cfg := shipping(t)
		cfg.Migrate = itself
		c := migrated(t, cfg)
		exec(t, c.Reads(), "INSERT INTO schema_migrations VALUES (1000, 'later', now64(3))")
		feed := &memoryFeed{}
		feed.put(chat(1, 1))
		shipper, _ := run(t, c, feed)
		if fault := failing(t, shipper); fault.Class != history.ClassOperator || !strings.Contains(fault.Remedy, "run the newer switchyard") || distinct(t, c) != 0 {
			t.Errorf("%v; %d rows were written", fault, distinct(t, c))
		}
		exec(t, c.Reads(), "ALTER TABLE schema_migrations DELETE WHERE number = 1000 SETTINGS mutations_sync = 2")
		shipped(t, feed)
	}
}

// TestForeignTable: a table of that name that is not ours is an operator's matter, too, although it is values that do not fit.
func TestForeignTable(t *testing.T) {
	cfg := shipping(t)
	exec(t, administer(t, cfg), "CREATE DATABASE "+cfg.Database)
	c := open(t, cfg)
	exec(t, c.Reads(), "CREATE TABLE schema_migrations (number UInt32, name String, applied_at DateTime64(3), CONSTRAINT none CHECK number = 0) ENGINE = MergeTree ORDER BY number")
	feed := &memoryFeed{}
	feed.put(chat(1, 1))
	shipper, _ := run(t, c, feed)
	if fault := failing(t, shipper); fault.Class != history.ClassOperator || !strings.Contains(fault.Remedy, "not as this binary makes it") {
		t.Errorf("%v", fault)
	}
	exec(t, c.Reads(), "DROP TABLE schema_migrations")
	shipped(t, feed)
}

// TestShipperWaitsForTheSchema: with Migrate off it does not touch the tables, and goes on when somebody has migrated.
func TestShipperWaitsForTheSchema(t *testing.T) {
	cfg := shipping(t)
	cfg.Migrate = false
	exec(t, administer(t, cfg), "CREATE DATABASE "+cfg.Database)
	c := open(t, cfg)
	feed := &memoryFeed{}
	feed.put(chat(1, 1))
	shipper, _ := run(t, c, feed)
	if fault := failing(t, shipper); fault.Class != history.ClassOperator || !strings.Contains(fault.Remedy, "switchyard history migrate") {
		t.Errorf("%v", fault)
	}
	migrate(t, c, cfg)
	shipped(t, feed)
	if got := distinct(t, c); got != 1 {
		t.Errorf("%d messages", got)
	}
}

// TestUnknownHost, and one that is known later.
func TestUnknownHost(t *testing.T) {
	cfg := shipping(t)
	cfg.Addresses = []string{"clickhouse.invalid:9000"}
	cfg.RetryMin, cfg.RetryMax = time.Hour, time.Hour // one attempt
	shipper, _ := run(t, open(t, cfg), &memoryFeed{})
	fault := failing(t, shipper)
	if fault.Class != history.ClassOperator || !strings.Contains(fault.Error(), "clickhouse.invalid") || !strings.Contains(fault.Remedy, "check the addresses") {
		t.Errorf("%s: %v", fault.Class, fault)
	}
}

// TestNoAccess: wrong passwords and missing rights. Each has a server of its own, because the tests' ClickHouse ends when it refuses a password.
func TestNoAccess(t *testing.T) {
	server := chtest.Start(t)
	good := onServer(t, server)
	good.User, good.Password = chtest.User, chtest.Password
	feed := &memoryFeed{}
	feed.put(chat(1, 1))
	for _, c := range []struct{ user, password, remedy string }{
		{chtest.Nobody, chtest.Password, "user nobody may not do this"},
		{chtest.User, "wrong", "user switchyard or its password is wrong"},
		{"stranger", "wrong", "user stranger or its password is wrong"},
	} {
		cfg := good
		cfg.User, cfg.Password = c.user, c.password
		cfg.RetryMin, cfg.RetryMax = time.Hour, time.Hour // one attempt
		shipper, stop := run(t, open(t, cfg), feed)
		fault := failing(t, shipper)
		stop()
		if fault.Class != history.ClassOperator || !strings.Contains(fault.Remedy, c.remedy) {
			t.Errorf("%s: %s: %v", c.user, fault.Class, fault)
		}
		if c.password == "wrong" {
			server.Restart()
		}
	}
	c := open(t, good)
	run(t, c, feed)
	shipped(t, feed)
	if got := distinct(t, c); got != 1 {
		t.Errorf("%d messages", got)
	}
}

// TestClickHouseThatHangs: one that takes connections and never answers is given up after DialTimeout and InsertTimeout, and tried again.
func TestClickHouseThatHangs(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cfg := shipping(t)
	cfg.Addresses = []string{silent.Addr().String()}
	cfg.InsertTimeout, cfg.DialTimeout = 50*time.Millisecond, 50*time.Millisecond
	shipper, _ := run(t, open(t, cfg), &memoryFeed{})
	if fault := failing(t, shipper); fault.Class != history.ClassTransient {
		t.Errorf("%s: %v", fault.Class, fault)
	}
}

// TestTLSThatCannotWork: encryption that one side does not speak, and a certificate that nobody vouches for.
func TestTLSThatCannotWork(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for address, remedy := range map[string]string{
		untrusted.Listener.Addr().String(): "certificate is not trusted",
		plain.Listener.Addr().String():     "does not speak TLS there",
	} {
		cfg := shipping(t)
		cfg.Addresses, cfg.TLS = []string{address}, &tls.Config{ServerName: "clickhouse"}
		shipper, stop := run(t, open(t, cfg), &memoryFeed{})
		if fault := failing(t, shipper); fault.Class != history.ClassOperator || !strings.Contains(fault.Remedy, remedy) {
			t.Errorf("%s: %v", fault.Class, fault)
		}
		stop()
	}
}
