package notify_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/notify"
)

func TestWebhook(t *testing.T) {
	r := newReceiver(t)
	e := r.hook("app")
	e.Webhook.Header = map[string]string{"authorization": "Bearer x"}
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	b.put(t, "app", event(t, 1, 0))
	b.empty(t, "app")
	all := r.requests()
	if len(all) != 1 {
		t.Fatalf("%d requests", len(all))
	}
	if want := string(event(t, 1, 0).Body); all[0].body[:20] != want[:20] || !strings.Contains(all[0].body, `"data":{"n":0,"text":"hello <b>"}`) {
		t.Errorf("the body is %s", all[0].body)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Authorization": "Bearer x", "User-Agent": "Switchyard"} {
		if v := all[0].header.Get(name); v != want {
			t.Errorf("%s: %q instead of %q", name, v, want)
		}
	}
	b.delivered(t, "app", 1)
}

// TestSeveralSecrets: while a receiver changes its secret, what is sent is good under both.
func TestSeveralSecrets(t *testing.T) {
	const second = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	r := newReceiver(t)
	e := r.hook("app")
	e.Webhook.Secrets = []string{second, secret}
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	b.put(t, "app", event(t, 1, 0))
	b.empty(t, "app")
	g := r.requests()[0] // good under the first, as the receiver has checked
	if err := newVerifier(t, second).Verify([]byte(g.body), g.header); err != nil {
		t.Error(err)
	}
	g.header.Set("Webhook-Id", "another")
	if err := newVerifier(t, second).Verify([]byte(g.body), g.header); err == nil {
		t.Error("the signature does not cover the id")
	}
}

// TestFaultyReceiver injects 500s, broken connections, slow answers, answers that never end and duplicates by lost acknowledgements into a load
// over many conversations: each notification arrives, those of one conversation in order.
func TestFaultyReceiver(t *testing.T) {
	const convs, each = 40, 15
	r := newReceiver(t)
	var faults atomic.Int64
	r.answer(func(w http.ResponseWriter, q *http.Request, _ got) {
		fault := rand.IntN(12)
		if fault < 4 {
			faults.Add(1)
		}
		switch fault {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			panic(http.ErrAbortHandler) // it has arrived, and the sender does not know
		case 2:
			<-q.Context().Done() // until the sender's patience is over
		case 4: // a body that is slow, and longer than anybody reads
			w.WriteHeader(http.StatusOK)
			for range 5 {
				_, _ = fmt.Fprint(w, strings.Repeat("x", 30_000))
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond)
			}
		case 3:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	e := r.hook("app")
	e.Timeout, e.Attempts, e.Workers = 100*time.Millisecond, 1000, 16
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	for n := range each {
		var some []sink.Notice
		for conv := range convs {
			some = append(some, event(t, conv, n))
		}
		b.put(t, "app", some...)
	}
	b.empty(t, "app")
	refused, again := int(faults.Load()), inOrder(t, r.requests(), convs, each)
	if again < refused || refused == 0 {
		t.Errorf("%d came again after %d faults", again, refused)
	}
	if l := b.letters(t); len(l) != 0 {
		t.Errorf("%d dead letters", len(l))
	}
	t.Logf("%d notifications, %d faults", convs*each, refused)
}

// TestAnswers: what becomes of a notification by how it is answered.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		status   int
		header   string
		attempts int
		cause    string
	}{
		{"gone", http.StatusGone, "", 1, "410"},
		{"not found", http.StatusNotFound, "", 3, "404"},
		{"redirect", http.StatusTemporaryRedirect, "", 3, "redirects are not followed"},
		{"broken", http.StatusBadGateway, "", 3, "502"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiver(t)
			elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
			defer elsewhere.Close()
			r.answer(func(w http.ResponseWriter, _ *http.Request, _ got) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(c.status)
			})
			e := r.hook("app")
			e.Attempts = 3
			b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
			b.put(t, "app", event(t, 1, 0))
			b.empty(t, "app")
			if n := len(r.requests()); n != c.attempts {
				t.Errorf("%d attempts instead of %d", n, c.attempts)
			}
			l := b.letters(t)
			if len(l) != 1 || !strings.Contains(l[0].Error, c.cause) || l[0].Endpoint != "app" || l[0].Attempts != c.attempts {
				t.Fatalf("dead letters: %+v", l)
			}
			if want := string(event(t, 1, 0).Body); !strings.Contains(string(l[0].Notification), `"id":"e-1-0"`) {
				t.Errorf("the letter has %s instead of %s", l[0].Notification, want)
			}
		})
	}
}

// TestRetryAfter: an endpoint that says when to come back gets nothing before, of no conversation.
func TestRetryAfter(t *testing.T) {
	r := newReceiver(t)
	var until atomic.Int64
	r.answer(func(w http.ResponseWriter, _ *http.Request, _ got) {
		now := time.Now()
		if until.CompareAndSwap(0, now.Add(time.Second).UnixNano()) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if now.UnixNano() < until.Load() {
			t.Error("it came back too early")
		}
	})
	e := r.hook("app")
	e.Workers = 1
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	b.put(t, "app", event(t, 1, 0), event(t, 2, 0), event(t, 1, 1))
	b.empty(t, "app")
	if n := len(r.requests()); n != 4 {
		t.Errorf("%d requests", n)
	}
}

// TestAttemptsAreRemembered: a restart does not begin to count anew.
func TestAttemptsAreRemembered(t *testing.T) {
	r := newReceiver(t)
	var count atomic.Int64
	r.answer(func(w http.ResponseWriter, _ *http.Request, _ got) {
		count.Add(1)
		w.WriteHeader(http.StatusNotFound)
	})
	e := r.hook("app")
	e.Attempts, e.RetryMin, e.RetryMax = 3, 20*time.Millisecond, 20*time.Millisecond
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	b.put(t, "app", event(t, 1, 0))
	waitFor(t, "an attempt", func() bool { return count.Load() > 0 })
	b.stop()
	before := count.Load()
	again := startOn(t, b.store, notify.Config{Endpoints: []notify.Endpoint{e}, DeadLetters: b.cfg.DeadLetters})
	again.empty(t, "app")
	if n := count.Load(); n != 3 || len(b.letters(t)) != 1 {
		t.Errorf("%d attempts, %d of them before the restart, and %d dead letters", n, before, len(b.letters(t)))
	}
}

// TestBulkheads: an endpoint that never answers, and one conversation that is always refused, hold up nothing else.
func TestBulkheads(t *testing.T) {
	dead, good := newReceiver(t), newReceiver(t)
	dead.answer(func(_ http.ResponseWriter, q *http.Request, _ got) { <-q.Context().Done() })
	good.answer(func(w http.ResponseWriter, _ *http.Request, g got) {
		if g.conv == convID(0).String() {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	})
	stuck, fine := dead.hook("dead"), good.hook("good")
	stuck.Timeout, stuck.Workers = time.Hour, 2
	fine.Attempts, fine.RetryMax = 1000, 50*time.Millisecond
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{stuck, fine}, StopTimeout: 10 * time.Millisecond})
	const convs, each = 20, 100
	for n := range each {
		var some []sink.Notice
		for conv := range convs {
			some = append(some, event(t, conv, n))
		}
		b.put(t, "dead", some...)
		b.put(t, "good", some...)
	}
	waitFor(t, "the others", func() bool { return b.store.Notices().Waiting("good").Notices == each })
	if n := len(dead.requests()); n != 2 {
		t.Errorf("the dead endpoint was asked %d times at once, and has 2 workers", n)
	}
	if w := b.store.Notices().Waiting("dead").Notices; w != convs*each {
		t.Errorf("%d wait for the dead endpoint", w)
	}
	good.answer(nil)
	b.empty(t, "good")
	inOrder(t, good.requests(), convs, each)
}

// TestAwayEndpoint: an endpoint that is away is asked with one notification at a time, and gets all when it is back.
func TestAwayEndpoint(t *testing.T) {
	r := newReceiver(t)
	var away, asked, most atomic.Int64
	away.Store(1)
	r.answer(func(w http.ResponseWriter, _ *http.Request, _ got) {
		if away.Load() == 0 {
			return
		}
		n := asked.Add(1)
		defer asked.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	e := r.hook("app")
	e.Workers, e.Attempts, e.RetryMin = 8, 1000, 5*time.Millisecond
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	for conv := range 50 {
		b.put(t, "app", event(t, conv, 0), event(t, conv, 1))
	}
	waitFor(t, "the alarm", func() bool { return b.status(t, "app").Away })
	time.Sleep(20 * time.Millisecond) // what was under way ends
	most.Store(0)
	before := len(r.requests())
	waitFor(t, "more attempts", func() bool { return len(r.requests()) > before+5 })
	if n := most.Load(); n > 1 {
		t.Errorf("%d were sent at once", n)
	}
	away.Store(0)
	b.empty(t, "app")
	inOrder(t, r.requests(), 50, 2)
	b.delivered(t, "app", 100)
}
