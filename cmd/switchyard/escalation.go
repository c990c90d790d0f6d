package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/escalate"
	"github.com/switchyard-im/switchyard/sink"
	outward "github.com/switchyard-im/switchyard/sink/notify"
)

// channelEntry is a way to reach those who have not acked: a webhook or mail.
type channelEntry struct {
	Endpoint endpointEntry `yaml:",inline"`
	Mail     *mailEntry    `yaml:"mail"`
	To       struct {
		Visitors string `yaml:"visitors"`
		Staff    string `yaml:"staff"`
	} `yaml:"to"`
	Link string `yaml:"link"`
}

type mailEntry struct {
	Server       string `yaml:"server"`
	Encryption   string `yaml:"encryption"`
	CAFile       string `yaml:"ca_file"`
	Auth         string `yaml:"auth"`
	User         string `yaml:"user"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
	From         string `yaml:"from"`
	Subject      string `yaml:"subject"`
	Text         string `yaml:"text"`
	Digest       int    `yaml:"digest"`
	Hello        string `yaml:"hello"`
}

type stepEntry struct {
	Name    string          `yaml:"name"`
	After   config.Duration `yaml:"after"`
	Channel string          `yaml:"channel"`
	Digest  bool            `yaml:"digest"`
}

type escalationEntry struct {
	Grace  config.Duration          `yaml:"grace"`
	All    policiesEntry            `yaml:",inline"`
	Groups map[string]policiesEntry `yaml:"groups"`
}

// policiesEntry names a policy for each kind of recipient.
type policiesEntry struct {
	Visitors string `yaml:"visitors"`
	Staff    string `yaml:"staff"`
}

// defaultVisitor is where a visitor is reached by mail: what was said when the conversation was opened.
const defaultVisitor = "{{.attributes.email}}"

// recipientTemplates say where somebody is reached, and where to read on; nil: nowhere.
type recipientTemplates struct{ visitors, staff, link *template.Template }

// escalationConfig is what the file says of messages that nobody acks. The rest of the dispatch's part is given when the server runs.
func (f *endpointsFile) escalationConfig() (e dispatch.EscalationConfig, channels map[string]recipientTemplates, err error) {
	channels = map[string]recipientTemplates{}
	for i := range f.Channels {
		c := &f.Channels[i]
		if channels[c.Endpoint.Name], err = c.templates(); err != nil {
			return e, nil, fmt.Errorf("the channel %q: %w", c.Endpoint.Name, err)
		}
	}
	e.Policies = map[string][]escalate.Step{}
	for name, steps := range f.Policies {
		for _, s := range steps {
			if _, ok := channels[s.Channel]; !ok {
				return e, nil, fmt.Errorf("the policy %q: the step %q uses the channel %q, which is not there: name one of the channels", name, s.Name, s.Channel)
			}
			e.Policies[name] = append(e.Policies[name], escalate.Step{Name: s.Name, After: time.Duration(s.After), Channel: s.Channel, Digest: s.Digest})
		}
	}
	e.Grace = time.Duration(f.Escalation.Grace)
	e.Default = dispatch.EscalationPolicies(f.Escalation.All)
	e.Groups = map[string]dispatch.EscalationPolicies{}
	for name, p := range f.Escalation.Groups {
		e.Groups[name] = dispatch.EscalationPolicies(p)
	}
	return e, channels, (&dispatch.Config{Loops: 1, Escalation: e}).Validate()
}

func (c *channelEntry) templates() (t recipientTemplates, err error) {
	if len(c.Endpoint.Events) > 0 {
		return t, errors.New("it has events: only endpoints have; a channel gets what the policies' steps send")
	}
	visitors := c.To.Visitors
	if c.Mail != nil {
		visitors = cmp.Or(visitors, defaultVisitor)
	}
	for _, field := range []struct {
		into **template.Template
		text string
	}{{&t.visitors, visitors}, {&t.staff, c.To.Staff}, {&t.link, c.Link}} {
		if field.text == "" {
			continue
		}
		if *field.into, err = template.New("to").Option("missingkey=zero").Parse(field.text); err != nil {
			return t, fmt.Errorf("to or link cannot be read: %w", err)
		}
		if err := tryTemplate(*field.into); err != nil {
			return t, fmt.Errorf("to or link %q: %w", field.text, err)
		}
	}
	return t, nil
}

// tryTemplate finds a field that does not exist, which would be printed as noValue, an address of nobody. That it cannot be executed means nothing: for a
// recipient that there is it may be otherwise.
func tryTemplate(t *template.Template) error {
	text, err := execute(t, recipientFields("user", "role", "group", "conversation", map[string]string{}))
	if err == nil && strings.Contains(text, noValue) {
		return errors.New("it has a field that does not exist: use .user, .role, .group, .conversation, or .attributes.NAME")
	}
	return nil
}

// noValue is what text/template prints for a field that is not there.
const noValue = "<no value>"

// endpoint is what sink/notify needs; resolve makes what is sent.
func (c *channelEntry) endpoint(m *missing, to recipientTemplates) (outward.Endpoint, error) {
	secrets, err := c.Endpoint.allSecrets()
	if err != nil {
		return outward.Endpoint{}, fmt.Errorf("secrets_file: %w", err)
	}
	e := c.Endpoint.endpoint(secrets)
	if c.Mail != nil {
		if c.Endpoint.URL != "" {
			return e, errors.New("it has a URL and a mail server: make two channels of it")
		}
		if c.Endpoint.forWebhook() {
			return e, errors.New("it has a mail server, and plain, secrets, secrets_file, header, template or content_type, which are for a URL: take them out; a mail has subject and text")
		}
		e.Webhook = nil
		if e.Mail, err = c.Mail.config(); err != nil {
			return e, err
		}
	}
	e.Resolve = m.resolver(c.Endpoint.Name, to, c.Mail != nil)
	e.Settled = m.settled
	return e, nil
}

func (c *mailEntry) config() (*outward.Mail, error) {
	m := &outward.Mail{
		Server: c.Server, Encryption: c.Encryption, Auth: c.Auth, User: c.User, Password: c.Password, From: c.From, Subject: c.Subject, Text: c.Text,
		Digest: c.Digest, Hello: c.Hello,
	}
	if c.PasswordFile != "" {
		text, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("password_file: %w", err)
		}
		m.Password = strings.TrimRight(string(text), "\r\n")
	}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		m.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !m.TLS.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate: it has to be PEM", c.CAFile)
		}
	}
	return m, nil
}

// missedType is the type of a notification of what was not acked.
const missedType = "message.missed"

// missedNotice is what waits in a channel's lane: what was fired. What is sent is made of it when it is sent.
func missedNotice(e escalate.Effect) []byte {
	data, err := json.Marshal(missedRef{User: e.User, Step: e.Step, First: e.First, Last: e.Last})
	if err == nil {
		data, err = outward.Encode(outward.Notification{
			ID: escalate.NotificationID(e.Conv, e.User, e.Step, e.Last), Type: missedType, Time: time.Now().UTC(), Conv: e.Conv.String(), Data: data,
		})
	}
	if err != nil {
		panic("BUG: a notification of unacked messages does not encode: " + err.Error())
	}
	return data
}

// queuedIn returns the ids of what waits in the lanes.
func queuedIn(notices *sink.Notices, lanes []string) (map[string]bool, error) {
	ids := map[string]bool{}
	for _, lane := range lanes {
		err := notices.Read(lane, 0, func(n sink.Notice) bool {
			var head struct{ ID string }
			if json.Unmarshal(n.Body, &head) == nil {
				ids[head.ID] = true
			}
			return true
		})
		if err != nil {
			return nil, translate(err)
		}
	}
	return ids, nil
}
