package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestCannedReplies: the staff of a group gets its replies, nobody else does, and another file counts from the next start on.
func TestCannedReplies(t *testing.T) {
	file := write(t, "canned.yaml", `groups:
  sales:
    - {shortcut: hi, title: Greeting, text: "Hello {{visitor}}!"}
    - {shortcut: bye, text: "Bye."}
  night: [{shortcut: late, text: "We sleep."}]
`)
	i := newInstallation(t, "--set", "api.listen=127.0.0.1:0", "--set", "api.canned_file="+file)
	p, _ := i.start()
	ask := func(who *apiClient, group string) (status int, body string) {
		r, err := http.NewRequest(http.MethodGet, "http://"+i.api+"/v1/groups/"+group+"/canned", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+who.token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || !json.Valid(text) {
			t.Fatalf("%q %v", text, err)
		}
		description().check(t, http.MethodGet, "/v1/groups/"+group+"/canned", answer.StatusCode, text)
		return answer.StatusCode, strings.TrimSpace(string(text))
	}
	const sales = `{"group":"sales","replies":[{"shortcut":"hi","title":"Greeting","text":"Hello {{visitor}}!"},{"shortcut":"bye","title":"","text":"Bye."}]}`
	agent := i.as("", "bob", frame.RoleAgent, "sales", "other")
	for _, c := range []struct {
		who    *apiClient
		group  string
		status int
		body   string
	}{
		{agent, "sales", 200, sales},
		{i.as("", "eve", frame.RoleSupervisor, "sales"), "sales", 200, sales},
		{agent, "other", 200, `{"group":"other","replies":[]}`},
		{agent, "night", 403, ""},
		{i.as("", "eve", frame.RoleSupervisor, "night"), "sales", 403, ""},
		{i.as("", "ann", frame.RoleVisitor, "sales"), "sales", 403, ""},
		{i.as("", "ann", frame.RoleVisitor), "sales", 403, ""},
		{&apiClient{}, "sales", 401, ""},
	} {
		status, body := ask(c.who, c.group)
		if status != c.status || c.body != "" && body != c.body || status != 200 && strings.Contains(body, "Hello") {
			t.Errorf("%s: %d %s, want %d %s", c.group, status, body, c.status, c.body)
		}
	}
	if err := os.WriteFile(file, []byte("groups: {sales: [{shortcut: new, text: New}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, body := ask(agent, "sales"); body != sales {
		t.Errorf("without a start: %s", body)
	}
	p.signal(syscall.SIGTERM)
	i.start()
	if _, body := ask(agent, "sales"); body != `{"group":"sales","replies":[{"shortcut":"new","title":"","text":"New"}]}` {
		t.Errorf("after a start: %s", body)
	}
}

func TestCannedFileIsChecked(t *testing.T) {
	file := write(t, "canned.yaml", "groups:\n  sales: [{shortcut: hi, text: '{{visitor'}]\n")
	status, _, stderr := command([]string{"SWITCHYARD_AUTH_KEYS=" + keyFile(t), "SWITCHYARD_API_CANNED_FILE=" + file}, "config", "check")
	if status == 0 || !strings.Contains(stderr, "api.canned_file") || !strings.Contains(stderr, `group sales: reply 1 ("hi")`) {
		t.Errorf("%d %s", status, stderr)
	}
}
