package notify_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/notify"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// got is a request that a receiver had.
type got struct {
	id, conv, body string
	n              int
	header         http.Header
}

// receiver is an HTTP server that verifies signatures with the library of Standard Webhooks, and answers as it is told.
type receiver struct {
	*httptest.Server
	t *testing.T

	mu   sync.Mutex
	all  []got                                               // guarded by mu: requests with a good signature
	plan func(w http.ResponseWriter, r *http.Request, g got) // guarded by mu; nil answers 200
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// newVerifier is the receiver's half of a secret.
func newVerifier(t *testing.T, secret string) *standardwebhooks.Webhook {
	t.Helper()
	v, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the sender gave up, or was killed
	}
	if err := newVerifier(r.t, secret).Verify(body, request.Header); err != nil {
		r.t.Errorf("the signature of %q is no good: %v", body, err)
	}
	g := got{id: request.Header.Get("Webhook-Id"), body: string(body), header: request.Header}
	var n struct {
		ID, Conversation string
		Data             struct{ N int }
	}
	if err := json.Unmarshal(body, &n); err != nil || n.ID != g.id {
		r.t.Errorf("%q came under the id %q: %v", body, g.id, err)
	}
	g.conv, g.n = n.Conversation, n.Data.N
	r.mu.Lock()
	r.all = append(r.all, g)
	answer := r.plan
	r.mu.Unlock()
	if answer != nil {
		answer(w, request, g)
	}
}

// answer sets how requests are answered.
func (r *receiver) answer(plan func(http.ResponseWriter, *http.Request, got)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan = plan
}

func (r *receiver) requests() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]got(nil), r.all...)
}

// hook is an endpoint that posts to the receiver and does not wait long.
func (r *receiver) hook(name string) notify.Endpoint { return hook(name, r.URL) }

func hook(name, url string) notify.Endpoint {
	return notify.Endpoint{
		Name:     name,
		Webhook:  &notify.Webhook{URL: url, Plain: true, Secrets: []string{secret}},
		RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond, PauseMax: 20 * time.Millisecond,
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openStore(t *testing.T, dir string) *sink.Store {
	t.Helper()
	s, err := sink.Open(sink.Config{Dir: dir, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s *sink.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// bench is a store with a notifier.
type bench struct {
	*notify.Notifier
	store *sink.Store
	cfg   notify.Config
	stop  func() // ends Run and waits for it
}

func start(t *testing.T, cfg notify.Config) *bench {
	t.Helper()
	dir := t.TempDir()
	return startOn(t, openStore(t, filepath.Join(dir, "store")), cfg)
}

func startOn(t *testing.T, s *sink.Store, cfg notify.Config) *bench {
	t.Helper()
	if cfg.DeadLetters == "" {
		cfg.DeadLetters = filepath.Join(t.TempDir(), "dead.jsonl")
	}
	if cfg.Logger == nil {
		cfg.Logger = discard()
	}
	n, err := notify.New(cfg, s.Notices())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx)
	}()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return &bench{Notifier: n, store: s, cfg: cfg, stop: stop}
}

func convID(n int) frame.ID { return frame.ID{0xc0, byte(n >> 8), byte(n)} }

// event is the n-th notification of a conversation.
func event(t testing.TB, conv, n int) sink.Notice {
	t.Helper()
	return encoded(t, notify.Notification{
		ID: fmt.Sprintf("e-%d-%d", conv, n), Type: "message.created", Time: time.Now(), Conv: convID(conv).String(),
		Data: json.RawMessage(fmt.Sprintf(`{"n":%d,"text":"hello <b>"}`, n)),
	})
}

func encoded(t testing.TB, n notify.Notification) sink.Notice {
	t.Helper()
	body, err := notify.Encode(n)
	if err != nil {
		t.Fatal(err)
	}
	conv, err := frame.ParseID(n.Conv)
	if n.Conv != "" && err != nil {
		t.Fatal(err)
	}
	return sink.Notice{Conv: conv, Body: body}
}

func (b *bench) put(t *testing.T, lane string, notices ...sink.Notice) {
	t.Helper()
	if err := b.store.Notices().Put(t.Context(), lane, notices...); err != nil {
		t.Fatal(err)
	}
}

// empty waits until nothing waits in a lane.
func (b *bench) empty(t *testing.T, lane string) {
	t.Helper()
	waitFor(t, "the lane "+lane+" to be empty", func() bool { return b.store.Notices().Waiting(lane) == sink.Waiting{} })
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 30s for %s", what)
		}
	}
}

// letters reads the dead letters.
func (b *bench) letters(t *testing.T) (all []notify.Letter) {
	t.Helper()
	file, err := os.Open(b.cfg.DeadLetters)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for in := bufio.NewScanner(file); in.Scan(); {
		var l notify.Letter
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Errorf("the line %q: %v", in.Text(), err)
		}
		all = append(all, l)
	}
	return all
}

// status is that of one endpoint.
func (b *bench) status(t *testing.T, name string) notify.Status {
	t.Helper()
	for _, s := range b.Status() {
		if s.Endpoint == name {
			return s
		}
	}
	t.Fatalf("there is no status of %s", name)
	return notify.Status{}
}

// inOrder checks that of each conversation the notifications 0..each-1 came, the first copies of them in order, and returns how many came
// again.
func inOrder(t *testing.T, all []got, convs, each int) (again int) {
	t.Helper()
	next := map[string]int{}
	for _, g := range all {
		switch {
		case g.n < next[g.conv]:
			again++
		case g.n > next[g.conv]:
			t.Fatalf("conversation %s: %d came where %d should", g.conv, g.n, next[g.conv])
		default:
			next[g.conv]++
		}
	}
	for conv := range convs {
		if n := next[convID(conv).String()]; n != each {
			t.Errorf("conversation %d: %d of %d came", conv, n, each)
		}
	}
	return again
}

// delivered waits until an endpoint says that it has so many and that all is well.
func (b *bench) delivered(t *testing.T, name string, n uint64) {
	t.Helper()
	waitFor(t, "the status", func() bool { return b.status(t, name).Delivered >= n }) // noted just after the lane is empty
	if s := b.status(t, name); s.Away || s.Fault != nil || s.Delivered != n {
		t.Errorf("%+v", s)
	}
}
