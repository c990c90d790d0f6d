package notify_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/sink/notify"
)

// TestConfigIsChecked: each mistake is told, with what to do, and no error shows a secret.
func TestConfigIsChecked(t *testing.T) {
	s := openStore(t, t.TempDir())
	web := func(change func(*notify.Webhook)) func(*notify.Config) {
		return func(c *notify.Config) { change(c.Endpoints[0].Webhook) }
	}
	mail := func(change func(*notify.Mail)) func(*notify.Config) {
		return func(c *notify.Config) {
			m := &notify.Mail{Server: "localhost:25", From: "a@example.org"}
			change(m)
			c.Endpoints[0].Webhook, c.Endpoints[0].Mail = nil, m
		}
	}
	endpoint := func(change func(*notify.Endpoint)) func(*notify.Config) {
		return func(c *notify.Config) { change(&c.Endpoints[0]) }
	}
	for remedy, change := range map[string]func(*notify.Config){
		"name the file":                      func(c *notify.Config) { c.DeadLetters = "" },
		"create it":                          func(c *notify.Config) { c.DeadLetters = "/nowhere/at/all/dead.jsonl" },
		"or a duration":                      func(c *notify.Config) { c.StopTimeout = -1 },
		"give them different names":          func(c *notify.Config) { c.Endpoints = append(c.Endpoints, c.Endpoints[0]) },
		"use 1 to 64 of":                     endpoint(func(e *notify.Endpoint) { e.Name = "App" }),
		"either a webhook or a mail server":  endpoint(func(e *notify.Endpoint) { e.Webhook = nil }),
		"use 1 to 256":                       endpoint(func(e *notify.Endpoint) { e.Workers = 257 }),
		"use 1ms to 1h":                      endpoint(func(e *notify.Endpoint) { e.Timeout = time.Microsecond }),
		"use at least 1":                     endpoint(func(e *notify.Endpoint) { e.Attempts = -1 }),
		"no less for RetryMax":               endpoint(func(e *notify.Endpoint) { e.RetryMin = 2 * time.Hour }),
		"PauseMax":                           endpoint(func(e *notify.Endpoint) { e.PauseMax = 2 * time.Hour }),
		"number of bytes":                    endpoint(func(e *notify.Endpoint) { e.MaxWaiting = -1 }),
		"use https://host/path":              web(func(w *notify.Webhook) { w.URL = "ftp://x" }),
		"the URL cannot be read":             web(func(w *notify.Webhook) { w.URL = "https://user:hidden@ho st/\x00" }),
		"use https, or permit http":          web(func(w *notify.Webhook) { w.URL = "http://user:hidden@host/"; w.Plain = false }),
		"openssl rand":                       web(func(w *notify.Webhook) { w.Secrets = []string{"whsec_hidden"} }),
		"take out line breaks":               web(func(w *notify.Webhook) { w.Header = map[string]string{"X": "hidden\nY: z"} }),
		"with a template":                    web(func(w *notify.Webhook) { w.ContentType = "application/x-www-form-urlencoded" }),
		"the template cannot be read":        web(func(w *notify.Webhook) { w.Template = "{{" }),
		"use host:port":                      mail(func(m *notify.Mail) { m.Server = "localhost" }),
		"use starttls, implicit or none":     mail(func(m *notify.Mail) { m.Encryption = "maybe" }),
		"use plain, login, cram-md5":         mail(func(m *notify.Mail) { m.Auth = "magic" }),
		"use name@host":                      mail(func(m *notify.Mail) { m.From = "nobody" }),
		"use 1 to 64":                        mail(func(m *notify.Mail) { m.Digest = 1000 }),
		"take it out":                        mail(func(m *notify.Mail) { m.Hello = "x\r\nMAIL FROM:<>" }),
		"the endpoint \"app\": the template": mail(func(m *notify.Mail) { m.Subject = "{{" }),
	} {
		c := notify.Config{Endpoints: []notify.Endpoint{hook("app", "https://example.org/")}, DeadLetters: filepath.Join(t.TempDir(), "dead.jsonl"), Logger: discard()}
		change(&c)
		_, err := notify.New(c, s.Notices())
		if err == nil || !strings.Contains(err.Error(), remedy) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", remedy, err)
		}
	}
}

func TestNotificationsAreChecked(t *testing.T) {
	good := func() notify.Notification { return notify.Notification{ID: "x", Type: "a.b_1", Data: []byte(` {}`)} }
	if _, err := notify.Encode(good()); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*notify.Notification){
		"id":           func(n *notify.Notification) { n.ID = "a.b" },
		"type":         func(n *notify.Notification) { n.Type = "a..b" },
		"object":       func(n *notify.Notification) { n.Data = []byte(`[1]`) },
		"JSON":         func(n *notify.Notification) { n.Data = nil },
		"more than":    func(n *notify.Notification) { n.Data = make([]byte, notify.MaxData+1) },
		"conversation": func(n *notify.Notification) { n.Conv = "x" },
	} {
		n := good()
		change(&n)
		if _, err := notify.Encode(n); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestWorkers: as many notifications are under way as there are workers, each of another conversation.
func TestWorkers(t *testing.T) {
	for _, workers := range []int{1, 3} {
		r := newReceiver(t)
		var now, most atomic.Int64
		var open [8]atomic.Bool
		r.answer(func(_ http.ResponseWriter, _ *http.Request, g got) {
			for conv := range open {
				if g.conv == convID(conv).String() {
					if open[conv].Swap(true) {
						t.Error("two of a conversation are under way")
					}
					defer open[conv].Store(false)
				}
			}
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			for end := time.Now().Add(20 * time.Millisecond); now.Load() < int64(workers) && time.Now().Before(end); time.Sleep(time.Millisecond) {
			}
		})
		e := r.hook("app")
		e.Workers = workers
		b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
		for n := range 6 {
			for conv := range open {
				b.put(t, "app", event(t, conv, n))
			}
		}
		b.empty(t, "app")
		if n := most.Load(); n != int64(workers) {
			t.Errorf("%d were under way with %d workers", n, workers)
		}
	}
}

// TestStopTimeout: a stop waits for what is under way, and no longer than it may.
func TestStopTimeout(t *testing.T) {
	r := newReceiver(t)
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	r.answer(func(http.ResponseWriter, *http.Request, got) {
		arrived <- struct{}{}
		<-goOn
	})
	e := r.hook("app")
	e.Timeout = time.Hour
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}, StopTimeout: time.Hour})
	b.put(t, "app", event(t, 1, 0))
	<-arrived
	stopped := make(chan struct{})
	go func() { b.stop(); close(stopped) }()
	close(goOn)
	<-stopped
	if w := b.store.Notices().Waiting("app"); w.Notices != 0 {
		t.Error("what was under way is not noted as delivered")
	}

	r.answer(func(_ http.ResponseWriter, q *http.Request, _ got) {
		arrived <- struct{}{}
		<-q.Context().Done()
	})
	hasty := startOn(t, b.store, notify.Config{Endpoints: []notify.Endpoint{e}, StopTimeout: time.Millisecond, DeadLetters: b.cfg.DeadLetters})
	hasty.put(t, "app", event(t, 1, 1))
	<-arrived
	hasty.stop()
	if w := b.store.Notices().Waiting("app"); w.Notices != 1 {
		t.Error("what was cut off is gone")
	}
}
