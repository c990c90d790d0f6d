package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/apikeys"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/memstore"
	"github.com/switchyard-im/switchyard/frame"
)

// stuck is a store whose reads begin and do not end before their context does.
type stuck struct {
	*memstore.Store
	begun chan struct{}
}

func (s stuck) LoadConversation(conv frame.ID, _ int) (state, messages []byte, ok bool, err error) {
	state = []byte{0x96, 1, 1, 0xa1, 'g', 0, 0xff, 0x91, 0x94, 0xa1, 'v', byte(frame.RoleVisitor), 0, 0}
	return state, (&frame.Message{Conv: conv, Seq: 1}).Append(nil), true, nil
}

func (s stuck) Durable(ctx context.Context, _ uint64) error {
	s.begun <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// TestUsersLeaveRoom: with as many requests of users under way as there may be, an application is answered.
func TestUsersLeaveRoom(t *testing.T) {
	key, _ := auth.GenerateKey("k")
	verifier, err := auth.NewVerifier([]auth.Key{key}, 0)
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Sign(auth.Identity{User: "v", Role: frame.RoleVisitor, Expires: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secret, hash := apikeys.New()
	entry, err := (&apikeys.Key{Name: "crm", Hash: hash, Scopes: []apikeys.Scope{apikeys.AgentsRead}}).Entry()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(file, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := apikeys.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	memory := memstore.New()
	t.Cleanup(memory.Close)
	st := stuck{memory, make(chan struct{}, 3)}
	s, err := Start(Config{
		Listen: "127.0.0.1:0", Requests: 4, Timeout: time.Minute, Verifier: verifier, Store: st, Keys: keys, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // ends the requests that are stuck
	ask := func(path, credential string) int {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr()+path, nil)
		r.Header.Set("Authorization", "Bearer "+credential)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	messages := "/v1/conversations/" + strings.Repeat("10", 16) + "/messages"
	for range 3 {
		work.Go(func() { ask(messages, token) }) // until cancel
		<-st.begun
	}
	if status := ask(messages, token); status != http.StatusServiceUnavailable {
		t.Errorf("the fourth of the users is answered %d", status)
	}
	if status := ask("/v1/groups/sales/canned", secret); status != http.StatusOK {
		t.Errorf("the application is answered %d", status)
	}
}

// TestRequestsAreBounded: with as many requests under way as are allowed, the next is refused at once; each ends after its timeout.
func TestRequestsAreBounded(t *testing.T) {
	key, _ := auth.GenerateKey("k")
	verifier, err := auth.NewVerifier([]auth.Key{key}, 0)
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Sign(auth.Identity{User: "v", Role: frame.RoleVisitor, Expires: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	memory := memstore.New()
	t.Cleanup(memory.Close)
	st := stuck{memory, make(chan struct{}, 1)}
	s, err := Start(Config{Listen: "127.0.0.1:0", Requests: 1, Timeout: time.Second, Verifier: verifier, Store: st, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	ask := func() (status int, code, retry string) {
		r, _ := http.NewRequest(http.MethodGet, "http://"+s.Addr()+"/v1/conversations/"+strings.Repeat("10", 16)+"/messages", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		var body struct{ Error struct{ Code string } }
		if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		return answer.StatusCode, body.Error.Code, answer.Header.Get("Retry-After")
	}
	first := make(chan string)
	go func() { // ends with its request, awaited below
		status, code, retry := ask()
		first <- http.StatusText(status) + " " + code + " " + retry
	}()
	<-st.begun
	if status, code, retry := ask(); status != 503 || code != "overloaded" || retry != "1" {
		t.Errorf("the second is answered %d %s, retry after %q", status, code, retry)
	}
	if got := <-first; got != "Service Unavailable unavailable 1" {
		t.Errorf("the first is answered %s", got)
	}
}
