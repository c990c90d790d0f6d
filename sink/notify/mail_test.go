package notify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/notify"
)

// post is a mail that the server took.
type post struct {
	from    string
	to      []string
	user    string
	secured bool
	header  netmail.Header
	text    string
}

// office is a mail server.
type office struct {
	addr  string
	roots *tls.Config // trusts it

	mu     sync.Mutex
	posts  []post
	refuse func(to string) error // guarded by mu, as the posts; nil: nothing
	hang   chan struct{}         // if there is one, RCPT waits for it
}

// openOffice starts a mail server on a port of its own, with STARTTLS or with TLS from the first byte, and one user.
func openOffice(t *testing.T, implicit bool) *office {
	t.Helper()
	certificate, roots := newCertificate(t)
	o := &office{roots: roots}
	s := smtp.NewServer(o)
	s.Domain, s.TLSConfig = "localhost", &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.ErrorLog = quietLog{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.addr = listener.Addr().String()
	if implicit {
		listener = tls.NewListener(listener, s.TLSConfig)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(listener)
	}()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return o
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}
func (quietLog) Println(...any)        {}

func newCertificate(t *testing.T) (tls.Certificate, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &tls.Config{RootCAs: roots}
}

func (o *office) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secured := c.TLSConnectionState()
	return &clerk{office: o, post: post{secured: secured}}, nil
}

func (o *office) taken() []post {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]post(nil), o.posts...)
}

// clerk is one session.
type clerk struct {
	office *office
	post   post
}

func (c *clerk) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *clerk) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "switchyard" || password != "pass word" {
			return errors.New("no")
		}
		c.post.user = user
		return nil
	}), nil
}

func (c *clerk) Mail(from string, _ *smtp.MailOptions) error {
	c.post.from = from
	return nil
}

func (c *clerk) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.office.mu.Lock()
	refuse, hang := c.office.refuse, c.office.hang
	c.office.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if refuse != nil {
		if err := refuse(to); err != nil {
			return err
		}
	}
	c.post.to = append(c.post.to, to)
	return nil
}

func (c *clerk) Data(r io.Reader) error {
	m, err := netmail.ReadMessage(r)
	if err != nil {
		return err
	}
	body := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	c.post.header, c.post.text = m.Header, strings.ReplaceAll(string(text), "\r\n", "\n")
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	c.office.posts = append(c.office.posts, c.post)
	return nil
}

func (c *clerk) Reset()        { c.post.to = nil }
func (c *clerk) Logout() error { return nil }

// mailbox is an endpoint that mails through the office.
func (o *office) mailbox(encryption string) notify.Endpoint {
	return notify.Endpoint{
		Name:     "mail",
		Mail:     &notify.Mail{Server: o.addr, Encryption: encryption, User: "switchyard", Password: "pass word", From: "Help desk <help@example.org>", TLS: o.roots},
		RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond, PauseMax: 20 * time.Millisecond, Workers: 1,
	}
}

// missed is a notification of one missed message.
func missed(t *testing.T, id string, conv int, d notify.MailData) sink.Notice {
	t.Helper()
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return encoded(t, notify.Notification{ID: id, Type: "message.missed", Time: time.Now(), Conv: convID(conv).String(), Data: data})
}

func toAnna(text string) notify.MailData {
	return notify.MailData{To: "anna@example.com", Name: "Anna Müller", Link: "https://example.org/chat",
		Missed: []notify.Missed{{From: "Bob", Text: text, Time: time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)}}}
}

func TestMail(t *testing.T) {
	for _, encryption := range []string{notify.StartTLS, notify.ImplicitTLS, notify.NoTLS} {
		t.Run(encryption, func(t *testing.T) {
			o := openOffice(t, encryption == notify.ImplicitTLS)
			e := o.mailbox(encryption)
			if encryption == notify.NoTLS {
				e.Mail.User = ""
			}
			b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
			b.put(t, "mail", missed(t, "m1", 1, toAnna("Grüße\nfrom the desk")))
			b.empty(t, "mail")
			posts := o.taken()
			if len(posts) != 1 {
				t.Fatalf("%d mails, dead letters %+v", len(posts), b.letters(t))
			}
			p := posts[0]
			if p.from != "help@example.org" || len(p.to) != 1 || p.to[0] != "anna@example.com" || p.user != e.Mail.User || p.secured != (encryption != notify.NoTLS) {
				t.Errorf("%+v", p)
			}
			to, err := p.header.AddressList("To")
			if err != nil || len(to) != 1 || to[0].Name != "Anna Müller" {
				t.Errorf("To: %v, %v", to, err)
			}
			for name, want := range map[string]string{"Subject": "A message is waiting for you", "Message-ID": "<m1@example.org>", "Auto-Submitted": "auto-generated"} {
				if v := p.header.Get(name); v != want {
					t.Errorf("%s: %q instead of %q", name, v, want)
				}
			}
			want := "Hello Anna Müller,\n\nyou have not seen this message yet:\n\nBob, 2026-11-23 12:30 UTC:\nGrüße\nfrom the desk\n\nRead on and answer: https://example.org/chat\n"
			if strings.TrimSpace(p.text) != strings.TrimSpace(want) {
				t.Errorf("the text is\n%s", p.text)
			}
		})
	}
}

// TestMailDigest: what waits for one recipient in one conversation is one mail; another recipient has one of his own.
func TestMailDigest(t *testing.T) {
	o := openOffice(t, false)
	dir := t.TempDir()
	s := openStore(t, dir)
	ben := toAnna("for Ben")
	ben.To = "ben@example.com"
	for i, d := range []notify.MailData{toAnna("one"), toAnna("two"), toAnna("three"), ben, toAnna("four")} {
		if err := s.Notices().Put(t.Context(), "mail", missed(t, []string{"a", "b", "c", "d", "e"}[i], 1, d)); err != nil {
			t.Fatal(err)
		}
	}
	e := o.mailbox(notify.StartTLS)
	b := startOn(t, s, notify.Config{Endpoints: []notify.Endpoint{e}})
	b.empty(t, "mail")
	posts := o.taken()
	if len(posts) != 3 {
		t.Fatalf("%d mails", len(posts))
	}
	for i, want := range []string{"3 messages are waiting for you", "A message is waiting for you", "A message is waiting for you"} {
		if v := posts[i].header.Get("Subject"); v != want {
			t.Errorf("mail %d has the subject %q", i, v)
		}
	}
	if text := posts[0].text; !strings.Contains(text, "one") || !strings.Contains(text, "two") || !strings.Contains(text, "three") || strings.Contains(text, "four") {
		t.Errorf("the digest is\n%s", text)
	}
	b.delivered(t, "mail", 5)
}

// TestMailTellsOnce: two steps that waited for the mail server, and tell of the same message, make one mail that has it once.
func TestMailTellsOnce(t *testing.T) {
	o := openOffice(t, false)
	s := openStore(t, t.TempDir())
	first, second := toAnna("one"), toAnna("one")
	first.Missed[0].Seq, second.Missed[0].Seq = 2, 2
	second.Missed = append(second.Missed, notify.Missed{Seq: 3, From: "Bob", Text: "two", Time: time.Now()})
	for i, d := range []notify.MailData{first, second} {
		if err := s.Notices().Put(t.Context(), "mail", missed(t, []string{"a", "b"}[i], 1, d)); err != nil {
			t.Fatal(err)
		}
	}
	b := startOn(t, s, notify.Config{Endpoints: []notify.Endpoint{o.mailbox(notify.StartTLS)}})
	b.empty(t, "mail")
	posts := o.taken()
	if len(posts) != 1 || posts[0].header.Get("Subject") != "2 messages are waiting for you" || strings.Count(posts[0].text, "one") != 1 || !strings.Contains(posts[0].text, "two") {
		t.Errorf("%+v", posts)
	}
	b.delivered(t, "mail", 2)
}

// TestMailHeadersAreNotInjected: no text of a visitor becomes a header or another recipient.
func TestMailHeadersAreNotInjected(t *testing.T) {
	name, to, subject, format := toAnna("x"), toAnna("x"), toAnna("x"), toAnna("x")
	name.Name = "Anna\r\nBcc: all@example.com"
	to.To = "anna@example.com\r\nBcc: all@example.com"
	subject.Missed[0].From = "Bob\r\nBcc: all@example.com\r\n\r\nother text"
	format.To = "Anna <anna@example.com>, all@example.com"
	for what, d := range map[string]notify.MailData{"name": name, "to": to, "subject": subject, "format": format} {
		t.Run(what, func(t *testing.T) {
			o := openOffice(t, false)
			e := o.mailbox(notify.StartTLS)
			e.Mail.Subject = "{{(index .Missed 0).From}} wrote"
			b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
			b.put(t, "mail", missed(t, "m1", 1, d))
			b.empty(t, "mail")
			if posts := o.taken(); len(posts) != 0 {
				t.Errorf("it was mailed: %+v", posts)
			}
			if l := b.letters(t); len(l) != 1 || l[0].Attempts != 1 {
				t.Errorf("dead letters: %+v", l)
			}
		})
	}
}

// TestMailRefused: an unknown recipient is a dead letter at once; what the server cannot do at present, or refuses to us, is tried again.
func TestMailRefused(t *testing.T) {
	o := openOffice(t, false)
	times := 0
	o.refuse = func(to string) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if times++; strings.HasPrefix(to, "nobody") {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		}
		if times < 4 {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
		}
		return nil
	}
	nobody := toAnna("x")
	nobody.To = "nobody@example.com"
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{o.mailbox(notify.StartTLS)}})
	b.put(t, "mail", missed(t, "m1", 1, nobody), missed(t, "m2", 2, toAnna("y")))
	b.empty(t, "mail")
	if posts := o.taken(); len(posts) != 1 || posts[0].to[0] != "anna@example.com" {
		t.Errorf("%+v", posts)
	}
	if l := b.letters(t); len(l) != 1 || l[0].Attempts != 1 || !strings.Contains(l[0].Error, "550") {
		t.Errorf("dead letters: %+v", l)
	}
}

// TestMailServerTrouble: a wrong password, an unknown certificate, no STARTTLS and a server that hangs are for the operator: nothing becomes a dead
// letter before its attempts are used up, and the fault says what it is.
func TestMailServerTrouble(t *testing.T) {
	o := openOffice(t, false)
	hanging := openOffice(t, false)
	hanging.hang = make(chan struct{})
	t.Cleanup(func() { close(hanging.hang) })
	password, certificate, slow := o.mailbox(notify.StartTLS), o.mailbox(notify.StartTLS), hanging.mailbox(notify.StartTLS)
	password.Name, password.Mail.Password = "password", "wrong"
	certificate.Name, certificate.Mail.TLS = "certificate", nil
	slow.Name, slow.Timeout = "slow", 200*time.Millisecond
	for name, c := range map[string]struct {
		endpoint notify.Endpoint
		cause    string
	}{
		"password": {password, "auth"}, "certificate": {certificate, "certificate"}, "slow": {slow, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := c.endpoint
			e.Attempts = 1000
			b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
			b.put(t, e.Name, missed(t, "m1", 1, toAnna("x")))
			waitFor(t, "a fault", func() bool { return b.status(t, e.Name).Away })
			if fault := b.status(t, e.Name).Fault; fault == nil || !strings.Contains(strings.ToLower(fault.Error()), c.cause) {
				t.Errorf("the fault is %v", fault)
			}
			if len(o.taken())+len(hanging.taken())+len(b.letters(t)) != 0 {
				t.Error("it was mailed, or given up")
			}
		})
	}
}
