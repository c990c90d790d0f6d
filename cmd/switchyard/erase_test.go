package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
	"github.com/switchyard-im/switchyard/sink/history/chtest"
)

// eraseUser runs the command.
func (i *installation) eraseUser(user string) (status int, says string) {
	var out bytes.Buffer
	status = run([]string{"history", "erase", "--user", user, "--admin", strings.TrimPrefix(i.admin, "http://")}, environment{stdout: &out, stderr: &out})
	return status, out.String()
}

// quarrel is a conversation of mallory with bob, closed by him; he stays attached to it.
func quarrel(ctx context.Context, t *testing.T, i *installation, bob *switchyard.Client) *switchyard.Conversation {
	t.Helper()
	mallory := i.dial(ctx, "mallory", frame.RoleVisitor)
	asked, err := mallory.Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		if _, err := asked.Send(ctx, fmt.Sprint("a secret ", n)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		notice, err := bob.NextConversation(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if notice.Conversation == asked.ID() {
			break
		}
	}
	answered, err := bob.Resume(ctx, asked.ID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	receive(ctx, t, answered, "a secret 9")
	if _, err := answered.Send(ctx, "what bob says stays"); err != nil {
		t.Fatal(err)
	}
	return answered
}

// TestEraseUser: while others chat, a user is erased everywhere, refused at first because of an open conversation. What she wrote is gone from pages, from
// searches and from ClickHouse, over a kill -9 too; the conversation has all its places, and others can replay it.
func TestEraseUser(t *testing.T) {
	ch := chtest.Shared(t)
	database := ch.Database(t)
	i, base := startWithAPI(t, withClickhouse(ch.Addr, database)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	load := i.chat(10, 500, patience)
	bob := i.dial(ctx, "bob", frame.RoleAgent)
	if err := bob.SetStatus(ctx, switchyard.Online, 1000); err != nil {
		t.Fatal(err)
	}
	conv := quarrel(ctx, t, i, bob)
	if status, says := i.eraseUser("mallory"); status != exitFailed || !strings.Contains(says, conv.ID().String()) || !strings.Contains(says, "close them first") {
		t.Errorf("with an open conversation: status %d: %s", status, says)
	}
	if err := conv.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if status, says := i.eraseUser("mallory"); status != exitOK || !strings.Contains(says, "verified") {
		t.Errorf("status %d: %s", status, says)
	}
	sue := i.as(base, "sue", frame.RoleSupervisor, devGroup)
	path := "/v1/conversations/" + conv.ID().String() + "/messages"
	checkErased(t, sue, path)
	if status, _ := i.as(base, "mallory", frame.RoleVisitor).get(path); status != http.StatusForbidden {
		t.Errorf("she may read it: %d", status)
	}
	var found foundMessages
	if sue.answerOf("/v1/search?q=secret", &found); len(found.Messages) != 0 {
		t.Errorf("found %+v", found)
	}
	load.report()
	if status, says := i.eraseUser("mallory"); status != exitOK || !strings.Contains(says, " 0 messages, 0 closed conversations") {
		t.Errorf("again: status %d: %s", status, says)
	}
}

// checkErased reads the conversation of quarrel after she was erased.
func checkErased(t *testing.T, c *apiClient, path string) {
	t.Helper()
	_, page := c.get(path + "?limit=200")
	if len(page.Messages) != 14 { // opened, assigned, ten of hers, one of his, closed
		t.Errorf("%d messages are left: %+v", len(page.Messages), page)
	}
	hers := 0
	for n, m := range page.Messages {
		if m.Seq != uint64(n+1) || m.Prev != uint64(n) {
			t.Errorf("message %d has the place %d after %d", n+1, m.Seq, m.Prev)
		}
		text := fmt.Sprint(m.Body)
		if m.Sender == "mallory" || strings.Contains(text, "mallory") || strings.Contains(text, "secret") {
			t.Errorf("%+v", m)
		}
		if m.Sender == "erased" && m.Body == nil {
			hers++
		}
		if m.Sender == "bob" && m.Body != "what bob says stays" {
			t.Errorf("%+v", m)
		}
	}
	if hers != 10 {
		t.Errorf("%d messages are empty", hers)
	}
}

// TestEraseOverKills kills the server in the middle of an erasure, and ClickHouse too, again and again, and runs it once more to its end.
func TestEraseOverKills(t *testing.T) {
	ch := chtest.Start(t)
	i := newInstallation(t, append(withClickhouse(ch.Addr, ch.Database(t)), "--set", "api.listen=127.0.0.1:0")...)
	p, _ := i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bob := i.dial(ctx, "bob", frame.RoleAgent)
	if err := bob.SetStatus(ctx, switchyard.Online, 0); err != nil {
		t.Fatal(err)
	}
	conv := quarrel(ctx, t, i, bob)
	if err := conv.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		var asked sync.WaitGroup
		asked.Go(func() { i.eraseUser("mallory") }) // until the kill
		time.Sleep(after)                           // the moment is the test's input
		if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
			t.Fatalf("ended by %v", by)
		}
		asked.Wait()
		ch.Restart()
		p, _ = i.start()
	}
	if status, says := i.eraseUser("mallory"); status != exitOK {
		t.Errorf("status %d: %s", status, says)
	}
	sue := i.as("http://"+i.api, "sue", frame.RoleSupervisor, devGroup)
	checkErased(t, sue, "/v1/conversations/"+conv.ID().String()+"/messages")
	again, err := i.dial(ctx, "bob", frame.RoleAgent).Resume(ctx, conv.ID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for want := uint64(1); want <= 14; want++ {
		if m, err := again.Receive(ctx); err != nil || m.Seq != want {
			t.Fatalf("the replay has %d, %v, not %d", m.Seq, err, want)
		}
	}
}

// TestEraseRefused: what cannot be erased, and whoever asks without JSON, as a page in a browser would.
func TestEraseRefused(t *testing.T) {
	i := newInstallation(t)
	i.start()
	if status, says := i.eraseUser("erased"); status != exitFailed || !strings.Contains(says, "stands for all") {
		t.Errorf("status %d: %s", status, says)
	}
	for _, c := range []struct {
		contentType, body string
		status            int
	}{
		{"text/plain", `{"user": "mallory"}`, http.StatusUnsupportedMediaType},
		{"application/json", `mallory`, http.StatusBadRequest},
		{"application/json", `{}`, http.StatusBadRequest},
		{"application/json", strings.Repeat("x", 1<<20), http.StatusBadRequest},
		{"application/json", `{"user": "nobody"}`, http.StatusOK},
	} {
		r, err := http.Post(i.admin+erasePath, c.contentType, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != c.status {
			t.Errorf("%s as %s: status %d, not %d", c.body[:min(len(c.body), 20)], c.contentType, r.StatusCode, c.status)
		}
	}
	if status, says := func() (int, string) { i.admin = "http://127.0.0.1:1"; return i.eraseUser("mallory") }(); status != exitFailed || !strings.Contains(says, "no server answers") {
		t.Errorf("without a server: status %d: %s", status, says)
	}
}
