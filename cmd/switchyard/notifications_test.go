package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// hookServer is a customer's application: it verifies what it gets.
type hookServer struct {
	*httptest.Server
	t      *testing.T
	status atomic.Int32 // of its answers

	loose bool // it takes other JSON too, which goes to raw

	mu  sync.Mutex
	got []hooked // guarded by mu, as what follows
	raw []rawHooked
}

type rawHooked struct {
	id   string
	body []byte
}

type hooked struct {
	ID, Type, Conversation string
	Data                   struct {
		Seq  uint64
		Body any
	}
}

func newHookServer(t *testing.T) *hookServer {
	h := &hookServer{t: t}
	h.status.Store(http.StatusOK)
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hookServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the server was killed
	}
	verifier, err := standardwebhooks.NewWebhook(hookSecret)
	if err == nil {
		err = verifier.Verify(body, r.Header)
	}
	var x hooked
	if err == nil {
		err = json.Unmarshal(body, &x)
	}
	if err != nil {
		h.t.Errorf("%s: %v", body, err)
	}
	if status := int(h.status.Load()); status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loose && x.ID == "" {
		h.raw = append(h.raw, rawHooked{id: r.Header.Get("Webhook-Id"), body: body})
		return
	}
	h.got = append(h.got, x)
}

// types waits until notifications of these types have come, in this order.
func (h *hookServer) types(want ...string) {
	h.t.Helper()
	for i, x := range h.await(len(want)) {
		if i < len(want) && x.Type != want[i] {
			h.t.Errorf("%s comes where %s should", x.Type, want[i])
		}
	}
}

// await waits until so many notifications were taken.
func (h *hookServer) await(n int) []hooked {
	h.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		h.mu.Lock()
		got := append([]hooked(nil), h.got...)
		h.mu.Unlock()
		if len(got) >= n {
			return got
		}
	}
	h.t.Fatalf("fewer than %d notifications came", n)
	return nil
}

// config writes a file for notify.file and returns its path.
func (h *hookServer) config(events string) string {
	h.t.Helper()
	dir := h.t.TempDir()
	secrets, file := filepath.Join(dir, "secrets"), filepath.Join(dir, "endpoints.yaml")
	text := fmt.Sprintf(`# who is told
endpoints:
  - name: app
    events: [%s]
    url: %s
    plain: true
    secrets_file: %s
    attempts: 100
    retry_min: 10ms
    retry_max: 50ms
    pause_max: 50ms
    max_waiting: 1MiB
`, events, h.URL, secrets)
	for path, content := range map[string]string{secrets: hookSecret + "\n", file: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	return file
}

// TestNotifications: what happens in a conversation reaches the customer's application, signed and in order; what happens while that is away is
// told later, over a kill -9 of the server.
func TestNotifications(t *testing.T) {
	hook := newHookServer(t)
	i := newInstallation(t, "--set", "notify.file="+hook.config(`message.created, conversation.*`))
	p, base := i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	converse(ctx, t, i)
	got := hook.await(4)
	var types []string
	for n, x := range got {
		types = append(types, x.Type)
		if x.Data.Seq != uint64(n+1) || x.Conversation != got[0].Conversation || x.ID != fmt.Sprintf("msg_%s_%d", x.Conversation, x.Data.Seq) {
			t.Errorf("notification %d is %+v", n, x)
		}
	}
	for _, want := range []string{"conversation.opened", "conversation.assigned", "message.created"} {
		if !strings.Contains(strings.Join(types, " "), want) {
			t.Errorf("%q lacks %s", types, want)
		}
	}

	hook.status.Store(http.StatusServiceUnavailable)
	asked, err := i.dial(ctx, "zoe", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{}) // and bob gets her
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if _, err := asked.Send(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	waitForText(t, base+"/readyz", "app: ")
	if code, _ := get(t, base+"/readyz"); code != http.StatusOK {
		t.Errorf("not ready (%d) because an application is away", code)
	}
	if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
		t.Fatalf("ended by %v", by)
	}
	_, base = i.start()
	hook.status.Store(http.StatusOK)
	got = hook.await(8)
	seen, last := map[string]bool{}, map[string]uint64{}
	for _, x := range got {
		if !seen[x.ID] && x.Data.Seq != last[x.Conversation]+1 {
			t.Errorf("%+v comes after %d", x, last[x.Conversation])
		}
		seen[x.ID] = true
		last[x.Conversation] = max(last[x.Conversation], x.Data.Seq)
	}
	if len(seen) != 8 || len(last) != 2 {
		t.Errorf("%d notifications of %d conversations", len(seen), len(last))
	}
	waitForText(t, base+"/varz", `"waiting": 0`)
}

func waitForText(t *testing.T, url, want string) {
	t.Helper()
	var body string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, body = get(t, url); strings.Contains(body, want) {
			return
		}
	}
	t.Fatalf("%s never says %s:\n%s", url, want, body)
}

// TestDeadNotificationsAreReplayed: what nobody wants goes to notify.dead_letters, and is sent again when an operator asks for it.
func TestDeadNotificationsAreReplayed(t *testing.T) {
	hook := newHookServer(t)
	hook.status.Store(http.StatusGone)
	dead := filepath.Join(t.TempDir(), "dead.jsonl")
	i := newInstallation(t, "--set", "notify.file="+hook.config(`message.created`), "--set", "notify.dead_letters="+dead)
	_, base := i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	converse(ctx, t, i)
	waitForText(t, base+"/varz", `"dead": 2`)
	if text, err := os.ReadFile(dead); err != nil || bytes.Count(text, []byte("410 Gone")) != 2 {
		t.Fatalf("%s, %v", text, err)
	}
	hook.status.Store(http.StatusOK)
	answer, err := http.Post(base+"/notify/replay", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"queued": 2`) {
		t.Errorf("%d %s %v", answer.StatusCode, body, err)
	}
	if got := hook.await(2); got[0].Data.Body != "hello" || got[1].Data.Body != "good day" {
		t.Errorf("%+v", got)
	}
}

// TestEndpointsAreChecked: serve and config check refuse a file that is wrong, with the place and without the secrets.
func TestEndpointsAreChecked(t *testing.T) {
	for want, text := range map[string]string{
		"unknown field":     "endpoints:\n  - name: app\n    colour: red\n",
		"not a duration":    "endpoints:\n  - name: app\n    events: ['*']\n    timeout: 5\n",
		"has no events":     "endpoints:\n  - name: app\n    url: https://example.org\n",
		"permit http":       "endpoints:\n  - {name: app, events: ['*'], url: 'http://example.org'}\n",
		"openssl rand":      "endpoints:\n  - {name: app, events: ['*'], url: 'https://example.org', secrets: [hidden]}\n",
		"use a type":        "endpoints:\n  - {name: app, events: [Message], url: 'https://example.org'}\n",
		"no such file":      "endpoints:\n  - {name: app, events: ['*'], url: 'https://example.org', secrets_file: /nowhere}\n",
		"different names":   "endpoints:\n  - &a {name: app, events: ['*'], url: 'https://example.org'}\n  - *a\n",
		"template cannot":   "endpoints:\n  - {name: app, events: ['*'], url: 'https://example.org', template: '{{'}\n",
		"1 to 64 of small":  "endpoints:\n  - {name: App, events: ['*'], url: 'https://example.org'}\n",
		"not a size; write": "endpoints:\n  - {name: app, events: ['*'], url: 'https://example.org', max_waiting: 5}\n",
	} {
		file := filepath.Join(t.TempDir(), "endpoints.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := config.Default()
		c.Notify.File = file
		if err := checkNotify(&c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", want, err)
		}
		var out bytes.Buffer
		if status := run([]string{"config", "check", "--dev", "--set", "notify.file=" + file}, environment{stdout: &out, stderr: &out}); status == exitOK {
			t.Errorf("config check takes %s", text)
		}
	}
}
