package notify_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/notify"
)

func gone(w http.ResponseWriter, _ *http.Request, _ got) { w.WriteHeader(http.StatusGone) }

// TestReplay: dead letters can be sent again, mended or not; what cannot be stays.
func TestReplay(t *testing.T) {
	r := newReceiver(t)
	r.answer(gone)
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{r.hook("app")}})
	b.put(t, "app", event(t, 1, 0), event(t, 1, 1), sink.Notice{Body: []byte("no notification")}, sink.Notice{Body: []byte(`{"id":"x"}`)})
	b.empty(t, "app")
	if l := b.letters(t); len(l) != 4 {
		t.Fatalf("%d dead letters", len(l))
	}
	text, err := os.ReadFile(b.cfg.DeadLetters)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("hello"), []byte("mended"), 1)
	text = append(text, `{"endpoint":"unknown","notification":{}}`+"\n{torn"...)
	if err := os.WriteFile(b.cfg.DeadLetters, text, 0o600); err != nil {
		t.Fatal(err)
	}
	r.answer(nil)
	done, err := b.Replay(t.Context())
	if err != nil || done != (notify.Replayed{Queued: 2, Kept: 4}) {
		t.Fatalf("%+v, %v", done, err)
	}
	b.empty(t, "app")
	all := r.requests()
	if len(all) != 4 || all[2].n != 0 || all[3].n != 1 || !strings.Contains(all[2].body, "mended") || all[0].id != all[2].id {
		t.Errorf("%+v", all)
	}
	left := b.letters(t)
	if len(left) != 4 {
		t.Fatalf("%+v", left)
	}
	for _, want := range []string{"these bytes are not", "the type", `no endpoint "unknown"`, "not a dead letter"} {
		if !slices.ContainsFunc(left, func(l notify.Letter) bool { return strings.Contains(l.Error, want) }) {
			t.Errorf("no letter says %q: %+v", want, left)
		}
	}
	if _, err := os.Stat(b.cfg.DeadLetters + ".replaying"); !os.IsNotExist(err) {
		t.Errorf("the taken file is there: %v", err)
	}
	if done, err := b.Replay(t.Context()); err != nil || done.Queued != 0 || done.Kept != 4 {
		t.Errorf("again: %+v, %v", done, err)
	}
}

// TestFullLane: what is more than may wait goes to the dead letters, the oldest first, and what is left is delivered in order. Nothing is lost.
func TestFullLane(t *testing.T) {
	r := newReceiver(t)
	r.answer(func(w http.ResponseWriter, _ *http.Request, _ got) { w.WriteHeader(http.StatusNotFound) })
	e := r.hook("app")
	e.Attempts, e.RetryMin, e.RetryMax = 1000, 50*time.Millisecond, 50*time.Millisecond
	const total = 500
	one := int64(len(event(t, 1, 100).Body))
	e.MaxWaiting = 100 * one
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}})
	var all []sink.Notice
	for n := range total {
		all = append(all, event(t, n%7, n/7))
	}
	b.put(t, "app", all...)
	waitFor(t, "the bound", func() bool { return b.store.Notices().Waiting("app").Bytes <= uint64(e.MaxWaiting) })
	r.answer(nil)
	b.empty(t, "app")

	letters, seen := b.letters(t), map[string]bool{}
	for _, l := range letters {
		var n notify.Notification
		if err := json.Unmarshal(l.Notification, &n); err != nil || !strings.Contains(l.Error, "more waits") {
			t.Fatalf("%+v, %v", l, err)
		}
		seen[n.ID] = true
	}
	if n := len(letters); n < total-100-20 || n > total-60 {
		t.Errorf("%d dead letters of %d, with room for about 100", n, total)
	}
	delivered := 0
	for _, g := range r.requests() {
		if !seen[g.id] {
			seen[g.id] = true
		}
	}
	for _, notice := range all {
		var n notify.Notification
		if err := json.Unmarshal(notice.Body, &n); err != nil || !seen[n.ID] {
			t.Errorf("%s is neither delivered nor a dead letter", n.ID)
		}
		delivered++
	}
	if s := b.status(t, "app"); s.Dead != uint64(len(letters)) {
		t.Errorf("%+v with %d dead letters", s, len(letters))
	}
}

// TestDeadLettersThatCannotBeWritten: nothing leaves the store, what is not dead is delivered, and all is well when the file can be written.
func TestDeadLettersThatCannotBeWritten(t *testing.T) {
	r := newReceiver(t)
	r.answer(func(w http.ResponseWriter, q *http.Request, g got) {
		if g.conv == convID(1).String() {
			gone(w, q, g)
		}
	})
	dir := t.TempDir()
	file := filepath.Join(dir, "dead.jsonl")
	if err := os.Mkdir(file, 0o700); err != nil { // a directory cannot be written, not even by root
		t.Fatal(err)
	}
	e := r.hook("app")
	b := start(t, notify.Config{Endpoints: []notify.Endpoint{e}, DeadLetters: file})
	b.put(t, "app", event(t, 1, 0), event(t, 2, 0), event(t, 2, 1))
	waitFor(t, "the others", func() bool { return b.store.Notices().Waiting("app").Notices == 1 })
	b.stop()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	var left uint64
	if err := b.store.Notices().Read("app", 0, func(n sink.Notice) bool {
		left = n.Number
		return true
	}); err != nil || left == 0 {
		t.Fatal("the notification is gone", err)
	}
	if err := b.store.Notices().Settle(t.Context(), "app", []sink.Settlement{{Number: left, Attempts: 1}}); err != nil { // as if the minute were over
		t.Fatal(err)
	}
	again := startOn(t, b.store, notify.Config{Endpoints: []notify.Endpoint{e}, DeadLetters: file})
	again.empty(t, "app")
	if l := again.letters(t); len(l) != 1 {
		t.Errorf("%d dead letters", len(l))
	}
}

// TestEndpointThatIsNotConfiguredAnyMore: what waits for it is kept in the dead letters.
func TestEndpointThatIsNotConfiguredAnyMore(t *testing.T) {
	r := newReceiver(t)
	dir := t.TempDir()
	s := openStore(t, dir)
	for n := range 150 {
		if err := s.Notices().Put(t.Context(), "old", event(t, 1, n)); err != nil {
			t.Fatal(err)
		}
	}
	b := startOn(t, s, notify.Config{Endpoints: []notify.Endpoint{r.hook("app")}})
	b.empty(t, "old")
	b.stop()
	if l := b.letters(t); len(l) != 150 || l[0].Endpoint != "old" {
		t.Fatalf("%d dead letters", len(l))
	}
	back := startOn(t, s, notify.Config{Endpoints: []notify.Endpoint{r.hook("old")}, DeadLetters: b.cfg.DeadLetters})
	if done, err := back.Replay(t.Context()); err != nil || done.Queued != 150 {
		t.Fatalf("%+v, %v", done, err)
	}
	back.empty(t, "old")
	inOrder(t, only(r.requests(), 1), 0, 0)
	if n := len(r.requests()); n != 150 {
		t.Errorf("%d requests", n)
	}
}

func only(all []got, conv int) (some []got) {
	for _, g := range all {
		if g.conv == convID(conv).String() {
			some = append(some, g)
		}
	}
	return some
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := newReceiver(t)
	r.answer(gone)
	cfg := notify.Config{Endpoints: []notify.Endpoint{r.hook("app"), r.hook("other")}, Registerer: reg}
	b := start(t, cfg)
	b.put(t, "app", event(t, 1, 0))
	b.empty(t, "app")
	r.answer(nil)
	b.put(t, "other", event(t, 1, 0))
	b.empty(t, "other")
	b.delivered(t, "other", 1)
	waitFor(t, "the figures", func() bool { return b.status(t, "app").Dead == 1 })
	want := `
# HELP switchyard_notify_attempts_total Attempts to send, by endpoint and outcome: delivered, retried, dead, or cancelled because it was not wanted any more.
# TYPE switchyard_notify_attempts_total counter
switchyard_notify_attempts_total{endpoint="app",outcome="cancelled"} 0
switchyard_notify_attempts_total{endpoint="app",outcome="dead"} 1
switchyard_notify_attempts_total{endpoint="app",outcome="delivered"} 0
switchyard_notify_attempts_total{endpoint="app",outcome="retried"} 0
switchyard_notify_attempts_total{endpoint="other",outcome="cancelled"} 0
switchyard_notify_attempts_total{endpoint="other",outcome="dead"} 0
switchyard_notify_attempts_total{endpoint="other",outcome="delivered"} 1
switchyard_notify_attempts_total{endpoint="other",outcome="retried"} 0
# HELP switchyard_notify_waiting Notifications that wait to be delivered, by endpoint.
# TYPE switchyard_notify_waiting gauge
switchyard_notify_waiting{endpoint="app"} 0
switchyard_notify_waiting{endpoint="other"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "switchyard_notify_attempts_total", "switchyard_notify_waiting"); err != nil {
		t.Error(err)
	}
	if _, err := notify.New(notify.Config{Endpoints: cfg.Endpoints, Registerer: reg, DeadLetters: b.cfg.DeadLetters}, b.store.Notices()); err == nil {
		t.Error("two notifiers have the same metrics")
	}
	b.stop()
	if n, err := testutil.GatherAndCount(reg); n != 0 || err != nil {
		t.Errorf("%d metrics are left, %v", n, err)
	}
}
