// Package api is the HTTP interface for applications: the history of a conversation and how it was routed, search and reports, as JSON. Each request carries a token
// as a client's hello does, and sees what its bearer may see: a participant its own conversations, a supervisor those of its groups.
//
// cmd starts it after the message center and stops it before. Requests run on net/http's goroutines and may block on the disk and on the history store;
// no loop and no shard waits for them. At most Config.Requests run at a time, and each ends after Config.Timeout, or after twice that if
// its client does not read the answer; more are answered 503 with a time to come back, so that a slow history store cannot gather them.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/web"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/history"
)

// Store is where conversations are read from. Its methods are dispatch.Store's.
type Store interface {
	LoadConversation(conv frame.ID, tail int) (state, messages []byte, ok bool, err error)
	ReadAfter(dst []byte, conv frame.ID, after, upto uint64, maxCount, maxBytes int) (frames []byte, last uint64, count int, err error)
	ReadBefore(dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error)
	// Durable returns when all that was read before the call, in the generation, is durable: a read may see a commit whose sync is still under way.
	Durable(ctx context.Context, generation uint64) error
	Generation() uint64
}

// Config is what the interface needs. All fields are required but Listener.
type Config struct {
	Listen   string // IP:PORT
	Listener int    // a listening socket to take over; 0: none
	Requests int    // at a time; more are refused
	Timeout  time.Duration
	Verifier *auth.Verifier
	Store    Store
	Queries  history.Queries
	Explain  func(ctx context.Context, conv frame.ID) (decisions []desk.Decision, open bool, err error)
	Log      *slog.Logger
}

// Server is the listener.
type Server struct {
	*web.Server
	cfg   Config
	slots chan struct{} // one for each request that runs
}

// Start listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, slots: make(chan struct{}, cfg.Requests)}
	var err error
	s.Server, err = web.Start(web.Config{
		Name: "api", Flag: "api.listen", Listen: cfg.Listen, Listener: cfg.Listener, Handler: s.routes(), Timeout: cfg.Timeout, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/conversations/{id}/messages", s.handler(s.messages))
	mux.Handle("GET /v1/conversations/{id}/routing", s.handler(s.routing))
	mux.Handle("GET /v1/search", s.handler(s.search))
	mux.Handle("GET /v1/reports/{measure}", s.handler(s.report))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &problem{http.StatusNotFound, "not_found", "there is no such path, or not with this method", 0})
	})
	return mux
}

// request is one that was let in.
type request struct {
	*http.Request
	who core.Identity
}

// handler lets in those who have a token and for whom there is room, and answers with what f returns, as JSON.
func (s *Server) handler(f func(*request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			s.refuse(w, r, &problem{http.StatusServiceUnavailable, "overloaded", "too many requests run; try again", time.Second})
			return
		}
		who, err := s.identify(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
		defer cancel()
		answer, err := f(&request{Request: r.WithContext(ctx), who: who})
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		s.write(w, http.StatusOK, answer)
	})
}

// identify checks the bearer token.
func (s *Server) identify(r *http.Request) (core.Identity, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return core.Identity{}, &problem{http.StatusUnauthorized, "unauthorized", "send a token as the header Authorization: Bearer TOKEN", 0}
	}
	id, err := s.cfg.Verifier.Verify([]byte(token), time.Now())
	switch {
	case errors.Is(err, auth.ErrExpired):
		return core.Identity{}, &problem{http.StatusUnauthorized, "token_expired", err.Error(), 0}
	case err != nil:
		return core.Identity{}, &problem{http.StatusUnauthorized, "unauthorized", err.Error(), 0}
	}
	return core.Identity{User: id.User, Profile: &desk.Profile{Groups: id.Groups}, Role: id.Role}, nil
}

// problem is an answer other than 200.
type problem struct {
	status int
	code   string // as in the table of error codes
	text   string // for a person, with the remedy
	retry  time.Duration
}

func (p *problem) Error() string { return p.code + ": " + p.text }

func badRequest(text string) error { return &problem{http.StatusBadRequest, "bad_request", text, 0} }

// refuse answers with what is wrong. What is neither the client's fault nor the store's is logged, and not shown.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, history.ErrBusy):
		p = &problem{http.StatusServiceUnavailable, "overloaded", "too much of the history is being read; ask again", time.Second}
	case errors.Is(err, dispatch.ErrGone):
		p = &problem{http.StatusGone, "gone", "messages that follow are kept no more; page back from the newest with before", 0}
	case errors.Is(err, dispatch.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.As(err, new(*history.Fault)):
		p = &problem{http.StatusServiceUnavailable, "unavailable", "the history cannot be read now; ask again", time.Second}
	case r.Context().Err() != nil:
		return // the client is gone
	default:
		s.cfg.Log.Error("an API request failed", "path", r.URL.Path, "error", err)
		p = &problem{http.StatusInternalServerError, "internal", "the server failed; its log says how", 0}
	}
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retry.Seconds()))))
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	s.write(w, p.status, map[string]any{"error": map[string]string{"code": p.code, "text": p.text}})
}

func (s *Server) write(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		s.cfg.Log.Error("BUG: an API answer is not JSON", "error", err)
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","text":"the server failed; its log says how"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
