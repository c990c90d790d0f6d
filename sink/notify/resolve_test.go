package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/sink/notify"
)

// TestResolve: what is sent is made just before each attempt; what is not wanted any more is not sent, and who asked is told what became of each.
func TestResolve(t *testing.T) {
	r := newReceiver(t)
	var mu sync.Mutex
	var settled []string
	broken := 0
	e := r.hook("app")
	e.Workers, e.Attempts = 1, 3
	e.Resolve = func(_ context.Context, n *notify.Notification) (*notify.Notification, error) {
		switch n.ID {
		case "e-1-1":
			return nil, nil
		case "e-1-2":
			mu.Lock()
			defer mu.Unlock()
			if broken++; broken < 3 {
				return nil, errors.New("cannot be read")
			}
		case "e-1-3":
			return nil, errors.New("never")
		}
		out := *n
		out.Data = json.RawMessage(strings.Replace(string(n.Data), "hello", "resolved", 1))
		return &out, nil
	}
	e.Settled = func(n *notify.Notification) {
		mu.Lock()
		defer mu.Unlock()
		settled = append(settled, n.ID)
	}
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	b.put(t, "app", event(t, 1, 0), event(t, 1, 1), event(t, 1, 2), event(t, 1, 3), event(t, 1, 4))
	waitFor(t, "all to be settled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(settled) == 5
	})
	var ids []string
	for _, g := range r.requests() {
		ids = append(ids, g.id)
		if !strings.Contains(g.body, "resolved") {
			t.Errorf("%s was sent as %s", g.id, g.body)
		}
	}
	if want := []string{"e-1-0", "e-1-2", "e-1-4"}; !slices.Equal(ids, want) {
		t.Errorf("%q were sent, want %q", ids, want)
	}
	if want := []string{"e-1-0", "e-1-1", "e-1-2", "e-1-3", "e-1-4"}; !slices.Equal(settled, want) {
		t.Errorf("%q were settled, want %q", settled, want)
	}
	if dead := b.letters(t); len(dead) != 1 || !strings.Contains(dead[0].Error, "never") {
		t.Errorf("the dead letters are %+v", dead)
	}
	if s := b.status(t, "app"); s.Away {
		t.Errorf("%+v, although the endpoint took everything", s)
	}
}

// TestResolveForGood: what can never be made is given up at once, and what follows in the conversation does not wait for it.
func TestResolveForGood(t *testing.T) {
	r := newReceiver(t)
	e := r.hook("app")
	e.Attempts, e.RetryMin, e.RetryMax = 24, time.Hour, time.Hour
	e.Resolve = func(_ context.Context, n *notify.Notification) (*notify.Notification, error) {
		if n.ID == "e-1-0" {
			return nil, notify.Final(errors.New("never"))
		}
		return n, nil
	}
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	b.put(t, "app", event(t, 1, 0), event(t, 1, 1))
	b.empty(t, "app")
	if sent := r.requests(); len(sent) != 1 || sent[0].id != "e-1-1" {
		t.Errorf("%+v were sent", sent)
	}
	if dead := b.letters(t); len(dead) != 1 || dead[0].Attempts != 1 || !strings.Contains(dead[0].Error, "never") {
		t.Errorf("the dead letters are %+v", dead)
	}
}

// TestResolveOfABatch: a mail goes without what is not wanted any more.
func TestResolveOfABatch(t *testing.T) {
	o := openOffice(t, false)
	e := o.mailbox(notify.StartTLS)
	e.Mail.Digest = 10
	e.Resolve = func(_ context.Context, n *notify.Notification) (*notify.Notification, error) {
		if strings.Contains(string(n.Data), "two") {
			return nil, nil
		}
		return n, nil
	}
	var mu sync.Mutex
	settled := 0
	e.Settled = func(*notify.Notification) { mu.Lock(); defer mu.Unlock(); settled++ }
	s := openStore(t, t.TempDir())
	for i, text := range []string{"one", "two", "three"} {
		n := missed(t, fmt.Sprintf("m%d", i), 1, toAnna(text))
		if err := s.Notices().Put(t.Context(), "mail", n); err != nil {
			t.Fatal(err)
		}
	}
	b := startOn(t, s, notify.Config{Endpoints: []notify.Endpoint{e}})
	b.empty(t, "mail")
	waitFor(t, "all to be settled", func() bool { mu.Lock(); defer mu.Unlock(); return settled == 3 })
	var all strings.Builder
	for _, p := range o.taken() {
		all.WriteString(p.text)
	}
	if text := all.String(); !strings.Contains(text, "one") || !strings.Contains(text, "three") || strings.Contains(text, "two") {
		t.Errorf("the mails say %q", text)
	}
}
