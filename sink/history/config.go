package history

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where ClickHouse is and how it is written to. Addresses is required, and DeadLetters where a Shipper is started;
// zero values mean the defaults.
type Config struct {
	// Addresses are host:port of the native protocol (9000, or 9440 with TLS). They are tried in order.
	Addresses []string
	// Database is "default" by default. Migrate creates it if it may.
	Database string
	// User is "default" by default, with no password.
	User     string
	Password string
	// TLS is how the connection is encrypted; nil: not at all.
	TLS *tls.Config
	// DialTimeout bounds the opening of a connection. Default 5 s.
	DialTimeout time.Duration
	// InsertTimeout bounds one insert; it is tried again after that. Default 60 s.
	InsertTimeout time.Duration
	// ReadConnections bounds the queries under way; they have connections of their own. Default 8.
	ReadConnections int

	// Migrate lets a Shipper create and upgrade the tables when it starts; otherwise it waits until they are as it needs them.
	Migrate bool
	// Retention is how long ClickHouse keeps rows, to the second; it drops whole months' parts when all of a part is older. Zero
	// keeps them for ever.
	Retention time.Duration

	// BatchRows, BatchBytes and BatchDelay end a batch: so many rows, so many bytes of messages, or so long since its oldest row
	// was accepted. Bytes bound the memory: two batches exist at a time. Defaults 10,000, 8 MiB and 1 s.
	BatchRows  int
	BatchBytes int
	BatchDelay time.Duration
	// CatchUpRate is how many rows a second are shipped at most, so that catching up after an outage leaves processors to the messages.
	// Default 200,000; negative for no bound.
	CatchUpRate int

	// RetryMin and RetryMax bound the wait before an insert is tried again: a random part of a time that doubles from one to the
	// other. Defaults 100 ms and 30 s.
	RetryMin time.Duration
	RetryMax time.Duration

	// DeadLetters is the file that gets the rows which ClickHouse does not want. Its directory must exist.
	DeadLetters string

	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
	// Registerer gets the metrics. Nil registers none.
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	setDefault(&c.Database, "default")
	setDefault(&c.User, "default")
	setDefault(&c.DialTimeout, 5*time.Second)
	setDefault(&c.InsertTimeout, time.Minute)
	setDefault(&c.ReadConnections, 8)
	setDefault(&c.BatchRows, 10_000)
	setDefault(&c.BatchBytes, 8<<20)
	setDefault(&c.BatchDelay, time.Second)
	setDefault(&c.CatchUpRate, 200_000)
	setDefault(&c.RetryMin, 100*time.Millisecond)
	setDefault(&c.RetryMax, 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// maxBatchRows keeps a batch one block for the server, which cuts longer ones (max_insert_block_size) and would give the pieces
// tokens of their own.
const maxBatchRows = 500_000

// validate checks a configuration that has its defaults.
func (c Config) validate() error {
	var errs []error
	bad := func(name string, value any, remedy string) {
		errs = append(errs, fmt.Errorf("history: %s is %v: %s", name, value, remedy))
	}
	if len(c.Addresses) == 0 {
		bad("Addresses", "empty", "name host:port of ClickHouse's native protocol")
	}
	if c.DialTimeout < time.Millisecond {
		bad("DialTimeout", c.DialTimeout, "use at least 1ms")
	}
	if c.InsertTimeout < time.Millisecond {
		bad("InsertTimeout", c.InsertTimeout, "use at least 1ms")
	}
	if c.ReadConnections < 1 || c.ReadConnections > 1000 {
		bad("ReadConnections", c.ReadConnections, "use 1 to 1000")
	}
	if c.Retention < 0 || c.Retention%time.Second != 0 {
		bad("Retention", c.Retention, "use whole seconds, or 0 to keep the history for ever")
	}
	if c.BatchRows < 1 || c.BatchRows > maxBatchRows {
		bad("BatchRows", c.BatchRows, fmt.Sprintf("use 1 to %d", maxBatchRows))
	}
	if c.BatchBytes < 1 || c.BatchBytes > 256<<20 {
		bad("BatchBytes", c.BatchBytes, "use 1 byte to 256 MiB")
	}
	if c.BatchDelay < time.Millisecond || c.BatchDelay > time.Hour {
		bad("BatchDelay", c.BatchDelay, "use 1ms to 1h")
	}
	if c.RetryMin < time.Millisecond || c.RetryMax < c.RetryMin {
		bad("RetryMin, RetryMax", fmt.Sprint(c.RetryMin, ", ", c.RetryMax), "use at least 1ms, and no less for RetryMax than for RetryMin")
	}
	return errors.Join(errs...)
}
