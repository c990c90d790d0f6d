package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// installation is a data directory on which servers run one after the other.
type installation struct {
	t      *testing.T
	dir    string
	listen string
	args   []string
	front  *haproxy // what clients connect to; nil: the server itself
	binary string   // of serve; empty: this test
	admin  string   // the URL of the admin listener, once it was started
	api    string   // the address of the interface for applications, once it was started; or off
}

// newInstallation is one whose servers bear a machine that is busy with other tests, which is no overload that a test is about, and sockets that answer no
// pings, as those of wire. A test about either sets it back.
func newInstallation(t *testing.T, args ...string) *installation {
	args = append([]string{"--set", "overload.max_delay=1m", "--set", "websocket.close_after=10m"}, args...)
	return &installation{t: t, dir: filepath.Join(t.TempDir(), "data"), listen: "127.0.0.1:0", args: args}
}

// start runs serve; from the second time on, on the same port, as clients expect.
func (i *installation) start() (p *process, base string) {
	i.t.Helper()
	args := append([]string{"serve", "--dev", "--data", i.dir, "--listen", i.listen, "--admin", "127.0.0.1:0"}, i.args...)
	binary := cmp.Or(i.binary, os.Args[0])
	p = launch(i.t, "ready", exec.Command(binary, args...))
	line := p.awaitReady()
	if i.listen == "127.0.0.1:0" { // only then, since clients may be reading it
		i.listen = line["address"].(string)
	}
	i.api, i.admin = line["api"].(string), "http://"+line["admin"].(string)
	return p, i.admin
}

func (i *installation) options(user string, role frame.Role) switchyard.Options {
	key, err := auth.LoadKey("", filepath.Join(i.dir, devKeyFile))
	if err != nil {
		i.t.Fatal(err)
	}
	return switchyard.Options{
		ListConversations: role == frame.RoleAgent,
		Token:             func(context.Context) (string, error) { return devToken(key, user, role, time.Now()) },
	}
}

func (i *installation) dial(ctx context.Context, user string, role frame.Role) *switchyard.Client {
	i.t.Helper()
	url, o := "ws://"+i.listen+"/v1/ws", i.options(user, role)
	if i.front != nil {
		url, o.TLS, o.DialContext = i.front.url(), i.front.tls, i.front.dial
	}
	c, err := switchyard.Dial(ctx, url, o)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestServe(t *testing.T) {
	i := newInstallation(t, "--set", "server.id=srv-7")
	p, base := i.start()
	if code, body := get(t, base+"/readyz"); code != 200 || !strings.Contains(body, `"server_id": "srv-7"`) {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, body := get(t, base+"/varz"); code != 200 || !strings.Contains(body, `"recovery"`) {
		t.Errorf("/varz: %d %s", code, body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	converse(ctx, t, i)
	checkMetrics(t, base)
	if status, by := p.signal(syscall.SIGTERM); status != exitOK {
		t.Errorf("after SIGTERM: status %d, signal %v", status, by)
	}
	if !strings.Contains(p.text(), `"msg":"stopped"`) {
		t.Error("the end is not logged")
	}
	if tokens := regexp.MustCompile(`ey\S+\.\S+\.\S+`).FindAll(p.stdout.Bytes(), -1); len(tokens) != 2 {
		t.Errorf("%d tokens are printed: %s", len(tokens), p.stdout.String())
	}
	for token := range strings.FieldsSeq(p.stdout.String()) {
		if strings.HasPrefix(token, "ey") && strings.Contains(p.text(), token) {
			t.Error("a token is in the log")
		}
	}
}

// converse sends a message each way between a visitor and the agent who gets the conversation.
func converse(ctx context.Context, t *testing.T, i *installation) {
	t.Helper()
	agent := i.dial(ctx, "bob", frame.RoleAgent)
	if err := agent.SetStatus(ctx, switchyard.Online, 0); err != nil {
		t.Fatal(err)
	}
	visitor := i.dial(ctx, "ann", frame.RoleVisitor)
	asked, err := visitor.Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asked.Send(ctx, "hello"); err != nil {
		t.Fatal(err)
	}
	notice, err := agent.NextConversation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	answered, err := agent.Resume(ctx, notice.Conversation, 0)
	if err != nil {
		t.Fatal(err)
	}
	receive(ctx, t, answered, "hello")
	if _, err := answered.Send(ctx, "good day"); err != nil {
		t.Fatal(err)
	}
	receive(ctx, t, asked, "good day")
}

// receive reads messages until one has this text.
func receive(ctx context.Context, t *testing.T, c *switchyard.Conversation, want string) {
	t.Helper()
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			t.Fatalf("waiting for %q: %v", want, err)
		}
		var text string
		if m.Body.Decode(&text) == nil && text == want {
			return
		}
	}
}

func checkMetrics(t *testing.T, base string) {
	t.Helper()
	_, body := get(t, base+"/metrics")
	for _, want := range []string{
		"switchyard_accept_seconds_bucket", "switchyard_deliver_seconds_bucket", "switchyard_sink_commit_seconds_bucket", "switchyard_sink_fsync_seconds_count",
		`switchyard_latency_seconds{quantile="0.999",stage="accept"}`, "switchyard_connections", "switchyard_info{", "go_goroutines", "process_resident_memory_bytes",
		"go_cpu_classes_gc_total_cpu_seconds_total", // switchyard-bench reads it
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// TestLatencyStagesExist finds a histogram that was renamed without its percentiles.
func TestLatencyStagesExist(t *testing.T) {
	_, base := newInstallation(t).start()
	_, body := get(t, base+"/metrics")
	for name := range latencyStages {
		if !strings.Contains(body, "# TYPE "+name+" histogram") {
			t.Errorf("no part has the histogram %s", name)
		}
	}
}

func TestMessagesSurviveAKill(t *testing.T) {
	i := newInstallation(t)
	p, _ := i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	visitor := i.dial(ctx, "ann", frame.RoleVisitor)
	c, err := visitor.Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const before, after = 20, 20
	for n := range before {
		if _, err := c.Send(ctx, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
		t.Fatalf("ended by %v", by)
	}
	i.start()
	for n := range after {
		if _, err := c.Send(ctx, fmt.Sprint(before+n)); err != nil {
			t.Fatal(err)
		}
	}
	page, err := c.History(ctx, 0, 200)
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, m := range page.Messages {
		var text string
		if m.Body.Decode(&text) != nil {
			continue // an event
		}
		if text != fmt.Sprint(next) {
			t.Fatalf("message %d is %q", next, text)
		}
		next++
	}
	if next != before+after {
		t.Errorf("%d messages of %d are there", next, before+after)
	}
}

func TestSecondServerOnOneStore(t *testing.T) {
	i := newInstallation(t)
	i.start()
	second := startFailing(t, "serve", "--dev", "--data", i.dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if status, _ := second.wait(); status != exitFailed || !strings.Contains(second.text(), "in use by another process") {
		t.Errorf("status %d: %s", status, second.text())
	}
	third := startFailing(t, "serve", "--dev", "--data", filepath.Join(t.TempDir(), "d"), "--listen", i.listen, "--admin", "127.0.0.1:0")
	if status, _ := third.wait(); status != exitFailed || !strings.Contains(third.text(), i.listen) {
		t.Errorf("the same address: status %d: %s", status, third.text())
	}
}

// stayer is a client that does not answer anything, not even a close frame.
func stayer(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, _, _, err := ws.Dialer{Protocols: []string{"switchyard.v1.msgpack"}}.Dial(t.Context(), "ws://"+address+"/v1/ws")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestStopCutsOffWhoStays(t *testing.T) {
	i := newInstallation(t, "--set", "server.drain_timeout=0s")
	p, _ := i.start()
	stayer(t, i.listen)
	if status, by := p.signal(syscall.SIGINT); status != exitOK {
		t.Errorf("with no time to drain: status %d, signal %v", status, by)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	i := newInstallation(t, "--set", "server.drain_timeout=1h", "--set", "websocket.linger_timeout=1m")
	p, base := i.start()
	stayer(t, i.listen)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for code := 0; code != 503; time.Sleep(time.Millisecond) {
		code, _ = get(t, base+"/readyz")
	}
	if _, by := p.signal(syscall.SIGTERM); by != syscall.SIGTERM {
		t.Errorf("ended by %v, want SIGTERM", by)
	}
}

func TestEcho(t *testing.T) {
	p, line := startProcess(t, "echo server ready", "echo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	for _, path := range []string{"/", "/ws"} {
		conn, _, _, err := ws.Dial(t.Context(), "ws://"+line["address"].(string)+path)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
			payload := bytes.Repeat([]byte("ä"), 100_000)
			if err := wsutil.WriteClientMessage(conn, op, payload); err != nil {
				t.Fatal(err)
			}
			back, got, err := wsutil.ReadServerData(conn)
			if err != nil || got != op || !bytes.Equal(back, payload) {
				t.Errorf("%s: %d bytes of kind %v, %v", path, len(back), got, err)
			}
		}
		conn.Close()
	}
	if _, body := get(t, "http://"+line["admin"].(string)+"/metrics"); !strings.Contains(body, "switchyard_websocket_messages_total{direction=\"in\"} ") {
		t.Errorf("the admin address shows no counts:\n%s", body)
	}
	if status, by := p.signal(syscall.SIGTERM); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
}

// TestEchoPingsTheSilent has an echo server that pings sooner than it does by default.
func TestEchoPingsTheSilent(t *testing.T) {
	_, line := startProcess(t, "echo server ready", "echo", "--listen", "127.0.0.1:0", "--ping-after", "1s")
	conn, early, _, err := ws.Dial(t.Context(), "ws://"+line["address"].(string))
	if err != nil || early != nil {
		t.Fatal(err, early)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(25 * time.Second)); err != nil { // by default the ping comes after 30 s
		t.Fatal(err)
	}
	if h, err := ws.ReadHeader(conn); err != nil || h.OpCode != ws.OpPing {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestEchoReusePort has two processes share a port. When one stops, the other serves every connection.
func TestEchoReusePort(t *testing.T) {
	first, line := startProcess(t, "echo server ready", "echo", "--reuse-port", "--listen", "127.0.0.1:0")
	address := line["address"].(string)
	startProcess(t, "echo server ready", "echo", "--reuse-port", "--listen", address)
	if status, by := first.signal(syscall.SIGTERM); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
	for range 20 {
		conn, _, _, err := ws.Dial(t.Context(), "ws://"+address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

// TestFramesAreCounted: frames by type and direction, at the gate, from the shards and in replays.
func TestFramesAreCounted(t *testing.T) {
	i := newInstallation(t)
	_, base := i.start()
	w := i.login("w", frame.RoleVisitor)
	conv := w.open(1)
	for n := range 3 {
		w.frames((&frame.Send{Ref: 3, Conv: conv, Level: 2, ID: frame.ID{byte(n + 1)}, Base: 1, Body: frame.AppendText(nil, "x")}).Append(nil))
		w.expect(frame.TypeAck)
	}
	other := i.login("w", frame.RoleVisitor)
	other.frames((&frame.Resume{Ref: 2, Conv: conv, After: 1}).Append(nil))
	for range 3 {
		other.expect(frame.TypeMessage)
	}
	_, body := get(t, base+"/metrics")
	for _, want := range []string{
		`switchyard_frames_total{direction="in",type="hello"} 2`, `switchyard_frames_total{direction="out",type="welcome"} 2`,
		`switchyard_frames_total{direction="in",type="send"} 3`, `switchyard_frames_total{direction="out",type="ack"} 3`,
		`switchyard_frames_total{direction="out",type="message"} 3`, `switchyard_frames_total{direction="in",type="read"} 0`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
