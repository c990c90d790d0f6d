package main

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/benchtest/echoserver"
	"github.com/switchyard-im/switchyard/frame"
)

// dials are the commands that dial a server, with arguments that make each ask for as much as the test allows a process.
var dials = []struct {
	name string
	many []string // more connections than any process may have
	any  bool     // measures any WebSocket server: neither a key nor a subprotocol
	pid  bool     // has --server-pid and --admin
	api  string   // the flag for the HTTP interface, if it has one
}{
	{name: "chat", many: []string{"--pairs", "50000000"}, pid: true, api: "--history"},
	{name: "desk", many: []string{"--visitors", "100000000"}, pid: true, api: "--history"},
	{name: "history", many: []string{"--conversations", "100000000"}, pid: true, api: "--api"},
	{name: "fanout", many: []string{"--listeners", "50000000"}, pid: true},
	{name: "resume", many: []string{"--clients", "100000000"}, pid: true},
	{name: "storm", many: []string{"--clients", "100000000"}},
	{name: "overload", many: []string{"--pairs", "50000000"}, pid: true},
	{name: "slow", many: []string{"--pairs", "50000000"}, pid: true},
	{name: "idle", many: []string{"--conns", "100000000"}, pid: true},
	{name: "echo", many: []string{"--conns", "100000000"}, any: true, pid: true},
}

// representative are the mistakes that every command makes; chat and echo make all. A command line takes 10 ms to be read, and ten times that with -race.
var representative = []string{"too many", "unreachable", "TLS", "overloaded", "no key file", "another key", "another version", "no process", "no admin", "no API"}

// mistake is what somebody got wrong. The command says it with all of want.
type mistake struct {
	args []string
	want []string
}

// TestBadInput makes mistakes with every command that can make them: each is told before the load, with what to do, and status 3.
func TestBadInput(t *testing.T) {
	dir, key := t.TempDir(), keyFile(t)
	forAll, withKey := serverMistakes(t), keyMistakes(t, dir)
	fine := chatServer(t, chatserver.Faults{})
	observed := map[string]mistake{
		"no process":       {[]string{"--server-pid", "2000000000"}, []string{"no process 2000000000", "--server-pid"}},
		"no admin":         {[]string{"--admin", "http://127.0.0.1:1"}, []string{"connection refused", "admin address"}},
		"another's admin":  {[]string{"--admin", httpServer(t, http.StatusNotFound, "")}, []string{"404", "admin address"}},
		"a page of no use": {[]string{"--admin", httpServer(t, http.StatusOK, "")}, []string{"lack", "admin address"}},
	}
	read := map[string]mistake{
		"no API":        {[]string{"http://127.0.0.1:1"}, []string{"connection refused", "api.listen"}},
		"no API's URL":  {[]string{"ws://127.0.0.1:1"}, []string{"api.listen"}},
		"another's API": {[]string{httpServer(t, http.StatusOK, "")}, []string{"api.listen"}},
		"another's 404": {[]string{httpServer(t, http.StatusNotFound, "")}, []string{"404", "api.listen"}},
		"another's key": {[]string{httpServer(t, http.StatusUnauthorized, `{"error":{"code":"unauthorized","text":"no"}}`)}, []string{"401", "is --key the file"}},
	}
	for _, c := range dials {
		try := func(name string, m mistake, defaults ...string) {
			t.Helper()
			if c.name != "chat" && c.name != "echo" && !slices.Contains(representative, name) {
				return
			}
			args := append([]string{c.name}, defaults...)
			code, out, errOut := bench(append(args, m.args...)...)
			wrong := slices.ContainsFunc(m.want, func(part string) bool { return !strings.Contains(errOut, part) })
			if code != exitCannotRun || wrong || out != "" || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%s %s: %d, want %d and one line with %q:\n%s%s", c.name, name, code, exitCannotRun, m.want, out, errOut)
			}
		}
		good := []string{"--url", fine}
		if !c.any {
			good = append(good, "--key", key)
		}
		try("too many", mistake{c.many, []string{"ulimit -n"}}, good...)
		for name, m := range forAll {
			try(name, m, good[2:]...)
		}
		if !c.any {
			for name, m := range withKey {
				try(name, m)
			}
		}
		for name, m := range observed {
			if c.pid {
				try(name, m, good...)
			}
		}
		for name, m := range read {
			if c.api != "" {
				m.args = []string{c.api, m.args[0]}
				try(name, m, good...)
			}
		}
	}
}

// serverMistakes are those with --url alone.
func serverMistakes(t *testing.T) map[string]mistake {
	url := func(base string) []string { return []string{"--url", "ws" + strings.TrimPrefix(base, "http")} }
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	return map[string]mistake{
		"unreachable":    {[]string{"--url", "ws://127.0.0.1:1/v1/ws"}, []string{"connection refused", "is the server running"}},
		"no such port":   {[]string{"--url", "ws://127.0.0.1:99999/v1/ws"}, []string{"cannot resolve"}},
		"TLS":            {[]string{"--url", "wss://127.0.0.1:1/v1/ws"}, []string{"ws://HOST:PORT/PATH", "TLS"}},
		"a TLS listener": {[]string{"--url", "ws" + strings.TrimPrefix(tls.URL, "https")}, []string{"400", "TLS"}},
		"no URL":         {[]string{"--url", "localhost:8080"}, []string{"ws://HOST:PORT/PATH"}},
		"another path":   {url(httpServer(t, http.StatusNotFound, "")), []string{"404", "is the path of --url right"}},
		"overloaded":     {url(httpServer(t, http.StatusServiceUnavailable, "try again\n")), []string{"503", "try again", "turns connections away"}},
		"too many tries": {url(httpServer(t, http.StatusTooManyRequests, "")), []string{"429", "turns connections away"}},
		"no WebSocket":   {url(httpServer(t, http.StatusOK, "hello")), []string{"200", "is the path of --url right"}},
		"no HTTP":        {[]string{"--url", garbage(t)}, []string{"is --url the address of a WebSocket server"}},
	}
}

// keyMistakes are those of commands that want a Switchyard server and its key.
func keyMistakes(t *testing.T, dir string) map[string]mistake {
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := keyFile(t)
	echo, err := echoserver.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(echo.Close)
	hello := func(code uint64) []string {
		return []string{"--key", key, "--url", chatServer(t, chatserver.Faults{Hello: func() uint64 { return code }})}
	}
	return map[string]mistake{
		"no key file":       {[]string{"--url", echo.URL(), "--key", filepath.Join(dir, "absent")}, []string{"no such file", "DIR/token.key"}},
		"a short key":       {[]string{"--url", echo.URL(), "--key", write("short", "5a5a")}, []string{"2 bytes", "32 are needed"}},
		"no key at all":     {[]string{"--url", echo.URL(), "--key", write("text", "this is no key!")}, []string{"neither PEM, hexadecimal nor base64"}},
		"another key":       {hello(frame.ErrorUnauthorized), []string{"unauthorized", "is --key the file"}},
		"another clock":     {hello(frame.ErrorTokenExpired), []string{"token_expired", "clocks"}},
		"too much to do":    {hello(frame.ErrorOverloaded), []string{"overloaded", "too much to do"}},
		"no Switchyard":     {[]string{"--url", echo.URL(), "--key", key}, []string{"is no Switchyard", "`echo`"}},
		"another version":   {[]string{"--url", another(t), "--key", key}, []string{"another version of the protocol"}},
		"another's refusal": {[]string{"--url", "ws" + strings.TrimPrefix(httpServer(t, http.StatusBadRequest, "Ask for a subprotocol that this server speaks"), "http"), "--key", key}, []string{"Ask for a subprotocol", "another version"}},
	}
}

// httpServer answers everything so.
func httpServer(t *testing.T, status int, body string) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// another is a WebSocket server that knows no subprotocol.
func another(t *testing.T) (url string) {
	return listen(t, func(c net.Conn) { _, _ = ws.Upgrader{}.Upgrade(c) })
}

// garbage answers in no protocol.
func garbage(t *testing.T) (url string) {
	return listen(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = c.Write([]byte("SSH-2.0-OpenSSH\r\n\r\n"))
		}
	})
}

// listen serves connections one by one, and closes each when its peer does.
func listen(t *testing.T, serve func(c net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
	return "ws://" + l.Addr().String() + "/v1/ws"
}
