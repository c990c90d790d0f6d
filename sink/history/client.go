package history

import (
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Client holds the connections to ClickHouse: one for inserts, and a pool of its own for queries, so that neither waits for the
// other. Connections are opened when they are needed, so a Client can be made while ClickHouse is away. Its methods are safe for
// concurrent use.
type Client struct {
	cfg   Config
	write driver.Conn
	read  driver.Conn
}

// Open makes a client, without connecting. The client must be closed.
func Open(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	// Two, because a connection that broke is given back only when its insert has been cleaned up.
	write, err := clickhouse.Open(cfg.options(cfg.Database, 2, cfg.InsertTimeout))
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	read, err := clickhouse.Open(cfg.options(cfg.Database, cfg.ReadConnections, cfg.InsertTimeout))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("history: %w", err), write.Close())
	}
	return &Client{cfg: cfg, write: write, read: read}, nil
}

// options are those of a pool of connections.
func (c Config) options(database string, connections int, readTimeout time.Duration) *clickhouse.Options {
	return &clickhouse.Options{
		Addr:            c.Addresses,
		Auth:            clickhouse.Auth{Database: database, Username: c.User, Password: c.Password},
		TLS:             c.TLS,
		DialTimeout:     c.DialTimeout,
		ReadTimeout:     readTimeout,
		MaxOpenConns:    connections,
		MaxIdleConns:    connections,
		ConnMaxLifetime: time.Hour,
		Compression:     &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		// An insert goes out in pieces, or the connection would hold a buffer as large as the largest insert for ever.
		MaxCompressionBuffer: 512 << 10,
		ClientInfo:           clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{Name: "switchyard", Version: "1"}}},
	}
}

// Reads returns the pool of connections for queries.
func (c *Client) Reads() driver.Conn { return c.read }

// Close closes the connections; what is under way on them fails.
func (c *Client) Close() error { return errors.Join(c.write.Close(), c.read.Close()) }
