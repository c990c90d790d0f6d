// Package chtest runs a real ClickHouse for tests: the library that .ci/deps installs, in a process of its own (tools/clickhouse), with the
// native and the HTTP protocol on 127.0.0.1 and a folder of its own. A ClickHouse that cannot be started fails the test.
//
// Shared is for tests that need a ClickHouse, Start for those that kill it or cut it off. With TEST_CLICKHOUSE=HOST:PORT Shared
// uses the server there instead, as the user "default" without a password; so the same tests run against a production version.
//
// The library ends within a few seconds, by an exception that nobody catches, of a handshake over the native protocol that fails: a wrong password,
// a database that does not exist, a client that goes away meanwhile. What tests such things needs a server of its own, and Restart before it goes on.
package chtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Environment is the variable that names a ClickHouse which is there already.
//
// It does not begin as the server's own variables do, since the server refuses those that it does not know.
const Environment = "TEST_CLICKHOUSE"

// Besides "default", which has no password and may do everything, a server of this package knows a user with the same rights who has a
// password, and one with it who may connect and no more.
const (
	User     = "switchyard"
	Nobody   = "nobody"
	Password = "secret"
)

// Server is a ClickHouse. The methods that fail the test are for the test's goroutine.
type Server struct {
	Addr     string // native protocol, host:port
	HTTPAddr string // HTTP, host:port; "" for the server of the environment

	tb      testing.TB // of Start; nil for Shared
	process *process   // nil for the server of the environment
}

// shared is what Shared returns, started by its first caller.
var shared = sync.OnceValues(func() (*Server, error) {
	if addr := os.Getenv(Environment); addr != "" {
		return &Server{Addr: addr}, nil
	}
	p, err := newProcess("")
	if err != nil {
		return nil, err
	}
	return &Server{Addr: p.tcp.address(), HTTPAddr: p.http.address(), process: p}, nil
})

// Shared returns the one server of the test binary, which ends with it, however that ends. Each test works in databases of its own.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Start starts a server for this test alone, which may kill it; it ends with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	p, err := newProcess("")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.end(); err != nil {
			tb.Errorf("chtest: %v", err)
		}
	})
	return &Server{Addr: p.tcp.address(), HTTPAddr: p.http.address(), tb: tb, process: p}
}

// Database returns the name of a database that does not exist; if it does when the test ends, it is dropped.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("test_%016x", rand.Uint64())
	if s.tb == nil { // the others go with their server
		tb.Cleanup(func() { s.Exec(tb, "DROP DATABASE IF EXISTS "+name+" SYNC") })
	}
	return name
}

// Exec runs a statement over the native protocol, on a connection of its own.
func (s *Server) Exec(tb testing.TB, statement string) {
	tb.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{s.Addr}})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
	}()
	if err := conn.Exec(context.Background(), statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// Kill ends the server with SIGKILL and returns when it is gone. What it has told that it stored, it still has after Restart.
func (s *Server) Kill() {
	s.own("Kill").Helper()
	if err := s.process.kill(); err != nil {
		s.tb.Fatal(err)
	}
}

// Restart starts the server again, with its data and its addresses; if it still runs, Restart kills it first.
func (s *Server) Restart() {
	s.own("Restart").Helper()
	s.Kill()
	if err := s.process.start(); err != nil {
		s.tb.Fatal(err)
	}
}

// StopListen makes the server refuse connections of the native protocol; those that are open break. The server goes on.
func (s *Server) StopListen() {
	s.own("StopListen").Helper()
	s.HTTP("SYSTEM STOP LISTEN TCP")
}

// StartListen undoes StopListen.
func (s *Server) StartListen() {
	s.own("StartListen").Helper()
	s.HTTP("SYSTEM START LISTEN TCP")
}

// HTTP runs a query over HTTP, which works while the native protocol does not, and returns the answer.
func (s *Server) HTTP(query string) string {
	s.own("HTTP").Helper()
	answer, err := s.process.query(query)
	if err != nil {
		s.tb.Fatal(err)
	}
	return answer
}

// own returns the test whose server it is; what is done to a server may be done only by that.
func (s *Server) own(method string) testing.TB {
	if s.tb == nil {
		panic("BUG: chtest: " + method + " is for a server that the test started (Start); this one is shared")
	}
	return s.tb
}
