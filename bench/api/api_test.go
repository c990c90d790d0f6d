package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask has a server answer one request for a page.
func ask(t *testing.T, handle http.HandlerFunc) (*Page, error) {
	t.Helper()
	s := httptest.NewServer(handle)
	defer s.Close()
	c, err := New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Before(context.Background(), "tok", frame.ID{7}, 12, 3)
}

func TestAPage(t *testing.T) {
	p, err := ask(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/v1/conversations/07000000000000000000000000000000/messages?before=12&limit=3" || r.Header.Get("Authorization") != "Bearer tok" {
			t.Error(r.URL, r.Header)
		}
		_, _ = w.Write([]byte(`{"conv": "07000000000000000000000000000000", "more": true, "partial_from": 1, "messages": [
			{"conv": "07000000000000000000000000000000", "seq": 1, "prev": 0, "time_ms": 9, "sender": "", "id": null, "kind": "event", "body": {"event": "opened"}},
			{"conv": "07000000000000000000000000000000", "seq": 9007199254740991, "prev": 1, "time_ms": 10, "sender": "a\"b", "id": "0a000000000000000000000000000000",
			 "kind": "message", "body": {"$bin": "AQI="}}]}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	first, last := p.Messages[0], p.Messages[1]
	if !p.More || p.PartialFrom != 1 || first.Kind != frame.KindEvent || first.Seq != 1 || first.TimeMS != 9 || len(first.Sender) != 0 || !first.ID.IsZero() {
		t.Errorf("%+v", p)
	}
	if last.Conv != (frame.ID{7}) || last.Seq != 1<<53-1 || last.Prev != 1 || string(last.Sender) != `a"b` || last.ID != (frame.ID{10}) || string(last.Body) != "\xc4\x02\x01\x02" {
		t.Errorf("%+v", last)
	}
}

func TestAnswersThatAreNoPages(t *testing.T) {
	_, err := ask(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"error":{"code":"unavailable","text":"ClickHouse is away"}}`))
	})
	var answer *Error
	if !errors.As(err, &answer) || answer.RetryAfter != 2*time.Second || answer.Code != "unavailable" || !Temporary(err) {
		t.Error(err)
	}
	_, err = ask(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no such page\nsecond line", http.StatusNotFound)
	})
	if !errors.As(err, &answer) || answer.Status != 404 || answer.Text != "no such page" || Temporary(err) {
		t.Error(err)
	}
	for _, text := range []string{"hello", "{}", `{"messages":[{"kind":"memo"}]}`, `{"messages":[{"kind":"event","conv":1,"sender":"","id":null,"body":null}]}`} {
		if _, err = ask(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }); !errors.Is(err, ErrForeign) || Temporary(err) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestServersThatAreAway(t *testing.T) {
	c, err := New("http://127.0.0.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err = c.After(context.Background(), "", frame.ID{}, 0, 1); err == nil || !Temporary(err) {
		t.Error(err)
	}
	for _, url := range []string{"ws://x", "127.0.0.1:80", "http://", "http://["} {
		if _, err := New(url); err == nil || !strings.Contains(err.Error(), "URL") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
