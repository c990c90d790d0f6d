package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
	"github.com/switchyard-im/switchyard/sink/history"
	"github.com/switchyard-im/switchyard/sink/history/chtest"
)

// withClickhouse are the arguments of a server that ships to a database of the test's own, at once.
func withClickhouse(address, database string) []string {
	return []string{"--set", "history.clickhouse=" + address, "--set", "history.database=" + database, "--set", "history.batch_delay=10ms"}
}

// awaitRows waits until ClickHouse has so many messages and events.
func awaitRows(t *testing.T, address, database string, want uint64) {
	t.Helper()
	c, err := history.Open(history.Config{Addresses: []string{address}}) // not to the database, which may not exist yet
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got uint64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		err = c.Reads().QueryRow(t.Context(), "SELECT (SELECT count() FROM "+database+".messages FINAL) + (SELECT count() FROM "+database+".conversation_events FINAL)").Scan(&got)
		if err == nil && got == want {
			return
		}
	}
	t.Fatalf("%d rows are in ClickHouse, not %d: %v", got, want, err)
}

// TestHistoryReachesClickhouse: what is said is in ClickHouse within moments, and search and reports answer from there.
func TestHistoryReachesClickhouse(t *testing.T) {
	ch := chtest.Shared(t)
	database := ch.Database(t)
	i, base := startWithAPI(t, withClickhouse(ch.Addr, database)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	converse(ctx, t, i)
	awaitRows(t, ch.Addr, database, 4+2) // opened, hello, assigned, good day; two of them are events
	checkQueries(t, i, base)
}

// TestOutageOfClickhouse: without ClickHouse messages are accepted and delivered as ever, the server is ready and says what is wrong; over a kill -9
// nothing is lost, and when ClickHouse is there everything follows, each message once.
func TestOutageOfClickhouse(t *testing.T) {
	ch := chtest.Start(t)
	database := ch.Database(t)
	ch.StopListen()
	i := newInstallation(t, withClickhouse(ch.Addr, database)...)
	p, base := i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	converse(ctx, t, i)
	if code, body := get(t, base+"/readyz"); code != 200 || !strings.Contains(body, "ClickHouse cannot be reached") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	var out bytes.Buffer
	if status := run([]string{"history", "status", "--admin", strings.TrimPrefix(base, "http://")}, environment{stdout: &out, stderr: &out}); status != exitOK ||
		!strings.Contains(out.String(), "4 rows") || !strings.Contains(out.String(), "cannot be reached") {
		t.Errorf("status %d: %s", status, out.String())
	}
	if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
		t.Fatalf("ended by %v", by)
	}
	p, _ = i.start()
	ch.StartListen()
	awaitRows(t, ch.Addr, database, 4+2)
	if status, by := p.signal(syscall.SIGTERM); status != exitOK {
		t.Errorf("after SIGTERM: status %d, signal %v", status, by)
	}
}

// seam is an installation with a conversation whose older messages are in ClickHouse alone.
type seam struct {
	*installation
	process *process
	base    string
	conv    frame.ID
	head    uint64
	trimmed uint64 // up to here
}

// newSeam makes it, and leaves the visitor's client to the caller.
func newSeam(ctx context.Context, t *testing.T, address, database string, args ...string) (*seam, *switchyard.Conversation) {
	t.Helper()
	s, c := newTalk(ctx, t, append(withClickhouse(address, database), args...)...)
	awaitRows(t, address, database, s.head+1)
	s.process.awaitPruned(ctx, s)
	return s, c
}

// newTalk makes the conversation, in a server that keeps messages for a second.
func newTalk(ctx context.Context, t *testing.T, args ...string) (*seam, *switchyard.Conversation) {
	t.Helper()
	s := &seam{installation: newInstallation(t, append([]string{"--set", "api.listen=127.0.0.1:0", "--set", "store.retention=1s"}, args...)...)}
	s.process, _ = s.start()
	s.base = "http://" + s.api
	c, err := s.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		sent, err := c.Send(ctx, fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		s.head = sent.Seq
	}
	s.conv = c.ID()
	s.trimmed = s.head - 1
	return s, c
}

// awaitPruned waits until the store has let go of all but the last message.
func (p *process) awaitPruned(ctx context.Context, s *seam) {
	p.t.Helper()
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if _, body := get(p.t, s.admin+"/metrics"); strings.Contains(body, fmt.Sprintf("switchyard_sink_pruned_total %d\n", s.trimmed)) {
			return
		}
	}
	p.t.Fatal("the store did not let go of old messages")
}

// TestPagesOverTheSeam: with the older messages in ClickHouse alone, pages from both ends, replays and retries see one conversation, and what was
// written last; without ClickHouse a page says from where on it is complete.
func TestPagesOverTheSeam(t *testing.T) {
	ch := chtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, conv := newSeam(ctx, t, ch.Addr, ch.Database(t))
	ann := s.as(s.base, "ann", frame.RoleVisitor)
	path := "/v1/conversations/" + s.conv.String() + "/messages"
	for _, limit := range []int{1, 4, 200} {
		checkPages(t, ann, path, "after", limit, int(s.head))
		checkPages(t, ann, path, "before", limit, int(s.head))
	}
	sent, err := conv.Send(ctx, "the newest")
	if err != nil {
		t.Fatal(err)
	}
	if page, err := conv.History(ctx, 0, 5); err != nil || len(page.Messages) != 5 || page.Messages[4].Seq != sent.Seq || page.PartialFrom != 0 {
		t.Errorf("%+v, %v", page, err)
	}
	again, err := s.dial(ctx, "ann", frame.RoleVisitor).Resume(ctx, s.conv, 0)
	if err != nil {
		t.Fatal(err)
	}
	for want := uint64(1); want <= sent.Seq; want++ {
		if m, err := again.Receive(ctx); err != nil || m.Seq != want {
			t.Fatalf("the replay has %d, %v, not %d", m.Seq, err, want)
		}
	}
	ch.StopListen()
	page, err := conv.History(ctx, 0, 10)
	if err != nil || len(page.Messages) == 0 || len(page.Messages) > 2 || page.PartialFrom != page.Messages[0].Seq || !page.More {
		t.Errorf("without ClickHouse: %+v, %v", page, err)
	}
	if _, p := ann.get(path); p.PartialFrom == 0 || len(p.Messages) == 0 {
		t.Errorf("without ClickHouse over HTTP: %+v", p)
	}
	if status, p := ann.get(path + "?after=0"); status != 503 || p.Error.Code != "unavailable" {
		t.Errorf("without ClickHouse forwards: %d %+v", status, p)
	}
	if _, err := conv.Send(ctx, "goes on"); err != nil {
		t.Error(err)
	}
}

// TestMessagesThatAreGone: without ClickHouse what the store lets go of is gone. Who comes back for it is told so, and everything else goes on.
func TestMessagesThatAreGone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, _ := newTalk(ctx, t)
	s.process.awaitPruned(ctx, s)
	again, err := s.dial(ctx, "ann", frame.RoleVisitor).Resume(ctx, s.conv, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = again.Receive(ctx)
	if gap, ok := errors.AsType[*switchyard.GapError](err); !ok || gap.After != 1 || gap.Head != s.head {
		t.Errorf("got %v, want a gap from 1 to %d", err, s.head)
	}
	if sent, err := again.Send(ctx, "goes on"); err != nil || sent.Seq != s.head+1 {
		t.Errorf("%+v, %v", sent, err)
	}
	path := "/v1/conversations/" + s.conv.String() + "/messages?after=1"
	if status, p := s.as(s.base, "ann", frame.RoleVisitor).get(path); status != 410 || p.Error.Code != "gone" {
		t.Errorf("over HTTP: %d %+v", status, p)
	}
}

// TestHistoryThatHangs: a page that needs a ClickHouse which takes connections and does not answer is partial after history.query_timeout, and messages
// go on meanwhile.
func TestHistoryThatHangs(t *testing.T) {
	ch := chtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	database := ch.Database(t)
	s, _ := newSeam(ctx, t, ch.Addr, database)
	if status, by := s.process.signal(syscall.SIGTERM); status != exitOK {
		t.Fatalf("status %d, %v", status, by)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s.args = append(s.args, "--set", "history.clickhouse="+silent.Addr().String(), "--set", "history.query_timeout=400ms")
	s.start()
	conv, err := s.dial(ctx, "ann", frame.RoleVisitor).Resume(ctx, s.conv, s.head)
	if err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	page, err := conv.History(ctx, 0, 10)
	if took := time.Since(asked); err != nil || page.PartialFrom != s.head || took < 400*time.Millisecond || took > 5*time.Second {
		t.Errorf("%+v, %v, after %v", page, err, took)
	}
	if _, err := conv.Send(ctx, "goes on"); err != nil {
		t.Error(err)
	}
}

// TestClickhouseFiles: the password and the certificates come from files, and a file that is not what it should be is named.
func TestClickhouseFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots := filepath.Join(dir, "roots.pem")
	certify(t, roots)
	for _, c := range []struct {
		name    string
		change  func(*config.History)
		problem string
	}{
		{"all is well", func(h *config.History) { h.PasswordFile = file("password", "secret\n"); h.CAFile = roots }, ""},
		{"no password file", func(h *config.History) { h.PasswordFile = filepath.Join(dir, "none") }, "history.password_file"},
		{"no certificates", func(h *config.History) { h.CAFile = filepath.Join(dir, "none") }, "history.ca_file"},
		{"a file without a certificate", func(h *config.History) { h.CAFile = file("empty", "") }, "no certificate"},
	} {
		cfg := config.Default()
		cfg.History.TLS = true
		c.change(&cfg.History)
		got, err := historyConfig(&cfg, nil, nil)
		switch {
		case c.problem == "" && (err != nil || got.Password != "secret" || got.TLS.RootCAs == nil || got.TLS.MinVersion < tls.VersionTLS12):
			t.Errorf("%s: %+v, %v", c.name, got, err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestHistoryCommands run against a real ClickHouse, and say what is missing.
func TestHistoryCommands(t *testing.T) {
	ch := chtest.Shared(t)
	database := ch.Database(t)
	dir := t.TempDir()
	args := append([]string{"--dev", "--data", dir}, withClickhouse(ch.Addr, database)...)
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{append([]string{"history", "migrate"}, args...), exitOK, "the tables have version"},
		{append([]string{"history", "replay-dead"}, args...), exitOK, "0 rows"},
		{[]string{"history", "migrate", "--dev", "--data", dir}, exitFailed, "no ClickHouse is configured"},
		{append([]string{"history", "migrate"}, append(args, "--set", "history.clickhouse=127.0.0.1:1")...), exitFailed, "cannot be reached"},
	} {
		var out bytes.Buffer
		if status := run(c.args, environment{stdout: &out, stderr: &out}); status != c.status || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: status %d: %s", c.args, status, out.String())
		}
	}
}
