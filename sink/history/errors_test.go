package history

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
)

// TestClassify: what the server and the network say, as seen on a real one, and what becomes of it.
func TestClassify(t *testing.T) {
	cfg := Config{Addresses: []string{"ch1:9000", "ch2:9000"}, Database: "chat", User: "writer"}
	exception := func(code int32, message string) error {
		return fmt.Errorf("wrapped, as HTTP does: %w", &clickhouse.Exception{Code: code, Message: message})
	}
	for _, c := range []struct {
		err    error
		class  Class
		remedy string // a part of it
	}{
		{exception(252, "Too many parts (3000 with average size of 1.67 KiB) in table"), ClassTransient, ""},
		{exception(252, "Too many partitions for single INSERT block (more than 100)."), ClassPoison, "smaller batches"},
		{exception(241, "(total) memory limit exceeded"), ClassTransient, ""},
		{exception(202, "Too many simultaneous queries"), ClassTransient, ""},
		{exception(469, "Constraint `c` for table t is violated"), ClassPoison, "dead letters"},
		{exception(60, "Unknown table"), ClassOperator, "database chat: run switchyard history migrate"},
		{exception(81, "Database chat does not exist"), ClassOperator, "database chat does not exist: create it"},
		{exception(516, "writer: Authentication failed"), ClassOperator, "user writer or its password is wrong"},
		{exception(497, "Not enough privileges"), ClassOperator, "user writer may not do this"},
		{exception(164, "readonly"), ClassOperator, "give it INSERT on database chat"},
		{exception(16, "No such column"), ClassOperator, "switchyard history migrate"},
		{exception(243, "Cannot reserve 1.00 MiB, not enough space"), ClassOperator, "disk is full"},
		{exception(75, "Cannot write to file: , errno: 28, strerror: No space left on device"), ClassOperator, "disk is full"},
		{exception(12345, "never heard of"), ClassOperator, "refuses for a reason"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, ClassTransient, "cannot be reached at ch1:9000, ch2:9000"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "ch1", IsNotFound: true}}, ClassOperator, "check the addresses of ClickHouse (ch1:9000, ch2:9000)"},
		{x509.UnknownAuthorityError{}, ClassOperator, "certificate"},
		{fmt.Errorf("send: %w", context.DeadlineExceeded), ClassTransient, "in time"},
		{os.ErrDeadlineExceeded, ClassTransient, ""},
		{fmt.Errorf("%w: x", clickhouse.ErrBatchInvalid), ClassPoison, ""},
		{&column.ColumnConverterError{}, ClassPoison, ""},
		{newerSchema(cfg, 99), ClassOperator, "run the newer switchyard"},
	} {
		f := classify(cfg, c.err)
		if f.Class != c.class || !strings.Contains(f.Remedy, c.remedy) || strings.ContainsAny(f.Remedy, "{}") {
			t.Errorf("%v: %s, %q", c.err, f.Class, f.Remedy)
		}
		if !errors.Is(f, c.err) && f != c.err {
			t.Errorf("%v is lost in %v", c.err, f)
		}
	}
	for code, remedy := range operatorCodes {
		if poisonCodes[code] || transientCodes[code] || remedy == "" {
			t.Errorf("code %d is of two classes", code)
		}
	}
}

func TestBackoff(t *testing.T) {
	cfg := Config{RetryMin: 100 * time.Millisecond, RetryMax: 30 * time.Second}
	for failed, bound := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond, 20: 30 * time.Second, 1000: 30 * time.Second} {
		var low, high bool
		for range 200 {
			wait := cfg.backoff(failed)
			if wait < 0 || wait > bound {
				t.Fatalf("after %d failures: %v", failed, wait)
			}
			low, high = low || wait < bound/2, high || wait > bound/2
		}
		if !low || !high {
			t.Errorf("after %d failures all waits are on one side of %v", failed, bound/2)
		}
	}
}
