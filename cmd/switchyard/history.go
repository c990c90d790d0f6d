package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
)

// deadLettersFile is the default of history.dead_letters, in the directory of the store.
const deadLettersFile = "dead-letters.jsonl"

// shipping is the history of a running server: its client, and the goroutine that ships to it.
type shipping struct {
	client  *history.Client
	shipper *history.Shipper
	cancel  context.CancelFunc
	done    chan struct{} // closed when the shipper has ended
}

// startShipping opens the history and ships to it from the store's outbox until stop.
func startShipping(cfg *config.Config, st *sink.Store, log *slog.Logger, reg prometheus.Registerer) (*shipping, error) {
	c, err := historyConfig(cfg, log, reg)
	if err != nil {
		return nil, err
	}
	client, err := history.Open(c)
	if err != nil {
		return nil, err
	}
	shipper, err := history.NewShipper(client, st.Outbox())
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &shipping{client: client, shipper: shipper, cancel: cancel, done: make(chan struct{})}
	go func() { // until stop, which waits
		defer close(s.done)
		shipper.Run(ctx)
	}()
	return s, nil
}

// stop ends the shipping. What is under way is shipped by the next server.
func (s *shipping) stop() error {
	s.cancel()
	<-s.done
	return s.client.Close()
}

// check is what /readyz says of the history.
func (s *shipping) check() string {
	if f := s.shipper.Status().Fault; f != nil {
		return f.Error()
	}
	return "ok"
}

// vars is what /varz says of the history.
func (s *shipping) vars() map[string]any {
	st := s.shipper.Status()
	v := map[string]any{
		"backlog_rows": st.Backlog.Rows, "backlog_bytes": st.Backlog.Bytes, "oldest_ms": st.Backlog.OldestMS,
		"shipped_rows": st.Shipped, "dead_rows": st.Dead,
	}
	if st.Fault != nil {
		v["error"], v["since"] = st.Fault.Error(), st.Since.UTC().Format(time.RFC3339Nano)
	}
	return v
}

// historyConfig gives sink/history its configuration. It reads the files with the password and the certificates.
func historyConfig(c *config.Config, log *slog.Logger, reg prometheus.Registerer) (history.Config, error) {
	h := &c.History
	password, err := readPassword(h.PasswordFile)
	if err != nil {
		return history.Config{}, err
	}
	encryption, err := tlsConfig(h.TLS, h.CAFile)
	if err != nil {
		return history.Config{}, err
	}
	return history.Config{
		Addresses:   h.Clickhouse,
		Database:    h.Database,
		User:        h.User,
		Password:    password,
		TLS:         encryption,
		Migrate:     h.Migrate,
		Retention:   time.Duration(h.Retention),
		BatchRows:   h.BatchRows,
		BatchBytes:  int(h.BatchBytes),
		BatchDelay:  time.Duration(h.BatchDelay),
		CatchUpRate: noneIsMinusOne(h.CatchUpRate),
		DeadLetters: deadLetters(c),
		Logger:      log,
		Registerer:  reg,
	}, nil
}

// noneIsMinusOne says no bound as the parts do, for whom 0 is the default.
func noneIsMinusOne(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func deadLetters(c *config.Config) string {
	if c.History.DeadLetters != "" {
		return c.History.DeadLetters
	}
	return filepath.Join(c.Store.Dir, deadLettersFile)
}

func readPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("history.password_file: %w", err)
	}
	return string(bytes.TrimRight(text, "\r\n")), nil
}

func tlsConfig(on bool, caFile string) (*tls.Config, error) {
	if !on {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("history.ca_file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("history.ca_file: %s holds no certificate in PEM", caFile)
	}
	return c, nil
}
