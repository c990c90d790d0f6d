package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/cmd/switchyard/yamlfile"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
	outward "github.com/switchyard-im/switchyard/sink/notify" // this package has a function notify
)

// undeliveredFile is the default of notify.dead_letters, in the directory of the store.
const undeliveredFile = "notify-dead-letters.jsonl"

// sendingTimeout is how long a stop waits for what is being sent; what is cut off is sent again.
const sendingTimeout = 2 * time.Second

// endpointsFile is what notify.file holds. docs/notifications.md describes it.
type endpointsFile struct {
	Endpoints  []endpointEntry        `yaml:"endpoints"`
	Channels   []channelEntry         `yaml:"channels"`
	Policies   map[string][]stepEntry `yaml:"policies"`
	Escalation escalationEntry        `yaml:"escalation"`
}

type endpointEntry struct {
	Name        string            `yaml:"name"`
	Events      []string          `yaml:"events"`
	URL         string            `yaml:"url"`
	Plain       bool              `yaml:"plain"`
	Secrets     []string          `yaml:"secrets"`
	SecretsFile string            `yaml:"secrets_file"`
	Header      map[string]string `yaml:"header"`
	Template    string            `yaml:"template"`
	ContentType string            `yaml:"content_type"`
	Workers     int               `yaml:"workers"`
	Timeout     config.Duration   `yaml:"timeout"`
	Attempts    int               `yaml:"attempts"`
	RetryMin    config.Duration   `yaml:"retry_min"`
	RetryMax    config.Duration   `yaml:"retry_max"`
	PauseMax    config.Duration   `yaml:"pause_max"`
	MaxWaiting  config.Size       `yaml:"max_waiting"`
}

// notifyPlan is what the configuration says of notifications.
type notifyPlan struct {
	config        outward.Config
	subscriptions []outward.Subscription
	escalation    dispatch.EscalationConfig
	missing       *missing
	channels      []string
}

// notifyConfig reads the file with the endpoints, and those with their secrets.
func notifyConfig(c *config.Config, log *slog.Logger, reg prometheus.Registerer) (p notifyPlan, err error) {
	if p.missing, err = newMissing(reg); err != nil {
		return p, err
	}
	p.config = outward.Config{DeadLetters: c.Notify.DeadLetters, StopTimeout: sendingTimeout, Logger: log, Registerer: reg}
	if p.config.DeadLetters == "" {
		p.config.DeadLetters = filepath.Join(c.Store.Dir, undeliveredFile)
	}
	if c.Notify.File == "" {
		return p, nil
	}
	var file endpointsFile
	if err := yamlfile.Read(c.Notify.File, &file); err != nil {
		return p, fmt.Errorf("notify.file: %s: %w", c.Notify.File, err)
	}
	if err := errors.Join(p.addEndpoints(&file), p.addChannels(&file)); err != nil {
		return p, fmt.Errorf("notify.file: %w", err)
	}
	return p, nil
}

// addEndpoints takes those who are told of events.
func (p *notifyPlan) addEndpoints(file *endpointsFile) error {
	for i := range file.Endpoints {
		e := &file.Endpoints[i]
		if len(e.Events) == 0 {
			return fmt.Errorf(`the endpoint %q has no events: name some, as message.created, conversation.* or "*"`, e.Name)
		}
		secrets, err := e.allSecrets()
		if err != nil {
			return fmt.Errorf("the endpoint %q: secrets_file: %w", e.Name, err)
		}
		p.config.Endpoints = append(p.config.Endpoints, e.endpoint(secrets))
		p.subscriptions = append(p.subscriptions, outward.Subscription{Endpoint: e.Name, Types: e.Events})
	}
	return nil
}

// addChannels takes those by which somebody is told of what he has not acked.
func (p *notifyPlan) addChannels(file *endpointsFile) error {
	escalation, templates, err := file.escalationConfig()
	if err != nil {
		return err
	}
	for i := range file.Channels {
		c := &file.Channels[i]
		e, err := c.endpoint(p.missing, templates[c.Endpoint.Name])
		if err != nil {
			return fmt.Errorf("the channel %q: %w", c.Endpoint.Name, err)
		}
		p.config.Endpoints = append(p.config.Endpoints, e)
		p.channels = append(p.channels, c.Endpoint.Name)
	}
	p.escalation = escalation
	p.escalation.Notice = missedNotice
	return nil
}

// allSecrets are those in the file of the endpoints and those in a file of their own, one in a line.
func (e *endpointEntry) allSecrets() ([]string, error) {
	if e.SecretsFile == "" {
		return e.Secrets, nil
	}
	text, err := os.ReadFile(e.SecretsFile)
	return append(e.Secrets, strings.Fields(string(text))...), err
}

// forWebhook tells whether there is what only a webhook has, but for its URL.
func (e *endpointEntry) forWebhook() bool {
	return e.Plain || len(e.Secrets)+len(e.Header) > 0 || e.SecretsFile+e.Template+e.ContentType != ""
}

func (e *endpointEntry) endpoint(secrets []string) outward.Endpoint {
	return outward.Endpoint{
		Name: e.Name,
		Webhook: &outward.Webhook{
			URL: e.URL, Plain: e.Plain, Secrets: secrets, Header: e.Header, Template: e.Template, ContentType: e.ContentType,
		},
		Workers:    e.Workers,
		Timeout:    time.Duration(e.Timeout),
		Attempts:   e.Attempts,
		RetryMin:   time.Duration(e.RetryMin),
		RetryMax:   time.Duration(e.RetryMax),
		PauseMax:   time.Duration(e.PauseMax),
		MaxWaiting: int64(e.MaxWaiting),
	}
}

// notifying is the notifier of a running server, and the goroutine that sends.
type notifying struct {
	notifyPlan
	notifier *outward.Notifier
	events   *outward.Events    // nil if nobody is told of anything
	cancel   context.CancelFunc // ends the sending; what waits is sent by the next server
	done     chan struct{}      // closed when the notifier has ended
}

// checkNotify finds what is wrong with notify.file, as the start of the server would.
func checkNotify(cfg *config.Config) error {
	if cfg.Notify.File == "" {
		return nil
	}
	c := *cfg
	if c.Notify.DeadLetters == "" {
		c.Notify.DeadLetters = filepath.Join(os.TempDir(), undeliveredFile) // store.dir may not be there before the first start; nothing is written
	}
	_, err := newNotifying(&c, nil, slog.New(slog.DiscardHandler), nil)
	return err
}

// newNotifying checks everything that the configuration says of notifications, and reads its files.
func newNotifying(cfg *config.Config, q outward.Queue, log *slog.Logger, reg prometheus.Registerer) (*notifying, error) {
	p, err := notifyConfig(cfg, log, reg)
	if err != nil {
		return nil, err
	}
	n := &notifying{notifyPlan: p, done: make(chan struct{})}
	if len(p.subscriptions) > 0 {
		n.events, err = outward.NewEvents(p.subscriptions, log)
	}
	if err != nil {
		return nil, err
	}
	n.notifier, err = outward.New(p.config, q)
	return n, err
}

// startNotifying sends what waits in the store until cancel. Without endpoints it puts what waits for earlier ones into the dead letters.
func startNotifying(cfg *config.Config, st *sink.Store, log *slog.Logger, reg prometheus.Registerer) (*notifying, error) {
	n, err := newNotifying(cfg, st.Notices(), log, reg)
	if err != nil {
		return nil, err
	}
	n.escalation.Queued = func() (map[string]bool, error) { return queuedIn(st.Notices(), n.channels) }
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { // until cancel; server.stop waits
		defer close(n.done)
		n.notifier.Run(ctx)
	}()
	return n, nil
}

// check is what /readyz says of the endpoints: those that do not work for anybody.
func (n *notifying) check() string {
	var away []error
	for _, s := range n.notifier.Status() {
		if s.Away {
			away = append(away, fmt.Errorf("%s: %w", s.Endpoint, s.Fault))
		}
	}
	if err := errors.Join(away...); err != nil {
		return err.Error()
	}
	return "ok"
}

// vars is what /varz says of the endpoints.
func (n *notifying) vars() map[string]any {
	v := map[string]any{}
	for _, s := range n.notifier.Status() {
		e := map[string]any{"waiting": s.Waiting.Notices, "waiting_bytes": s.Waiting.Bytes, "delivered": s.Delivered, "dead": s.Dead, "away": s.Away}
		if s.Fault != nil {
			e["error"], e["since"] = s.Fault.Error(), s.Since.UTC().Format(time.RFC3339Nano)
		}
		v[s.Endpoint] = e
	}
	return v
}

// replay is POST /notify/replay.
func (n *notifying) replay(ctx context.Context) (map[string]any, error) {
	done, err := n.notifier.Replay(ctx)
	return map[string]any{"queued": done.Queued, "kept": done.Kept}, err
}

// notifyingTx is a tx that also puts what endpoints are told of its messages into the store, so that neither is there without the other.
type notifyingTx struct {
	tx
	events *outward.Events
}

func (t notifyingTx) Messages(conv frame.ID, first, last uint64, frames []byte) {
	t.tx.Messages(conv, first, last, frames)
	if !conv.AreNotes() { // who is told may pass it on to the visitor
		t.events.Messages(t.tx.Tx, conv, frames)
	}
}

var _ dispatch.Tx = notifyingTx{}
