package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
)

// erasePath is where the admin listener takes erasures.
const erasePath = "/v1/history/erase"

// eraseRequest is what it is sent.
type eraseRequest struct {
	User string `json:"user"`
}

// erasing is the eraser of a server, and what ends an erasure when the server stops. Safe for concurrent use; the zero value is ready.
type erasing struct {
	mu     sync.Mutex
	eraser *history.Eraser    // guarded by mu, as all below; made by the first erasure
	cancel context.CancelFunc // of the erasure under way, or nil
	ended  chan struct{}      // closed when it is over
	closed bool
}

// stop ends the erasure under way, and lets none begin. What it has not done is left; run again, it is done.
func (e *erasing) stop() {
	e.mu.Lock()
	e.closed = true
	cancel, ended := e.cancel, e.ended
	e.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// run runs f unless the server stops or another one runs.
func (e *erasing) run(ctx context.Context, eraser func() *history.Eraser, f func(context.Context, *history.Eraser)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	switch {
	case e.closed:
		e.mu.Unlock()
		return errNotServing
	case e.cancel != nil:
		e.mu.Unlock()
		return history.ErrErasing
	}
	if e.eraser == nil {
		e.eraser = eraser()
	}
	e.cancel, e.ended = cancel, make(chan struct{})
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		close(e.ended)
		e.cancel, e.ended = nil, nil
	}()
	f(ctx, e.eraser)
	return nil
}

// errNotServing is why a server that starts or stops does not erase.
var errNotServing = errors.New("the server is starting or stopping and has no hold of the store; ask again when it serves")

// erase is the admin's action.
func (s *server) erase(ctx context.Context, body []byte) (code int, answer map[string]any) {
	var r eraseRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return http.StatusBadRequest, map[string]any{"error": `send {"user": "ID"}: ` + err.Error()}
	}
	var done history.Erased
	err := errNotServing
	if p := phase(s.phase.Load()); p == serving || p == draining {
		if busy := s.erasing.run(ctx, s.newEraser, func(ctx context.Context, e *history.Eraser) { done, err = e.Erase(ctx, r.User) }); busy != nil {
			err = busy
		}
	}
	answer = map[string]any{"erased": done}
	if err != nil {
		answer["error"] = err.Error()
	}
	// Without the name, which would stay in the log.
	s.log.Info("a user was erased from the history", "messages", done.Messages, "conversations", done.Conversations, "clickhouse_messages", done.ClickhouseMessages,
		"clickhouse_events", done.ClickhouseEvents, "dead_letters", done.DeadLetters, "complete", err == nil)
	return eraseStatus(err), answer
}

func eraseStatus(err error) int {
	var open *history.OpenError
	var left *history.LeftError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, history.ErrUser):
		return http.StatusBadRequest
	case errors.As(err, &open), errors.As(err, &left), errors.Is(err, history.ErrErasing):
		return http.StatusConflict
	case errors.Is(err, errNotServing), errors.Is(err, sink.ErrUnavailable), errors.As(err, new(*history.Fault)), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// newEraser knows the store, and ClickHouse if there is one.
func (s *server) newEraser() *history.Eraser {
	st := s.store.Load()
	e := history.NewEraser(st, core.EraseMember)
	e.Forget = func(ctx context.Context, user string, convs []frame.ID) error {
		if err := s.center.Erase(ctx, user, convs); err != nil {
			return err
		}
		return st.Durable(ctx, st.Generation())
	}
	if h := s.history.Load(); h != nil {
		e.Client, e.Shipper, e.Outbox = h.client, h.shipper, st.Outbox()
	}
	return e
}

type historyEraseCmd struct {
	User  string         `required:"" help:"The user, as tokens name him (sub)."`
	Admin config.Address `default:"127.0.0.1:8081" env:"SWITCHYARD_ADMIN_LISTEN" help:"The server's admin address."`
}

// Run asks the running server, which alone has the store, and waits; a signal ends the erasure, and it can be run again.
func (c *historyEraseCmd) Run(env *environment) error {
	if _, err := askVarz(c.Admin); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	answer, err := c.ask(ctx)
	if err != nil {
		return err
	}
	d := answer.Erased
	fmt.Fprintf(env.stdout, "%s: rewritten in the store: %d messages, %d closed conversations; in ClickHouse: %d rows of messages, %d of events; dead letters: %d\n",
		answer.ServerID, d.Messages, d.Conversations, d.ClickhouseMessages, d.ClickhouseEvents, d.DeadLetters)
	if answer.Error != "" {
		return fmt.Errorf("not everything is erased: %s", answer.Error)
	}
	fmt.Fprintln(env.stdout, "verified: nothing of the user is found any more")
	return nil
}

// eraseAnswer is what erasePath answers.
type eraseAnswer struct {
	ServerID string         `json:"server_id"`
	Erased   history.Erased `json:"erased"`
	Error    string         `json:"error"`
}

func (c *historyEraseCmd) ask(ctx context.Context) (answer eraseAnswer, err error) {
	body, err := json.Marshal(eraseRequest{User: c.User})
	if err != nil {
		return answer, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Admin.AddrPort()+erasePath, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	r.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no timeout: a large store takes its time
	got, err := client.Do(r)
	if err != nil {
		return answer, fmt.Errorf("the erasure was interrupted; run it again: %w", err)
	}
	defer got.Body.Close()
	if err := json.NewDecoder(got.Body).Decode(&answer); err != nil {
		return answer, fmt.Errorf("the erasure was interrupted, or this server cannot erase (status %d); run it again: %w", got.StatusCode, err)
	}
	return answer, nil
}
