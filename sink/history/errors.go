package history

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// Class says what is done about an error of ClickHouse.
type Class string

// The classes. What is not known is ClassOperator: it is retried, so that nothing is lost, and somebody is told.
const (
	ClassTransient Class = "transient" // goes away by itself: retried
	ClassOperator  Class = "operator"  // goes away when somebody does something: retried, with an alarm
	ClassPoison    Class = "poison"    // the rows are not wanted: retrying is useless
)

// Fault is an error of ClickHouse with what to do about it.
type Fault struct {
	Class  Class
	Remedy string // for the operator
	Err    error
}

func (f *Fault) Error() string {
	return fmt.Sprintf("history: %v: %s", f.Err, f.Remedy)
}

func (f *Fault) Unwrap() error { return f.Err }

// explain puts class and remedy to an error; nil stays nil.
func explain(cfg Config, err error) error {
	if err == nil {
		return nil
	}
	return classify(cfg, err)
}

func classify(cfg Config, err error) *Fault {
	if known := (*Fault)(nil); errors.As(err, &known) {
		return known
	}
	if exception := (*clickhouse.Exception)(nil); errors.As(err, &exception) { // As: HTTP wraps them
		return classifyException(cfg, err, exception)
	}
	if errors.Is(err, clickhouse.ErrBatchInvalid) || isColumnError(err) {
		return &Fault{ClassPoison, "the row cannot be written; see the dead letters", err}
	}
	return classifyConnection(cfg, err)
}

// isColumnError tells whether the driver refused a value before it was sent.
func isColumnError(err error) bool {
	var convert *column.ColumnConverterError
	var block *proto.BlockError
	return errors.As(err, &convert) || errors.As(err, &block)
}

// classifyConnection is for what happened before the server answered, or instead of an answer.
func classifyConnection(cfg Config, err error) *Fault {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	addresses := strings.Join(cfg.Addresses, ", ")
	switch {
	case errors.As(err, &dns):
		return &Fault{ClassOperator, fmt.Sprintf("the host's name cannot be resolved: check the addresses of ClickHouse (%s) and the name server", addresses), err}
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return &Fault{ClassOperator, "ClickHouse's certificate is not trusted: check the certificate authority and the name in the addresses", err}
	case errors.As(err, &record):
		return &Fault{ClassOperator, "ClickHouse does not speak TLS there: use its secure port (9440), or turn TLS off", err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Fault{ClassTransient, "ClickHouse did not answer in time; tried again", err}
	default:
		return &Fault{ClassTransient, fmt.Sprintf("ClickHouse cannot be reached at %s; tried again until it can", addresses), err}
	}
}

// Codes of ClickHouse's errors; see src/Common/ErrorCodes.cpp of its source.
const (
	codeUnknownTable    = 60
	codeUnknownDatabase = 81
	codeTooManyParts    = 252 // and another thing, see classifyException
	codeMemoryLimit     = 241
)

// tooManyPartitions is what the text of code 252 holds when rows of too many months are in one insert. The other meaning of that
// code, too many parts, goes away by itself; nothing but the text tells them apart.
const tooManyPartitions = "Too many partitions for single INSERT block"

func classifyException(cfg Config, err error, e *clickhouse.Exception) *Fault {
	code := int(e.Code)
	switch {
	case code == codeTooManyParts && strings.Contains(e.Message, tooManyPartitions):
		return &Fault{ClassPoison, "the rows are of too many months; they are inserted in smaller batches", err}
	case poisonCodes[code]:
		return &Fault{ClassPoison, "ClickHouse does not want the row; see the dead letters", err}
	case transientCodes[code]:
		return &Fault{ClassTransient, "ClickHouse is busy or starting; tried again until it is not", err}
	case isDiskFull(e):
		return &Fault{ClassOperator, "ClickHouse's disk is full: make room there, or shorten the retention", err}
	}
	if remedy, ok := operatorCodes[code]; ok {
		return &Fault{ClassOperator, strings.NewReplacer("{database}", cfg.Database, "{user}", cfg.User).Replace(remedy), err}
	}
	return &Fault{ClassOperator, "ClickHouse refuses for a reason that is not known here; tried again until it does not", err}
}

// isDiskFull knows the ways in which a full disk shows: no reservation is possible, or a write fails.
func isDiskFull(e *clickhouse.Exception) bool {
	const notEnoughSpace = 243
	return e.Code == notEnoughSpace || strings.Contains(e.Message, "No space left on device") || strings.Contains(e.Message, "errno: 28")
}

var transientCodes = map[int]bool{
	codeTooManyParts: true,
	codeMemoryLimit:  true,
	159:              true, // timeout exceeded
	202:              true, // too many simultaneous queries
	209:              true, // socket timeout
	210:              true, // network error
	216:              true, // a query with this id is going on: an insert whose answer was lost
	236:              true, // aborted
	285:              true, // too few live replicas
	319:              true, // unknown status of insert
	394:              true, // query was cancelled
	439:              true, // cannot schedule task
	473:              true, // deadlock avoided
	745:              true, // server overloaded
	999:              true, // keeper
}

var poisonCodes = map[int]bool{
	6:   true, // cannot parse text
	26:  true, // cannot parse quoted string
	27:  true, // cannot parse input
	41:  true, // cannot parse datetime
	53:  true, // type mismatch
	69:  true, // argument out of bound
	70:  true, // cannot convert type
	72:  true, // cannot parse number
	117: true, // incorrect data
	131: true, // too large string size
	321: true, // value is out of range of data type
	349: true, // cannot insert null
	469: true, // violated constraint
}

// operatorCodes have the remedy.
var operatorCodes = map[int]string{
	16:                  "a column is missing in the tables of database {database}: run switchyard history migrate",
	codeUnknownTable:    "a table is missing in database {database}: run switchyard history migrate; if the table was dropped, what it held is lost, and what was not shipped is kept and follows",
	codeUnknownDatabase: "database {database} does not exist: create it, or run switchyard history migrate as a user who may",
	115:                 "this ClickHouse is too old: use version 26.7 or newer",
	164:                 "user {user} may only read: give it INSERT on database {database}",
	192:                 "user {user} does not exist: create it, or check the configured user",
	193:                 "the password of user {user} is wrong: check the configured password",
	194:                 "user {user} needs a password: configure it",
	201:                 "the quota of user {user} is used up: raise it",
	242:                 "the table is read-only: check ClickHouse's disks and Keeper",
	774:                 "the table is read-only: check its settings and ClickHouse's disks",
	497:                 "user {user} may not do this: give it SELECT, INSERT, CREATE, ALTER on database {database}",
	516:                 "user {user} or its password is wrong: check both",
}
