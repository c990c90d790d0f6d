package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"
)

// MailData is what the data of a notification holds, that goes to an endpoint with a mail server.
type MailData struct {
	To     string   `json:"to"`             // the recipient's address, without a name
	Name   string   `json:"name,omitempty"` // the recipient's name
	Link   string   `json:"link,omitempty"` // where to read on
	Missed []Missed `json:"missed"`         // at least one
}

// Missed is a message that the recipient has not seen.
type Missed struct {
	Seq  uint64    `json:"seq,omitempty"` // of the conversation; 0: not known, so that it is never taken for another one
	From string    `json:"from"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// What a mail says if nothing else is configured.
const (
	defaultSubject = `{{if eq (len .Missed) 1}}A message is{{else}}{{len .Missed}} messages are{{end}} waiting for you`
	defaultText    = `{{with .Name}}Hello {{.}},

{{end}}you have not seen {{if eq (len .Missed) 1}}this message{{else}}these {{len .Missed}} messages{{end}} yet:

{{range .Missed}}{{.From}}, {{.Time.UTC.Format "2006-01-02 15:04 MST"}}:
{{.Text}}

{{end}}{{with .Link}}Read on and answer: {{.}}
{{end}}`
)

// mailer is the channel that sends mail, each over a connection of its own, as mails are few.
type mailer struct {
	cfg           Mail
	host          string
	port          int
	from          *netmail.Address
	subject, text *template.Template
}

// mailAuth are the ways to give a password.
var mailAuth = map[string]mail.SMTPAuthType{
	"plain":         mail.SMTPAuthPlain,
	"login":         mail.SMTPAuthLogin,
	"cram-md5":      mail.SMTPAuthCramMD5,
	"scram-sha-256": mail.SMTPAuthSCRAMSHA256,
	"xoauth2":       mail.SMTPAuthXOAUTH2,
}

func newMailer(c *Mail) (*mailer, error) {
	m := &mailer{cfg: *c}
	setDefault(&m.cfg.Encryption, StartTLS)
	setDefault(&m.cfg.Auth, "plain")
	setDefault(&m.cfg.Digest, 20)
	if m.cfg.Encryption != StartTLS && m.cfg.Encryption != ImplicitTLS && m.cfg.Encryption != NoTLS {
		return nil, fmt.Errorf("the encryption is %q: use %s, %s or %s", m.cfg.Encryption, StartTLS, ImplicitTLS, NoTLS)
	}
	if _, ok := mailAuth[m.cfg.Auth]; !ok {
		return nil, fmt.Errorf("the authentication is %q: use plain, login, cram-md5, scram-sha-256 or xoauth2", m.cfg.Auth)
	}
	if m.cfg.Digest < 1 || m.cfg.Digest > planPerConv {
		return nil, fmt.Errorf("the digest is %d: use 1 to %d", m.cfg.Digest, planPerConv)
	}
	if control(m.cfg.Hello) {
		return nil, errors.New("the name for greeting has a line break or another control character: take it out")
	}
	host, port, err := net.SplitHostPort(m.cfg.Server)
	if m.host, m.port = host, 0; err == nil {
		m.port, err = strconv.Atoi(port)
	}
	if err != nil || m.host == "" || m.port < 1 || m.port > 65535 {
		return nil, fmt.Errorf("the mail server is %q: use host:port", m.cfg.Server)
	}
	if m.from, err = netmail.ParseAddress(m.cfg.From); err != nil {
		return nil, fmt.Errorf("the sender %q is no address: %w: use name@host or Name <name@host>", m.cfg.From, err)
	}
	if m.subject, err = parseTemplate(cmp.Or(m.cfg.Subject, defaultSubject)); err != nil {
		return nil, err
	}
	m.text, err = parseTemplate(cmp.Or(m.cfg.Text, defaultText))
	return m, err
}

func (m *mailer) close() {}

func (m *mailer) most() int { return m.cfg.Digest }

// send sends one mail with what was missed in the first notifications, as far as they are for one recipient.
func (m *mailer) send(ctx context.Context, batch []message) (int, error) {
	data, err := mailDataOf(batch[0])
	if err != nil {
		return 1, err
	}
	n := 1
	for ; n < len(batch); n++ {
		more, err := mailDataOf(batch[n])
		if err != nil || more.To != data.To {
			break // it fails by itself, or has a mail of its own
		}
		data.add(more.Missed)
		data.Link = cmp.Or(more.Link, data.Link)
	}
	msg, err := m.compose(batch[0].notification, data)
	if err != nil && n > 1 { // it may be the fault of any of them
		return m.send(ctx, batch[:1])
	}
	if err != nil {
		return 1, err
	}
	return n, m.deliver(ctx, msg)
}

// add takes more messages, each once: steps that became due while no mail was taken tell of the same ones.
func (d *MailData) add(more []Missed) {
	for _, m := range more {
		there := m.Seq != 0 && slices.ContainsFunc(d.Missed, func(have Missed) bool { return have.Seq == m.Seq })
		if !there {
			d.Missed = append(d.Missed, m)
		}
	}
}

func mailDataOf(msg message) (d MailData, err error) {
	if err := json.Unmarshal(msg.notification.Data, &d); err != nil {
		return d, final("the data is not that of a mail: %w", err)
	}
	address, err := netmail.ParseAddress(d.To)
	switch {
	case err != nil || address.Name != "" || address.Address != d.To || control(d.To):
		return d, final("the recipient %.100q is no mail address", d.To)
	case control(d.Name):
		return d, final("the recipient's name %.100q has a line break or another control character", d.Name)
	case len(d.Missed) == 0:
		return d, final("the mail has nothing that was missed")
	}
	return d, nil
}

// control tells whether a text cannot be in a header: with a line break in it there would be more headers.
func control(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

func (m *mailer) compose(first *Notification, data MailData) (*mail.Msg, error) {
	subject, err := render(m.subject, data)
	if err != nil {
		return nil, err
	}
	if control(string(subject)) {
		return nil, final("the subject %.100q has a line break or another control character", subject)
	}
	text, err := render(m.text, data)
	if err != nil {
		return nil, err
	}
	msg := mail.NewMsg()
	msg.FromMailAddress(m.from)
	msg.ToMailAddress(&netmail.Address{Name: data.Name, Address: data.To})
	msg.Subject(string(subject))
	msg.SetDate()
	_, domain, _ := strings.Cut(m.from.Address, "@")
	msg.SetMessageIDWithValue(first.ID + "@" + domain)   // the same each time, so that a second copy can be told
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no automatic answers
	msg.SetBodyString(mail.TypeTextPlain, string(text))
	return msg, nil
}

func (m *mailer) deliver(ctx context.Context, msg *mail.Msg) error {
	client, err := m.client(ctx)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() { // the server has it; that it did not say goodbye does not matter
		return nil
	}
	return judgeMail(err)
}

// client makes a client for one mail. Its connection is closed when ctx ends, which the library knows of only while it dials.
func (m *mailer) client(ctx context.Context) (*mail.Client, error) {
	encryption := &tls.Config{}
	if m.cfg.TLS != nil {
		encryption = m.cfg.TLS.Clone()
	}
	encryption.ServerName, encryption.MinVersion = cmp.Or(encryption.ServerName, m.host), tls.VersionTLS12
	policy := mail.NoTLS
	if m.cfg.Encryption == StartTLS {
		policy = mail.TLSMandatory
	}
	options := []mail.Option{
		mail.WithPort(m.port),
		mail.WithTLSConfig(encryption),
		mail.WithTLSPolicy(policy),
		mail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn, error) {
			return m.dial(ctx, encryption, network, address)
		}),
	}
	if deadline, ok := ctx.Deadline(); ok {
		options = append(options, mail.WithTimeout(max(time.Until(deadline), time.Millisecond)))
	}
	if m.cfg.Hello != "" {
		options = append(options, mail.WithHELO(m.cfg.Hello))
	}
	if m.cfg.User != "" {
		options = append(options, mail.WithSMTPAuth(mailAuth[m.cfg.Auth]), mail.WithUsername(m.cfg.User), mail.WithPassword(m.cfg.Password))
	}
	return mail.NewClient(m.host, options...)
}

func (m *mailer) dial(ctx context.Context, encryption *tls.Config, network, address string) (conn net.Conn, err error) {
	if m.cfg.Encryption == ImplicitTLS {
		conn, err = (&tls.Dialer{Config: encryption}).DialContext(ctx, network, address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	}
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // the attempt cancels ctx when it is over
	}
	return conn, err
}

// judgeMail: what the server refuses about the recipient or the text with 5xx is final. Everything else may be mended: a password, a sender,
// a connection.
func judgeMail(err error) error {
	f := &failure{err: fmt.Errorf("notify: the mail was not taken: %w", err)}
	refused := (*mail.SendError)(nil)
	if !errors.As(err, &refused) || refused.ErrorCode() == 0 || refused.ErrorCode() == 421 {
		f.away = true
		return f
	}
	about := refused.Reason == mail.ErrSMTPRcptTo || refused.Reason == mail.ErrSMTPData || refused.Reason == mail.ErrSMTPDataClose
	f.final = about && refused.ErrorCode()/100 == 5
	f.away = refused.Reason == mail.ErrSMTPMailFrom
	return f
}
