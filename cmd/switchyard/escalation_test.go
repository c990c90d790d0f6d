package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// postOffice is a mail server.
type postOffice struct {
	addr string

	mu     sync.Mutex
	closed bool // guarded by mu, as all below: it takes nothing at present
	strict bool // it knows nobody
	asked  int  // how often it refused
	mails  []mailed
}

type mailed struct {
	from, id, subject, text string
	to                      []string
}

func openPostOffice(t *testing.T) *postOffice {
	t.Helper()
	o := &postOffice{}
	s := smtp.NewServer(o)
	s.Domain, s.AllowInsecureAuth = "localhost", true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.addr = listener.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(listener)
	}()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return o
}

func (o *postOffice) open(open bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = !open
}

func (o *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return &postClerk{office: o}, nil }

// await waits until so many mails were taken.
func (o *postOffice) await(t *testing.T, n int) []mailed {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		o.mu.Lock()
		got := append([]mailed(nil), o.mails...)
		o.mu.Unlock()
		if len(got) >= n {
			return got
		}
	}
	t.Fatalf("fewer than %d mails came", n)
	return nil
}

// awaitAsked waits until a mail was refused.
func (o *postOffice) awaitAsked(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		o.mu.Lock()
		asked := o.asked
		o.mu.Unlock()
		if asked > 0 {
			return
		}
	}
	t.Fatal("nobody tries to send a mail")
}

type postClerk struct {
	office *postOffice
	mail   mailed
}

func (c *postClerk) Mail(from string, _ *smtp.MailOptions) error {
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	if c.office.closed {
		c.office.asked++
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come back later"}
	}
	c.mail.from = from
	return nil
}

func (c *postClerk) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	if c.office.strict {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	c.mail.to = append(c.mail.to, to)
	return nil
}

func (c *postClerk) Data(r io.Reader) error {
	m, err := netmail.ReadMessage(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		return err
	}
	c.mail.id, c.mail.subject, c.mail.text = m.Header.Get("Message-ID"), m.Header.Get("Subject"), strings.ReplaceAll(string(text), "\r\n", "\n")
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	c.office.mails = append(c.office.mails, c.mail)
	return nil
}

func (c *postClerk) Reset()        { c.mail = mailed{} }
func (c *postClerk) Logout() error { return nil }

// pager is a service for short messages, which verifies what it gets.
type pager struct {
	*hookServer
}

type paged struct{ To, Text, Step, User string }

// pages are what it took, by id: the same one may come twice.
func (p *pager) pages() map[string]paged {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]paged{}
	for _, raw := range p.raw {
		var one paged
		if json.Unmarshal(raw.body, &one) == nil {
			all[raw.id] = one
		}
	}
	return all
}

func (p *pager) await(n int) map[string]paged {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if all := p.pages(); len(all) >= n {
			return all
		}
	}
	p.t.Fatalf("fewer than %d pages came", n)
	return nil
}

// escalating is an installation that tells visitors by mail, and agents by pager and, later, by mail.
type escalating struct {
	*installation
	office *postOffice
	pager  *pager
	dead   string
	p      *process
	base   string
}

const escalationFile = `
endpoints:
  - {name: app, events: [conversation.rated, conversation.closed], url: '%[1]s/app', plain: true, secrets: [%[3]s], attempts: 100000, retry_min: 10ms, retry_max: 50ms, pause_max: 50ms}
channels:
  - name: mail
    mail: {server: '%[2]s', encryption: none, from: 'Help desk <help@example.org>'}
    to: {staff: '{{.user}}@example.org'}
    link: 'https://example.org/chat/{{.conversation}}'
    attempts: 100000
    retry_min: 10ms
    retry_max: 50ms
    pause_max: 50ms
  - name: pager
    url: '%[1]s/pager'
    plain: true
    secrets: [%[3]s]
    to: {staff: '+49-{{.user}}'}
    template: '{"to": "{{.data.to}}", "text": "{{(index .data.missed 0).text}}", "step": "{{.data.step}}", "user": "{{.data.user}}"}'
    attempts: 100000
    retry_min: 10ms
    retry_max: 50ms
    pause_max: 50ms
policies:
  visitors: [{name: mail, after: 1s, channel: mail, digest: true}]
  agents:
    - {name: page, after: 1s, channel: pager, digest: true}
    - {name: mail, after: 2s, channel: mail, digest: true}
escalation: {visitors: visitors, staff: agents, grace: 1s}
`

func newEscalating(t *testing.T) *escalating {
	e := &escalating{office: openPostOffice(t), pager: &pager{newHookServer(t)}, dead: filepath.Join(t.TempDir(), "dead.jsonl")}
	e.pager.loose = true
	file := filepath.Join(t.TempDir(), "notify.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, escalationFile, e.pager.URL, e.office.addr, hookSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	e.installation = newInstallation(t, "--set", "notify.file="+file, "--set", "notify.dead_letters="+e.dead)
	e.p, e.base = e.start()
	return e
}

func (e *escalating) kill() {
	e.t.Helper()
	if _, by := e.p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
		e.t.Fatalf("ended by %v", by)
	}
}

// begin opens a conversation of ann with bob, who has it. Neither acks anything that is not received.
func (e *escalating) begin(ctx context.Context) (ann *switchyard.Client, asked *switchyard.Conversation, bob *switchyard.Client, answered *switchyard.Conversation) {
	e.t.Helper()
	bob = e.dial(ctx, "bob", frame.RoleAgent)
	if err := bob.SetStatus(ctx, switchyard.Online, 0); err != nil {
		e.t.Fatal(err)
	}
	ann = e.dial(ctx, "ann", frame.RoleVisitor)
	asked, err := ann.Open(ctx, devGroup, switchyard.OpenOptions{Attributes: map[string]string{"email": "ann@example.com", "name": "Ann"}})
	if err != nil {
		e.t.Fatal(err)
	}
	notice, err := bob.NextConversation(ctx)
	if err != nil {
		e.t.Fatal(err)
	}
	if answered, err = bob.Resume(ctx, notice.Conversation, 0); err != nil {
		e.t.Fatal(err)
	}
	return ann, asked, bob, answered
}

func (e *escalating) send(ctx context.Context, c *switchyard.Conversation, texts ...string) {
	e.t.Helper()
	for _, text := range texts {
		if _, err := c.Send(ctx, text); err != nil {
			e.t.Fatal(err)
		}
	}
}

// TestEscalation: a visitor who has left gets a mail with what was missed, an agent who does not look a page and then a mail, each once; who acks in
// time gets nothing; and the closing and the rating of a conversation reach the application.
func TestEscalation(t *testing.T) {
	e := newEscalating(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, asked, _, answered := e.begin(ctx)
	e.send(ctx, asked, "quick question")
	receive(ctx, t, answered, "quick question") // acked
	e.send(ctx, answered, "good day", "which one?")
	m := e.office.await(t, 1)[0]
	if len(m.to) != 1 || m.to[0] != "ann@example.com" || m.from != "help@example.org" || m.subject != "2 messages are waiting for you" {
		t.Errorf("the mail is %+v", m)
	}
	for _, want := range []string{"Hello Ann", "bob, ", "good day", "which one?", "https://example.org/chat/" + asked.ID().String()} {
		if !strings.Contains(m.text, want) {
			t.Errorf("the mail lacks %q:\n%s", want, m.text)
		}
	}
	if strings.Contains(m.text, "quick question") {
		t.Errorf("ann's own message is in the mail:\n%s", m.text)
	}
	receive(ctx, t, asked, "which one?")
	e.send(ctx, asked, "the second", "and the third")
	for id, page := range e.pager.await(1) {
		if page != (paged{To: "+49-bob", Text: "the second", Step: "page", User: "agent/bob"}) {
			t.Errorf("%s is %+v", id, page)
		}
	}
	m = e.office.await(t, 2)[1]
	if len(m.to) != 1 || m.to[0] != "bob@example.org" || !strings.Contains(m.text, "the second") || !strings.Contains(m.text, "and the third") {
		t.Errorf("the agent's mail is %+v", m)
	}
	if err := asked.Rate(ctx, 5, "thanks"); err != nil {
		t.Fatal(err)
	}
	if err := asked.Close(ctx); err != nil {
		t.Fatal(err)
	}
	e.pager.types("conversation.rated", "conversation.closed")
	waitForText(t, e.base+"/varz", `"waiting": 0`)
	if pages, mails := e.pager.pages(), e.office.await(t, 2); len(pages) != 1 || len(mails) != 2 {
		t.Errorf("%d pages and %d mails", len(pages), len(mails))
	}
	if text, err := os.ReadFile(e.dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dead letters: %s, %v", text, err)
	}
}

// TestLateAckCancels: what was fired, and could not be sent, is not sent when it was acked meanwhile, and what was acked of it in part is left out.
func TestLateAckCancels(t *testing.T) {
	e := newEscalating(t)
	e.office.open(false)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, asked, _, answered := e.begin(ctx)
	e.send(ctx, answered, "one", "two", "three")
	e.office.awaitAsked(t)
	receive(ctx, t, asked, "two")
	time.Sleep(1500 * time.Millisecond) // the SDK keeps a mark back for a second
	e.office.open(true)
	m := e.office.await(t, 1)[0]
	if !strings.Contains(m.text, "three") || strings.Contains(m.text, "two") || strings.Contains(m.text, "one") {
		t.Errorf("the mail says:\n%s", m.text)
	}
	e.office.open(false)
	e.send(ctx, answered, "four")
	waitForMetric(t, e.base, `switchyard_notify_waiting{endpoint="mail"`, 1)
	receive(ctx, t, asked, "four")
	time.Sleep(1500 * time.Millisecond)
	e.office.open(true)
	waitForMetric(t, e.base, `switchyard_notify_waiting{endpoint="mail"`, 0)
	waitForMetric(t, e.base, `switchyard_notify_attempts_total{endpoint="mail",outcome="cancelled"`, 1)
	if mails := e.office.await(t, 1); len(mails) != 1 {
		t.Errorf("%d mails: %+v", len(mails), mails)
	}
}

// TestEscalationOverKill: nothing is lost, and nothing sent twice but under the same id, when the server is killed while the time runs, while a
// notification cannot be sent, and after the conversation was closed.
func TestEscalationOverKill(t *testing.T) {
	e := newEscalating(t)
	e.office.open(false)
	e.pager.status.Store(http.StatusInternalServerError)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ann, asked, bob, answered := e.begin(ctx)
	e.send(ctx, asked, "before the kill")
	e.send(ctx, answered, "answered before")
	e.kill()
	e.p, e.base = e.start() // the time goes on
	e.office.awaitAsked(t)
	waitForMetric(t, e.base, `switchyard_notify_waiting{endpoint="pager"`, 1)
	e.kill() // after the commit, before the sending
	e.p, e.base = e.start()
	if err := bob.SetStatus(ctx, switchyard.Online, 0); err != nil {
		t.Fatal(err)
	}
	e.send(ctx, answered, "the last word")
	if err := answered.Close(ctx); err != nil {
		t.Fatal(err)
	}
	_, _ = ann.Close(), bob.Close()
	e.kill() // closed, and what was said last was fired by nobody yet
	e.p, e.base = e.start()
	e.office.open(true)
	e.pager.status.Store(http.StatusOK)
	pages := e.pager.await(1)
	if len(pages) != 1 {
		t.Errorf("%d pages: %+v", len(pages), pages)
	}
	all := ""
	for deadline := time.Now().Add(patience); !strings.Contains(all, "the last word") || !strings.Contains(all, "before the kill"); time.Sleep(10 * time.Millisecond) {
		all = ""
		for _, m := range e.office.await(t, 1) {
			all += m.text
		}
		if time.Now().After(deadline) {
			t.Fatalf("the mails say:\n%s", all)
		}
	}
	waitForMetric(t, e.base, `switchyard_notify_waiting{endpoint="mail"`, 0)
	waitForMetric(t, e.base, `switchyard_escalation_unacked`, 0) // of what is closed and sent nothing is kept
	for _, text := range []string{"answered before", "the last word", "before the kill"} {
		ids := map[string]int{}
		for _, m := range e.office.await(t, 1) {
			if strings.Contains(m.text, text) {
				ids[m.id]++
			}
		}
		if len(ids) != 1 {
			t.Errorf("%q came under the ids %v", text, ids)
		}
	}
}

// TestUndeliverableMailIsReplayed: a mail that the server refuses for good goes to the dead letters, and is sent when it is replayed, without what was acked
// meanwhile.
func TestUndeliverableMailIsReplayed(t *testing.T) {
	e := newEscalating(t)
	e.office.mu.Lock()
	e.office.strict = true
	e.office.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, asked, _, answered := e.begin(ctx)
	e.send(ctx, answered, "one", "two")
	waitForMetric(t, e.base, `switchyard_notify_dead_total{endpoint="mail",reason="refused"`, 1)
	if text, err := os.ReadFile(e.dead); err != nil || !strings.Contains(string(text), "no such user") || !strings.Contains(string(text), "ann@example.com") {
		t.Fatalf("%s, %v", text, err)
	}
	receive(ctx, t, asked, "one")
	time.Sleep(1500 * time.Millisecond) // the SDK keeps a mark back for a second
	e.office.mu.Lock()
	e.office.strict = false
	e.office.mu.Unlock()
	answer, err := http.Post(e.base+"/notify/replay", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if m := e.office.await(t, 1)[0]; !strings.Contains(m.text, "two") || strings.Contains(m.text, "one") {
		t.Errorf("the mail says:\n%s", m.text)
	}
}

// waitForMetric waits until a metric, named with the beginning of its labels, has a value.
func waitForMetric(t *testing.T, base, name string, want float64) {
	t.Helper()
	last := "nothing"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		_, body := get(t, base+"/metrics")
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, name) {
				last = strings.TrimSpace(line)
			}
		}
		if strings.HasSuffix(last, fmt.Sprintf(" %g", want)) {
			return
		}
	}
	t.Fatalf("%s, want %g", last, want)
}

// TestEscalationIsChecked: a file that cannot work is refused, with the place.
func TestEscalationIsChecked(t *testing.T) {
	const channel = "channels: [{name: app, url: 'https://example.org'}]\n"
	for want, text := range map[string]string{
		"which is not there":     channel + "policies: {p: [{name: a, after: 1m, channel: other}]}\n",
		"there is no policy":     channel + "escalation: {visitors: p}\n",
		"at least 1s":            channel + "policies: {p: [{name: a, after: 1ms, channel: app}]}\n",
		"unknown field":          "channels: [{name: app, colour: red}]\n",
		"only endpoints have":    "channels: [{name: app, url: 'https://example.org', events: ['*']}]\n",
		"the mail server is":     "channels: [{name: app, mail: {server: example.org, from: a@example.org}}]\n",
		"make two channels":      "channels: [{name: app, url: 'https://example.org', mail: {server: 'example.org:25'}}]\n",
		"different names":        "channels: [{name: app}]\nendpoints: [{name: app, url: 'https://example.org', events: ['*']}]\n",
		"ca_file":                "channels: [{name: app, mail: {server: 'example.org:25', from: a@example.org, ca_file: /nowhere}}]\n",
		"password_file":          "channels: [{name: app, mail: {server: 'example.org:25', from: a@example.org, password_file: /nowhere}}]\n",
		"a field that does not":  "channels: [{name: app, url: 'https://example.org', to: {visitors: '{{.email}}'}}]\n",
		"a mail has subject and": "channels: [{name: app, template: '{}', mail: {server: 'example.org:25', from: a@example.org}}]\n",
		"to or link cannot be":   "channels: [{name: app, url: 'https://example.org', to: {staff: '{{'}}]\n",
		"write later steps with": channel + "policies: {p: [{name: a, after: 2m, channel: app}, {name: b, after: 1m, channel: app}]}\n",
	} {
		file := filepath.Join(t.TempDir(), "notify.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := config.Default()
		c.Notify.File = file
		if err := checkNotify(&c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
