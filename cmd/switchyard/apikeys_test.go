package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/apikeys"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// application is a client with a key.
type application struct {
	t    *testing.T
	base func() string // changes with a restart
	key  string
}

// startWithKeys starts a server that knows three applications: one that may do everything, one for the group elsewhere only, and one that may only read.
func startWithKeys(t *testing.T, args ...string) (i *installation, p *process, all, elsewhere, reader *application) {
	t.Helper()
	var file strings.Builder
	file.WriteString("keys:\n")
	i = newInstallation(t)
	add := func(name string, scopes []apikeys.Scope, groups ...string) *application {
		secret, hash := apikeys.New()
		fmt.Fprintf(&file, "  - name: %s\n    hash: %s\n    groups: [%s]\n    scopes:\n", name, hash, strings.Join(groups, ","))
		for _, s := range scopes {
			fmt.Fprintf(&file, "      - %s\n", s)
		}
		return &application{t: t, base: func() string { return "http://" + i.api }, key: secret}
	}
	all, elsewhere = add("crm", apikeys.Scopes), add("shop", apikeys.Scopes, "elsewhere")
	reader = add("wall", []apikeys.Scope{apikeys.ConversationsRead})
	i.args = []string{"--set", "api.listen=127.0.0.1:0", "--set", "api.keys=" + write(t, "keys.yaml", file.String())}
	i.args = append(i.args, args...)
	p, _ = i.start()
	return i, p, all, elsewhere, reader
}

// do sends a request and returns the status and the answer, which the OpenAPI document must allow.
func (a *application) do(method, path, body string, headers ...string) (status int, answer map[string]any) {
	a.t.Helper()
	r, err := http.NewRequest(method, a.base()+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if a.key != "" {
		r.Header.Set("Authorization", "Bearer "+a.key)
	}
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		err = d.Decode(&answer)
	}
	if err != nil {
		a.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	if (got.StatusCode == http.StatusServiceUnavailable) != (got.Header.Get("Retry-After") != "") {
		a.t.Errorf("%s %s: %d with Retry-After %q", method, path, got.StatusCode, got.Header.Get("Retry-After"))
	}
	description().check(a.t, method, path, got.StatusCode, text)
	return got.StatusCode, answer
}

// must is do for what has to succeed.
func (a *application) must(method, path, body string, headers ...string) map[string]any {
	a.t.Helper()
	status, answer := a.do(method, path, body, headers...)
	if status != http.StatusOK {
		a.t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	return answer
}

func number(v any) int {
	n, _ := v.(json.Number).Int64()
	return int(n)
}

// TestAPIKeys does what an application does for a visitor: a token, a conversation, messages as a bot, a transfer, its end; the visitor and the agent see
// it over their connections.
func TestAPIKeys(t *testing.T) {
	i, p, crm, _, _ := startWithKeys(t)
	bob := i.login("bob", frame.RoleAgent)
	opened := crm.must("POST", "/v1/conversations", `{"visitor": "ann", "group": "support", "details": {"priority": 2, "subject": "a bill"}}`, "Idempotency-Key", "order-1")
	again := crm.must("POST", "/v1/conversations", `{"visitor": "ann", "group": "support"}`, "Idempotency-Key", "order-1")
	conv := opened["conv"].(string)
	if again["conv"] != conv || opened["visitor"] != "ann" || opened["group"] != "support" {
		t.Errorf("opened %v, again %v", opened, again)
	}
	key, err := frame.ParseID(opened["key"].(string))
	if err != nil || core.ConversationID("ann", key).String() != conv {
		t.Errorf("the key %v is not that of the conversation", opened["key"])
	}

	issued := crm.must("POST", "/v1/tokens", `{"user": "ann", "ttl_s": 60}`)
	ann := i.connect()
	ann.frames((&frame.Hello{Ref: 1, Token: []byte(issued["token"].(string))}).Append(nil))
	ann.expect(frame.TypeWelcome)
	id, _ := frame.ParseID(conv)
	ann.frames((&frame.Resume{Ref: 2, Conv: id}).Append(nil))
	ann.expect(frame.TypeResumed)

	sent := crm.must("POST", "/v1/conversations/"+conv+"/messages", `{"sender": "billing-bot", "body": {"text": "a bill"}}`, "Idempotency-Key", "m1")
	for {
		var m frame.Message
		if err := m.Parse(ann.expect(frame.TypeMessage)); err != nil {
			t.Fatal(err)
		}
		if m.Kind == frame.KindChat {
			if string(m.Sender) != "billing-bot" || int(m.Seq) != number(sent["seq"]) || m.ID.String() != sent["id"] {
				t.Errorf("the visitor got %+v, the application %v", m, sent)
			}
			break
		}
	}
	if twice := crm.must("POST", "/v1/conversations/"+conv+"/messages", `{"sender": "billing-bot", "body": "another"}`, "Idempotency-Key", "m1"); number(twice["seq"]) != number(sent["seq"]) {
		t.Errorf("sent %v, and again %v", sent, twice)
	}
	shown := crm.must("GET", "/v1/conversations/"+conv, "")
	if shown["state"] != "assigned" || shown["agent"] != "bob" || number(shown["priority"]) != 2 || number(shown["head"]) != number(sent["seq"]) {
		t.Errorf("it is %v", shown)
	}
	if agents := crm.must("GET", "/v1/agents?group=support", "")["agents"].([]any); len(agents) != 1 || agents[0].(map[string]any)["status"] != "online" || number(agents[0].(map[string]any)["load"]) != 1 {
		t.Errorf("the agents are %v", agents)
	}
	crm.must("PUT", "/v1/agents/bob/status", `{"status": "busy"}`)
	if agents := crm.must("GET", "/v1/agents?group=support", "")["agents"].([]any); agents[0].(map[string]any)["status"] != "busy" {
		t.Errorf("the agents are %v", agents)
	}
	crm.must("POST", "/v1/conversations/"+conv+"/transfer", `{"front": true}`)
	if q := crm.must("GET", "/v1/queues/support", ""); number(q["total"]) != 1 || q["entries"].([]any)[0].(map[string]any)["conv"] != conv {
		t.Errorf("the queue is %v", q)
	}
	crm.must("POST", "/v1/conversations/"+conv+"/close", "")
	if shown := crm.must("GET", "/v1/conversations/"+conv, ""); shown["state"] != "closed" {
		t.Errorf("at the end it is %v", shown)
	}
	page := crm.must("GET", "/v1/conversations/"+conv+"/messages", "")["messages"].([]any)
	if len(page) != 5 { // opened, assigned, the message once, queued, closed
		t.Errorf("%d messages: %v", len(page), page)
	}
	if status, answer := crm.do("POST", "/v1/conversations/"+conv+"/messages", `{"body": "late"}`); status != http.StatusConflict || answer["error"].(map[string]any)["code"] != "closed" {
		t.Errorf("after the end: %d %v", status, answer)
	}
	p.awaitText(`"path":"/v1/conversations","status":200,"error":"","opened":"` + conv + `"`)
	p.awaitText(`"status":409,"error":"closed"`) // after it was counted
	if got := i.metric("switchyard_api_requests_total{", `key="crm",status="409"`); got != 1 {
		t.Errorf("%v requests were counted as refused", got)
	}
	_ = bob
}

// metric returns the value of the first line of /metrics that begins and goes on like this, 0 if there is none.
func (i *installation) metric(begin, then string) float64 {
	i.t.Helper()
	answer, err := http.Get(i.admin + "/metrics")
	if err != nil {
		i.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, begin) && strings.Contains(line, then) {
			var v float64
			_, value, _ := strings.Cut(line, "} ")
			fmt.Sscan(value, &v)
			return v
		}
	}
	return 0
}

// TestSupervisorsAreAudited: what a supervisor does over its connection is in the log.
func TestSupervisorsAreAudited(t *testing.T) {
	i := newInstallation(t)
	p, _ := i.start()
	bob := i.login("bob", frame.RoleAgent)
	conv := i.login("ann", frame.RoleVisitor).open(1)
	sue := i.login("sue", frame.RoleSupervisor)
	bob.expect(frame.TypeConversation)
	for _, do := range []struct {
		action string
		f      []byte
		answer frame.Type
	}{
		{"watch", (&frame.Attach{Ref: 1, Conv: conv}).Append(nil), frame.TypeResumed},
		{"read", (&frame.History{Ref: 2, Conv: conv}).Append(nil), frame.TypePage},
		{"join", (&frame.Join{Ref: 3, Conv: conv}).Append(nil), frame.TypeAck},
		{"transfer", (&frame.Transfer{Ref: 4, Conv: conv, Front: true}).Append(nil), frame.TypeAck},
		{"status", (&frame.Status{Ref: 5, Status: frame.AgentAway, User: []byte("bob")}).Append(nil), frame.TypeAck},
		{"take_over", (&frame.Claim{Ref: 6, Conv: conv}).Append(nil), frame.TypeAck},
		{"close", (&frame.Close{Ref: 7, Conv: conv}).Append(nil), frame.TypeAck},
	} {
		sue.frames(do.f)
		sue.expect(do.answer)
		p.awaitText(`"logger":"audit","action":"` + do.action + `","by":"sue"`)
	}
	if n := strings.Count(p.text(), `"logger":"audit"`); n != 7 {
		t.Errorf("%d lines were logged", n)
	}
}

// TestBotGivesToPeople: a bot is an agent with a program behind it. It gets what comes to its group, and gives it to another one.
func TestBotGivesToPeople(t *testing.T) {
	i := newInstallation(t)
	i.start()
	key, err := auth.LoadKey("", filepath.Join(i.dir, devKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	login := func(user, group string) *wire {
		token, err := key.Sign(auth.Identity{User: user, Role: frame.RoleAgent, Groups: []string{group}, Capacity: 100, Expires: time.Now().Add(time.Hour)}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w := i.connect()
		w.frames((&frame.Hello{Ref: 1, Token: []byte(token)}).Append(nil))
		w.expect(frame.TypeWelcome)
		w.frames((&frame.Status{Ref: 2, Status: frame.AgentOnline}).Append(nil))
		w.expect(frame.TypeAck)
		return w
	}
	bot, bob := login("welcome-bot", devGroup), login("bob", "people")
	conv := i.login("ann", frame.RoleVisitor).open(1)
	var notice frame.Conversation
	if err := notice.Parse(bot.expect(frame.TypeConversation)); err != nil || notice.Conv != conv {
		t.Fatalf("%v %+v", err, notice)
	}
	bot.frames((&frame.Resume{Ref: 3, Conv: conv}).Append(nil))
	bot.frames((&frame.Send{Ref: 4, Conv: conv, Level: 2, ID: frame.ID{9}, Base: 1, Body: []byte{0xa2, 'h', 'i'}}).Append(nil))
	bot.expect(frame.TypeAck)
	bot.frames((&frame.Transfer{Ref: 5, Conv: conv, Group: []byte("people")}).Append(nil))
	bot.expect(frame.TypeAck)
	if err := notice.Parse(bob.expect(frame.TypeConversation)); err != nil || notice.Conv != conv || string(notice.Agent) != "bob" || string(notice.Group) != "people" {
		t.Errorf("%v %+v", err, notice)
	}
}

// TestWhatKeysMayDo: each request needs its scope and its group, and is refused with what is wrong with it.
func TestWhatKeysMayDo(t *testing.T) {
	i, _, crm, shop, wall := startWithKeys(t)
	conv := crm.must("POST", "/v1/conversations", `{"visitor": "ann", "group": "support"}`)["conv"].(string)
	path := "/v1/conversations/" + conv
	id, _ := frame.ParseID(conv)
	notes := "/v1/conversations/" + id.Notes().String()
	token := &application{t: t, base: crm.base, key: string(i.token("sue", frame.RoleSupervisor, patience))}
	nobody := &application{t: t, base: crm.base}
	other, _ := apikeys.New()
	stranger := &application{t: t, base: crm.base, key: other}
	for _, c := range []struct {
		name   string
		by     *application
		method string
		path   string
		body   string
		status int
		code   string
	}{
		{"no key", nobody, "POST", "/v1/tokens", `{}`, 401, "unauthorized"},
		{"another key", stranger, "POST", "/v1/tokens", `{}`, 401, "unauthorized"},
		{"a user's token", token, "POST", "/v1/tokens", `{"user": "ann"}`, 403, "forbidden"},
		{"a user's token closes", token, "POST", path + "/close", "", 403, "forbidden"},
		{"no scope", wall, "POST", path + "/close", "", 403, "forbidden"},
		{"no scope for agents", wall, "GET", "/v1/agents?group=support", "", 403, "forbidden"},
		{"its scope", wall, "GET", path, "", 200, ""},
		{"its scope for messages", wall, "GET", path + "/messages", "", 200, ""},
		{"its scope for routing", wall, "GET", path + "/routing", "", 200, ""},
		{"a supervisor's token reads", token, "GET", path, "", 200, ""},
		{"a supervisor's token lists agents", token, "GET", "/v1/agents?group=support", "", 200, ""},
		{"a supervisor's token sees a queue", token, "GET", "/v1/queues/support?limit=1", "", 200, ""},
		{"a supervisor's token in another group", token, "GET", "/v1/queues/elsewhere", "", 403, "forbidden"},

		{"a supervisor's token reads notes", token, "GET", notes + "/messages", "", 200, ""},
		{"notes are no conversation", token, "GET", notes, "", 404, "not_found"},
		{"nor have they been routed", token, "GET", notes + "/routing", "", 404, "not_found"},
		{"applications read no notes", crm, "GET", notes + "/messages", "", 403, "forbidden"},
		{"nor do they write any", crm, "POST", notes + "/messages", `{"body": "x"}`, 403, "forbidden"},
		{"nor close them", crm, "POST", notes + "/close", "", 400, "bad_request"},

		{"another group reads", shop, "GET", path, "", 403, "forbidden"},
		{"another group closes", shop, "POST", path + "/close", "", 403, "forbidden"},
		{"another group sends", shop, "POST", path + "/messages", `{"body": "x"}`, 403, "forbidden"},
		{"another group transfers", shop, "POST", path + "/transfer", `{"group": "elsewhere"}`, 403, "forbidden"},
		{"another group opens", shop, "POST", "/v1/conversations", `{"visitor": "ann", "group": "support"}`, 403, "forbidden"},
		{"another group's token", shop, "POST", "/v1/tokens", `{"user": "ann", "groups": ["support"]}`, 403, "forbidden"},
		{"another group's agents", shop, "GET", "/v1/agents?group=support", "", 403, "forbidden"},
		{"another group's agent", shop, "PUT", "/v1/agents/bob/status", `{"status": "away"}`, 403, "forbidden"},
		{"another group's reports", shop, "GET", "/v1/reports/queue?group=support", "", 403, "forbidden"},
		{"its own reports", shop, "GET", "/v1/reports/queue", "", 200, ""},
		{"reports about all groups", crm, "GET", "/v1/reports/queue", "", 400, "bad_request"},
		{"reports about one", crm, "GET", "/v1/reports/queue?group=support", "", 200, ""},
		{"search in one", crm, "GET", "/v1/search?group=support&q=bill", "", 200, ""},

		{"no such conversation", crm, "POST", "/v1/conversations/01020300000000000000000000000010/close", "", 404, "not_found"},
		{"no id", crm, "POST", "/v1/conversations/x/close", "", 400, "bad_request"},
		{"no body", crm, "POST", path + "/messages", "", 400, "bad_request"},
		{"no message", crm, "POST", path + "/messages", `{}`, 400, "bad_request"},
		{"an unknown field", crm, "POST", path + "/messages", `{"body": "x", "text": "y"}`, 400, "bad_request"},
		{"two objects", crm, "POST", path + "/messages", `{"body": "x"}{"body": "y"}`, 400, "bad_request"},
		{"the visitor's name", crm, "POST", path + "/messages", `{"body": "x", "sender": "ann"}`, 409, "conflict"},
		{"a large body", crm, "POST", path + "/messages", `{"body": "` + strings.Repeat("x", 65<<10) + `"}`, 413, "too_large"},
		{"no visitor", crm, "POST", "/v1/conversations", `{"group": "support"}`, 400, "bad_request"},
		{"a bad key", crm, "POST", "/v1/conversations", `{"visitor": "ann", "group": "support", "key": "00"}`, 400, "bad_request"},
		{"bad details", crm, "POST", "/v1/conversations", `{"visitor": "ann", "group": "support", "details": {"priority": 10}}`, 400, "bad_request"},
		{"nobody's token", crm, "POST", "/v1/tokens", `{"user": ""}`, 400, "bad_request"},
		{"a token for ever", crm, "POST", "/v1/tokens", `{"user": "ann", "ttl_s": 9999999999999}`, 400, "bad_request"},
		{"a transfer to nobody", crm, "POST", path + "/transfer", `{"agent": "nobody"}`, 409, "conflict"},
		{"an unknown status", crm, "PUT", "/v1/agents/bob/status", `{"status": "asleep"}`, 400, "bad_request"},
		{"no agent's name", crm, "PUT", "/v1/agents/%ff/status", `{"status": "away"}`, 400, "bad_request"},
		{"no group's name", crm, "GET", "/v1/queues/%ff", "", 400, "bad_request"},
		{"a list for a text", crm, "POST", path + "/transfer", `{"group": []}`, 400, "bad_request"},
		{"a list for an object", crm, "POST", path + "/transfer", `[]`, 400, "bad_request"},
		{"an unknown agent", crm, "PUT", "/v1/agents/bob/status", `{"status": "away"}`, 403, "forbidden"},
		{"another method", crm, "DELETE", path, "", 404, "not_found"},
	} {
		status, answer := c.by.do(c.method, c.path, c.body)
		problem, _ := answer["error"].(map[string]any)
		if status != c.status || c.code != "" && (problem["code"] != c.code || problem["text"] == "") {
			t.Errorf("%s: %d %v", c.name, status, answer)
		}
		if text, _ := problem["text"].(string); strings.Contains(text, "Go ") || strings.Contains(text, "EOF") || strings.Contains(text, "desk:") {
			t.Errorf("%s: only who knows the source understands %q", c.name, text)
		}
	}
}

// TestOpenAgainAfterFallback: a conversation that a fallback outside the key's groups has got by now is answered as before to who opened it; another application
// of the group is told nothing of it.
func TestOpenAgainAfterFallback(t *testing.T) {
	groups := write(t, "groups.yaml", "groups:\n  elsewhere: {hours: '2000-01-01 00:00-00:01; zone UTC', fallback: support}\n  support: {}\n")
	_, _, crm, shop, _ := startWithKeys(t, "--set", "routing.file="+groups)
	const body = `{"visitor": "ann", "group": "elsewhere"}`
	first := shop.must("POST", "/v1/conversations", body, "Idempotency-Key", "a")
	for deadline := time.Now().Add(patience); crm.must("GET", "/v1/conversations/"+first["conv"].(string), "")["group"] != "support"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the fallback does not get it")
		}
	}
	if again := shop.must("POST", "/v1/conversations", body, "Idempotency-Key", "a"); again["conv"] != first["conv"] || again["group"] != "support" {
		t.Errorf("%v after %v", again, first)
	}
	given := fmt.Sprintf(`{"visitor": "ann", "group": "elsewhere", "key": %q}`, first["key"])
	if status, answer := shop.do("POST", "/v1/conversations", given); status != http.StatusForbidden {
		t.Errorf("with a key that anybody may have given: %d %v", status, answer)
	}
}

// TestManySenders: however many names an application makes up, there is room for agents.
func TestManySenders(t *testing.T) {
	i, _, crm, _, _ := startWithKeys(t)
	conv := crm.must("POST", "/v1/conversations", `{"visitor": "ann", "group": "support"}`)["conv"].(string)
	refused := 0
	for n := range 80 {
		switch status, answer := crm.do("POST", "/v1/conversations/"+conv+"/messages", fmt.Sprintf(`{"body": "x", "sender": "s%d"}`, n)); status {
		case http.StatusOK:
		case http.StatusConflict:
			refused++
		default:
			t.Fatal(status, answer)
		}
	}
	if refused == 0 || refused > 64 {
		t.Errorf("%d of 80 names are refused", refused)
	}
	crm.must("POST", "/v1/conversations/"+conv+"/messages", `{"body": "x", "sender": "s0"}`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bob := i.dial(ctx, "bob", frame.RoleAgent)
	if err := bob.SetStatus(ctx, switchyard.Online, 0); err != nil {
		t.Fatal(err)
	}
	if notice, err := bob.NextConversation(ctx); err != nil || notice.Conversation.String() != conv {
		t.Errorf("%+v %v", notice, err)
	}
}

// TestEmptyBody: a close needs no body, whether or not the request tells its length.
func TestEmptyBody(t *testing.T) {
	_, _, crm, _, _ := startWithKeys(t)
	conv := crm.must("POST", "/v1/conversations", `{"visitor": "ann", "group": "support"}`)["conv"].(string)
	r, _ := http.NewRequest("POST", crm.base()+"/v1/conversations/"+conv+"/close", io.MultiReader()) // sent in chunks, of which there are none
	r.Header.Set("Authorization", "Bearer "+crm.key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Error(answer.Status)
	}
}

// TestAnsweredIsStored kills the server right after an answer, again and again: what was answered is there, once, after the same request comes again.
func TestAnsweredIsStored(t *testing.T) {
	i, p, crm, _, _ := startWithKeys(t)
	const rounds = 4
	var path string
	for n := range rounds {
		opened := crm.must("POST", "/v1/conversations", `{"visitor": "ann", "group": "support"}`, "Idempotency-Key", "one")
		path = "/v1/conversations/" + opened["conv"].(string) + "/messages"
		sent := crm.must("POST", path, fmt.Sprintf(`{"body": %d}`, n), "Idempotency-Key", fmt.Sprint(n))
		if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
			t.Fatal("the server had ended before it was killed")
		}
		p, _ = i.start()
		again := crm.must("POST", path, fmt.Sprintf(`{"body": %d}`, n), "Idempotency-Key", fmt.Sprint(n))
		if again["seq"] != sent["seq"] || again["time_ms"] != sent["time_ms"] {
			t.Errorf("answered %v, and after the kill %v", sent, again)
		}
	}
	page := crm.must("GET", path, "")["messages"].([]any)
	if len(page) != rounds+1 {
		t.Errorf("%d messages are there: %v", len(page), page)
	}
}

// TestAPIKeyCommand: what the command prints is a key that a server takes.
func TestAPIKeyCommand(t *testing.T) {
	status, out, stderr := command(nil, "apikey", "--name", "crm", "--scopes", "queues:read,agents:read", "--groups", "support")
	if status != 0 {
		t.Fatal(stderr)
	}
	secret, entry, _ := strings.Cut(out, "\n")
	ks, err := apikeys.Load(write(t, "keys.yaml", entry))
	if err != nil {
		t.Fatal(err)
	}
	if k := ks.Find(secret); k == nil || k.Name != "crm" || !k.May(apikeys.QueuesRead) || !k.May(apikeys.AgentsRead) || len(k.Scopes) != 2 || len(k.Groups) != 1 {
		t.Errorf("%q is %+v", secret, k)
	}
	if status, _, stderr := command(nil, "apikey", "--name", "crm", "--scopes", "everything"); status == 0 || !strings.Contains(stderr, "tokens:create") {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestKeysFileIsChecked(t *testing.T) {
	file := write(t, "keys.yaml", "keys:\n  - name: crm\n")
	status, _, stderr := command([]string{"SWITCHYARD_AUTH_KEYS=" + keyFile(t), "SWITCHYARD_API_KEYS=" + file}, "config", "check")
	if status == 0 || !strings.Contains(stderr, "switchyard apikey") {
		t.Errorf("%d %s", status, stderr)
	}
}
