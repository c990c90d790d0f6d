package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says who is told and how. Zero values mean the defaults.
type Config struct {
	Endpoints []Endpoint

	// DeadLetters is the file that gets what could not be delivered. Its directory must exist.
	DeadLetters string

	// StopTimeout is how long Run waits, when it shall end, for what is being sent. Default 5 s.
	StopTimeout time.Duration

	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
	// Registerer gets the metrics. Nil registers none.
	Registerer prometheus.Registerer
}

// Endpoint is one who is told, by a webhook or by mail.
type Endpoint struct {
	// Name is the lane in the store, and the endpoint's name in metrics and logs: 1 to 64 of small letters, digits, '-' and '_'.
	Name    string
	Webhook *Webhook
	Mail    *Mail

	// Resolve, if there is one, is asked before each attempt what to send in the place of a notification: it may change the data. It returns nil for
	// one that is not wanted any more, which is settled without being sent. An error is an attempt that failed, for good if it is Final. It is called from several goroutines,
	// and should end with its context.
	Resolve func(context.Context, *Notification) (*Notification, error)
	// Settled, if there is one, is told of each notification that does not wait any more: delivered, dead or not wanted. It must not block.
	Settled func(*Notification)

	// Workers is how many notifications are sent at the same time, each of another conversation. Default 4.
	Workers int
	// Timeout bounds one attempt, all of it. Default 15 s.
	Timeout time.Duration
	// Attempts is after how many that failed a notification is a dead letter. Default 24, which is about nine hours with the waits below.
	Attempts int
	// RetryMin and RetryMax bound the wait before a notification is tried again. Defaults 1 s and 1 h.
	RetryMin, RetryMax time.Duration
	// PauseMax bounds the wait before an endpoint that does not answer anybody is tried with another notification. Default 1 min.
	PauseMax time.Duration
	// MaxWaiting is how many bytes may wait. What is more goes to the dead letters, the oldest first. Default 256 MiB.
	MaxWaiting int64
}

// Webhook is an endpoint that gets HTTP POSTs. Redirects are not followed; any status but 2xx is a failure, and 410 a final one.
type Webhook struct {
	URL string
	// Plain permits http://, which anybody on the way can read.
	Plain bool
	// Secrets sign what is sent, in the manner of Standard Webhooks: "whsec_" and 24 to 64 bytes in base64. With several each gives a signature, so that a
	// receiver can change to a new one. With none there is no signature.
	Secrets []string
	// Header is sent with each request, as Authorization.
	Header map[string]string
	// Template makes the body out of a notification, as for an SMS or push service; see Template. Empty sends the notification as JSON.
	Template string
	// ContentType is application/json by default, or application/x-www-form-urlencoded with a template.
	ContentType string
	// TLS says whom to trust. Default: the system's authorities.
	TLS *tls.Config
}

// The ways to encrypt mail.
const (
	StartTLS    = "starttls" // the default; a server without it is not used
	ImplicitTLS = "implicit"
	NoTLS       = "none" // anybody on the way can read; a password goes to localhost only
)

// Mail is an endpoint that sends mail.
type Mail struct {
	Server string // host:port
	// Encryption is StartTLS by default.
	Encryption string
	// Auth is how User and Password are given: plain (the default), login, cram-md5, scram-sha-256 or xoauth2. Without a user there is none.
	Auth, User, Password string
	// From is an address, with or without a name.
	From string
	// Subject and Text are templates over MailData. Defaults in English.
	Subject, Text string
	// Digest is how many notifications of a conversation that wait go into one mail, if they are for the same recipient. Default 20.
	Digest int
	// Hello is the name that the server is greeted with. Default: the machine's.
	Hello string
	// TLS says whom to trust. Default: the system's authorities.
	TLS *tls.Config
}

func (c Config) withDefaults() Config {
	setDefault(&c.StopTimeout, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	endpoints := make([]Endpoint, len(c.Endpoints))
	for i, e := range c.Endpoints {
		endpoints[i] = e.withDefaults()
	}
	c.Endpoints = endpoints
	return c
}

func (e Endpoint) withDefaults() Endpoint {
	setDefault(&e.Workers, 4)
	setDefault(&e.Timeout, 15*time.Second)
	setDefault(&e.Attempts, 24)
	setDefault(&e.RetryMin, time.Second)
	setDefault(&e.RetryMax, time.Hour)
	setDefault(&e.PauseMax, time.Minute)
	setDefault(&e.MaxWaiting, 256<<20)
	return e
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// validate checks a configuration that has its defaults. What only the channel knows is checked when it is made.
func (c Config) validate() error {
	var errs []error
	if c.DeadLetters == "" {
		errs = append(errs, errors.New(`notify: DeadLetters is "": name the file for what cannot be delivered`))
	}
	if c.StopTimeout < 0 {
		errs = append(errs, fmt.Errorf("notify: StopTimeout is %v: use 0 for the default, or a duration", c.StopTimeout))
	}
	names := map[string]bool{}
	for _, e := range c.Endpoints {
		if names[e.Name] {
			errs = append(errs, fmt.Errorf("notify: there are two endpoints %q: give them different names", e.Name))
		}
		names[e.Name] = true
		errs = append(errs, e.validate())
	}
	return errors.Join(errs...)
}

var validName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

func (e Endpoint) validate() error {
	var errs []error
	bad := func(name string, value any, remedy string) {
		errs = append(errs, fmt.Errorf("notify: %s of the endpoint %q is %v: %s", name, e.Name, value, remedy))
	}
	if !validName.MatchString(e.Name) {
		bad("Name", fmt.Sprintf("%q", e.Name), "use 1 to 64 of small letters, digits, - and _")
	}
	if (e.Webhook == nil) == (e.Mail == nil) {
		bad("the channel", "not one", "give it either a webhook or a mail server")
	}
	if e.Workers < 1 || e.Workers > 256 {
		bad("Workers", e.Workers, "use 1 to 256")
	}
	if e.Timeout < time.Millisecond || e.Timeout > time.Hour {
		bad("Timeout", e.Timeout, "use 1ms to 1h")
	}
	if e.Attempts < 1 {
		bad("Attempts", e.Attempts, "use at least 1")
	}
	if e.RetryMin < time.Millisecond || e.RetryMax < e.RetryMin || e.RetryMax > maxWait {
		bad("RetryMin, RetryMax", fmt.Sprint(e.RetryMin, ", ", e.RetryMax), "use 1ms to 24h, and no less for RetryMax than for RetryMin")
	}
	if e.PauseMax < time.Millisecond || e.PauseMax > time.Hour {
		bad("PauseMax", e.PauseMax, "use 1ms to 1h")
	}
	if e.MaxWaiting < 1 {
		bad("MaxWaiting", e.MaxWaiting, "use 0 for the default, or a number of bytes")
	}
	return errors.Join(errs...)
}
