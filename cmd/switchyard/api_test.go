package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// apiClient asks the interface for applications as one user.
type apiClient struct {
	t     *testing.T
	base  string
	token string
}

// apiPage is what the tests look at of an answer.
type apiPage struct {
	Messages []struct {
		Seq, Prev uint64
		Sender    string
		Kind      string
		Body      any
	}
	More        bool
	PartialFrom uint64 `json:"partial_from"`
	Error       struct{ Code, Text string }
}

func startWithAPI(t *testing.T, args ...string) (i *installation, base string) {
	i = newInstallation(t, append(args, "--set", "api.listen=127.0.0.1:0")...)
	i.start()
	return i, "http://" + i.api
}

// as makes a client; a user in no group but devGroup.
func (i *installation) as(base, user string, role frame.Role, groups ...string) *apiClient {
	i.t.Helper()
	key, err := auth.LoadKey("", filepath.Join(i.dir, devKeyFile))
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := key.Sign(auth.Identity{User: user, Role: role, Groups: groups, Expires: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		i.t.Fatal(err)
	}
	return &apiClient{t: i.t, base: base, token: string(token)}
}

func (c *apiClient) get(path string) (status int, page apiPage) {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.base+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(body, &page)
	}
	if err != nil {
		c.t.Fatalf("%s: %v: %s", path, err, body)
	}
	return answer.StatusCode, page
}

// TestMessagesOverHTTP reads a conversation in pages of every size from both ends, before and after a restart: each message once, in order.
func TestMessagesOverHTTP(t *testing.T) {
	i, base := startWithAPI(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conv, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const sent = 20
	for n := range sent {
		if _, err := conv.Send(ctx, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	ann := i.as(base, "ann", frame.RoleVisitor)
	path := "/v1/conversations/" + conv.ID().String() + "/messages"
	for _, limit := range []int{1, 3, 7, 21, 200} {
		checkPages(t, ann, path, "after", limit, sent+1)
		checkPages(t, ann, path, "before", limit, sent+1)
	}
	if _, p := ann.get(path + "?limit=1"); len(p.Messages) != 1 || p.Messages[0].Body != fmt.Sprint(sent-1) || p.Messages[0].Sender != "ann" || p.Messages[0].Kind != "message" || !p.More {
		t.Errorf("the newest is %+v", p)
	}
	if _, p := ann.get(path + "?after=0&limit=1"); len(p.Messages) != 1 || p.Messages[0].Kind != "event" {
		t.Errorf("the oldest is %+v", p)
	}
}

// checkPages pages through the conversation and compares the sequences with 1 to count.
func checkPages(t *testing.T, c *apiClient, path, side string, limit, count int) {
	t.Helper()
	var seqs []uint64
	for at, more := uint64(0), true; more; {
		status, p := c.get(fmt.Sprintf("%s?%s=%d&limit=%d", path, side, at, limit))
		if status != 200 || len(p.Messages) == 0 {
			t.Fatalf("%s %d: %d %+v", side, at, status, p)
		}
		var page []uint64
		for _, m := range p.Messages {
			page = append(page, m.Seq)
		}
		if side == "after" {
			seqs, at = append(seqs, page...), page[len(page)-1]
		} else {
			seqs, at = append(page, seqs...), page[0]
		}
		more = p.More
	}
	if len(seqs) != count {
		t.Fatalf("%s, %d at a time: %d messages, not %d", side, limit, len(seqs), count)
	}
	for i, seq := range seqs {
		if seq != uint64(i+1) {
			t.Fatalf("%s, %d at a time: %v", side, limit, seqs)
		}
	}
}

func TestWhoMayReadOverHTTP(t *testing.T) {
	i, base := startWithAPI(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conv, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	path := "/v1/conversations/" + conv.ID().String() + "/messages"
	nobody := &apiClient{t: t, base: base}
	forged := &apiClient{t: t, base: base, token: "a.b.c"}
	for _, c := range []struct {
		name   string
		client *apiClient
		path   string
		status int
		code   string
	}{
		{"the visitor", i.as(base, "ann", frame.RoleVisitor), path, 200, ""},
		{"a supervisor of the group", i.as(base, "sue", frame.RoleSupervisor, "x", devGroup), path, 200, ""},
		{"another visitor", i.as(base, "bea", frame.RoleVisitor), path, 403, "forbidden"},
		{"an agent of the same name", i.as(base, "ann", frame.RoleAgent, devGroup), path, 403, "forbidden"},
		{"an agent of the group who does not have it", i.as(base, "bob", frame.RoleAgent, devGroup), path, 403, "forbidden"},
		{"a supervisor of another group", i.as(base, "sue", frame.RoleSupervisor, "x"), path, 403, "forbidden"},
		{"no token", nobody, path, 401, "unauthorized"},
		{"a forged token", forged, path, 401, "unauthorized"},
		{"no such conversation", i.as(base, "ann", frame.RoleVisitor), "/v1/conversations/01020300000000000000000000000010/messages", 404, "not_found"},
		{"no id", i.as(base, "ann", frame.RoleVisitor), "/v1/conversations/x/messages", 400, "bad_request"},
		{"both sides", i.as(base, "ann", frame.RoleVisitor), path + "?before=1&after=1", 400, "bad_request"},
		{"a negative limit", i.as(base, "ann", frame.RoleVisitor), path + "?limit=-1", 400, "bad_request"},
		{"a large limit", i.as(base, "ann", frame.RoleVisitor), path + "?limit=201", 400, "bad_request"},
		{"a sequence that is none", i.as(base, "ann", frame.RoleVisitor), path + "?before=x", 400, "bad_request"},
		{"another path", i.as(base, "ann", frame.RoleVisitor), "/v1/x", 404, "not_found"},
	} {
		if status, p := c.client.get(c.path); status != c.status || p.Error.Code != c.code || (status != 200) != (p.Error.Text != "") {
			t.Errorf("%s: %d %+v", c.name, status, p.Error)
		}
	}
}

// answerOf asks and decodes into v.
func (c *apiClient) answerOf(path string, v any) {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.base+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(v); err != nil || answer.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %d, %v", path, answer.StatusCode, err)
	}
}

// found is the answer to a search, line that to a report.
type (
	foundMessages struct {
		Messages []struct{ Sender, Body string }
		Next     string
		Complete bool
	}
	reportTable struct {
		Lines []struct {
			Key   string
			Count int
			P99   int
		}
		Unit     string
		Complete bool
	}
)

// checkQueries asks about what converse left behind.
func checkQueries(t *testing.T, i *installation, base string) {
	t.Helper()
	sue := i.as(base, "sue", frame.RoleSupervisor, devGroup)
	var found foundMessages
	sue.answerOf("/v1/search?q=GOOD+day", &found)
	if len(found.Messages) != 1 || found.Messages[0].Body != "good day" || found.Messages[0].Sender != "bob" || !found.Complete || found.Next != "" {
		t.Errorf("found %+v", found)
	}
	sue.answerOf("/v1/search?q=good&to=2020-01-01", &found)
	if len(found.Messages) != 0 {
		t.Errorf("found %+v before it was written", found)
	}
	for _, measure := range []string{"queue", "first-reply"} {
		var table reportTable
		sue.answerOf("/v1/reports/"+measure+"?by=agent&group="+devGroup, &table)
		if len(table.Lines) != 1 || table.Lines[0].Key != "bob" || table.Lines[0].Count != 1 || table.Unit != "ms" || !table.Complete {
			t.Errorf("%s: %+v", measure, table)
		}
	}
	var none foundMessages
	i.as(base, "sam", frame.RoleSupervisor, "elsewhere").answerOf("/v1/search?q=good", &none)
	if len(none.Messages) != 0 {
		t.Errorf("a supervisor of another group found %+v", none)
	}
}

func TestQueriesOverHTTP(t *testing.T) {
	i, base := startWithAPI(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	converse(ctx, t, i)
	checkQueries(t, i, base)
	sue := i.as(base, "sue", frame.RoleSupervisor, devGroup)
	for _, c := range []struct {
		name   string
		client *apiClient
		path   string
		status int
	}{
		{"an agent searches", i.as(base, "bob", frame.RoleAgent, devGroup), "/v1/search?q=good", 403},
		{"a visitor reports", i.as(base, "ann", frame.RoleVisitor), "/v1/reports/queue", 403},
		{"another group", sue, "/v1/search?q=good&group=elsewhere", 403},
		{"no words", sue, "/v1/search", 400},
		{"a time that is none", sue, "/v1/search?q=good&from=yesterday", 400},
		{"an empty time", sue, "/v1/search?q=good&from=2026-02-01&to=2026-01-01", 400},
		{"a forged cursor", sue, "/v1/search?q=good&cursor=1.2.3", 400},
		{"no such report", sue, "/v1/reports/x", 404},
		{"no such dimension", sue, "/v1/reports/queue?by=x", 400},
	} {
		if status, p := c.client.get(c.path); status != c.status || p.Error.Text == "" {
			t.Errorf("%s: %d %+v", c.name, status, p.Error)
		}
	}
}
