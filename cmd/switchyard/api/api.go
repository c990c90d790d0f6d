// Package api is the HTTP interface for applications, as JSON: tokens, conversations and their messages, agents and queues, canned replies, search and reports. A request
// carries an application's key, whose scopes say what it may do, or a token as a client's hello does: then it reads what its bearer may see, a participant
// its own conversations, a supervisor those of its groups. What changes a conversation is a call of the message center: a client's frame, with the
// same checks, answered when it is durable.
//
// cmd starts it after the message center and stops it before. Requests run on net/http's goroutines and may block on the disk and on the history store;
// no loop and no shard waits for them. At most Config.Requests run at a time, and each ends after Config.Timeout, or after twice that if
// its client does not read the answer; more are answered 503 with a time to come back, so that a slow history store cannot gather them.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/cmd/switchyard/apikeys"
	"github.com/switchyard-im/switchyard/cmd/switchyard/canned"
	"github.com/switchyard-im/switchyard/cmd/switchyard/web"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/docs"
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

// Center is the message center. Its methods are dispatch.Center's.
type Center interface {
	Call(ctx context.Context, who *core.Identity, frame []byte) (answer []byte, err error)
	Explain(ctx context.Context, conv frame.ID) (decisions []desk.Decision, open bool, err error)
	Agents(ctx context.Context, group string) ([]desk.AgentState, error)
	Queue(ctx context.Context, group string, limit int) (desk.Snapshot, error)
}

// Config is what the interface needs. All fields are required but Listener, Keys, Canned and Registerer.
type Config struct {
	Listen   string // IP:PORT
	Listener int    // a listening socket to take over; 0: none
	Requests int    // at a time; more are refused
	Timeout  time.Duration
	Verifier *auth.Verifier
	Store    Store
	Queries  history.Queries
	Center   Center
	Keys     *apikeys.Keys // nil: none
	MaxBody  int64         // bytes of a request's body
	Canned   canned.Replies
	Log      *slog.Logger

	Registerer prometheus.Registerer // nil: nothing is counted
}

// Server is the listener.
type Server struct {
	*web.Server
	cfg   Config
	slots chan struct{} // one for each request that runs
	users chan struct{} // one for each of them with a user's token: a quarter of the slots is left to applications, whatever users do
	audit *slog.Logger  // what applications changed

	requests *prometheus.CounterVec // answered, by key and status
}

// Start listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	if cfg.Keys == nil {
		cfg.Keys = &apikeys.Keys{}
	}
	s := &Server{cfg: cfg, slots: make(chan struct{}, cfg.Requests), users: make(chan struct{}, cfg.Requests-cfg.Requests/4), audit: cfg.Log.With("logger", "audit")}
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "switchyard", Subsystem: "api", Name: "requests_total", Help: "Requests that were answered, by the name of the application's key (empty: a token, or none) and the status (0: the client had gone).",
	}, []string{"key", "status"})
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(s.requests); err != nil {
			return nil, fmt.Errorf("api: register metrics: %w", err)
		}
	}
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
	for _, r := range s.table() {
		mux.Handle(r.method+" "+r.path, s.handler(r))
	}
	mux.HandleFunc("GET /v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(docs.OpenAPI)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &problem{http.StatusNotFound, "not_found", "there is no such path, or not with this method", 0})
	})
	return mux
}

// route is one thing that can be asked for.
type route struct {
	method, path string
	scope        apikeys.Scope // that a key must have
	tokens       bool          // users' tokens may ask too
	answer       func(*request) (any, error)
}

// table lists them; docs/openapi.yaml describes each, which TestOpenAPI checks.
func (s *Server) table() []route {
	return []route{
		{"POST", "/v1/tokens", apikeys.TokensCreate, false, s.createToken},
		{"POST", "/v1/conversations", apikeys.ConversationsWrite, false, s.open},
		{"GET", "/v1/conversations/{id}", apikeys.ConversationsRead, true, s.conversation},
		{"POST", "/v1/conversations/{id}/close", apikeys.ConversationsWrite, false, s.close},
		{"POST", "/v1/conversations/{id}/transfer", apikeys.ConversationsWrite, false, s.transfer},
		{"GET", "/v1/conversations/{id}/messages", apikeys.ConversationsRead, true, s.messages},
		{"POST", "/v1/conversations/{id}/messages", apikeys.MessagesSend, false, s.send},
		{"GET", "/v1/conversations/{id}/routing", apikeys.ConversationsRead, true, s.routing},
		{"GET", "/v1/agents", apikeys.AgentsRead, true, s.agents},
		{"PUT", "/v1/agents/{name}/status", apikeys.AgentsWrite, false, s.status},
		{"GET", "/v1/queues/{group}", apikeys.QueuesRead, true, s.queue},
		{"GET", "/v1/groups/{group}/canned", apikeys.AgentsRead, true, s.canned},
		{"GET", "/v1/search", apikeys.ReportsRead, true, s.search},
		{"GET", "/v1/reports/{measure}", apikeys.ReportsRead, true, s.report},
	}
}

// Routes lists what can be asked for, as "METHOD PATH".
func Routes() []string {
	var all []string
	for _, r := range new(Server).table() {
		all = append(all, r.method+" "+r.path)
	}
	return all
}

// request is one that was let in.
type request struct {
	*http.Request
	who core.Identity
	key *apikeys.Key // nil: who has a token
	out *response
}

// staffOf tells whether the bearer may ask about a whole group.
func (r *request) staffOf(group string) bool {
	if r.key != nil {
		return r.key.Oversees(group)
	}
	return r.who.Role != frame.RoleVisitor && slices.Contains(r.who.Groups(), group)
}

// handler lets in those who may ask and for whom there is room, and answers with what the route's function returns, as JSON.
func (s *Server) handler(route route) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w := &response{ResponseWriter: out}
		defer func() { s.note(w, r) }()
		if !enter(s.slots) {
			s.refuse(w, r, errFull)
			return
		}
		defer leave(s.slots)
		q, err := s.identify(w, r, route)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		if q.key == nil {
			if !enter(s.users) {
				s.refuse(w, r, errFull)
				return
			}
			defer leave(s.users)
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
		defer cancel()
		q.Request, q.out = r.WithContext(ctx), w
		q.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
		answer, err := route.answer(q)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		s.write(w, http.StatusOK, answer)
	})
}

var errFull = &problem{http.StatusServiceUnavailable, "overloaded", "too many requests run; try again", time.Second}

// enter takes a slot, if one is free.
func enter(slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func leave(slots chan struct{}) { <-slots }

// response remembers what is noted of an answer.
type response struct {
	http.ResponseWriter
	key    *apikeys.Key
	status int
	code   string // of an error
	conv   string // that was opened
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// note counts a request that was answered, and logs what an application changed, or wanted to.
func (s *Server) note(w *response, r *http.Request) {
	name := ""
	if w.key != nil {
		name = w.key.Name
	}
	s.requests.WithLabelValues(name, strconv.Itoa(w.status)).Inc()
	if w.key != nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.audit.Info("application", "key", name, "method", r.Method, "path", r.URL.Path, "status", w.status, "error", w.code, "opened", w.conv, "peer", r.RemoteAddr)
	}
}

// identify checks the bearer's key or token, and whether it may ask for this.
func (s *Server) identify(w *response, r *http.Request, to route) (*request, error) {
	scheme, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || credential == "" {
		return nil, &problem{http.StatusUnauthorized, "unauthorized", "send a key or a token as the header Authorization: Bearer KEY", 0}
	}
	if !apikeys.IsSecret(credential) {
		if !to.tokens {
			return nil, &problem{http.StatusForbidden, "forbidden", "this takes an application's key, not a user's token", 0}
		}
		who, err := s.verify(credential)
		return &request{who: who}, err
	}
	key := s.cfg.Keys.Find(credential)
	if key == nil {
		return nil, &problem{http.StatusUnauthorized, "unauthorized", "there is no such key", 0}
	}
	w.key = key
	if !key.May(to.scope) {
		return nil, &problem{http.StatusForbidden, "forbidden", fmt.Sprintf("the key %q has not the scope %s", key.Name, to.scope), 0}
	}
	return &request{key: key, who: system(key, key.Name)}, nil
}

// system is an application under a name.
func system(key *apikeys.Key, name string) core.Identity {
	return core.Identity{User: name, Role: frame.RoleSystem, Profile: &desk.Profile{Groups: key.Groups}}
}

// verify checks a user's token.
func (s *Server) verify(token string) (core.Identity, error) {
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
		p = &problem{http.StatusServiceUnavailable, "unavailable", "the server, or the history, cannot answer now; ask again", time.Second}
	case errors.As(err, new(*http.MaxBytesError)):
		p = &problem{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body has more than %d bytes", s.cfg.MaxBody), 0}
	case errors.Is(err, dispatch.ErrOverloaded):
		p = &problem{http.StatusServiceUnavailable, "overloaded", "the server has too much to do; try again", time.Second}
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
	var a errorAnswer
	a.Error.Code, a.Error.Text, a.Error.RetryMS = p.code, p.text, p.retry.Milliseconds()
	s.write(w, p.status, a)
}

type errorAnswer struct {
	Error struct {
		Code    string `json:"code"`
		Text    string `json:"text"`
		RetryMS int64  `json:"retry_ms,omitempty"` // worth another try after this time
	} `json:"error"`
}

func (s *Server) write(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		s.cfg.Log.Error("BUG: an API answer is not JSON", "error", err)
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","text":"the server failed; its log says how"}}`)
	}
	if q, ok := w.(*response); ok && status != http.StatusOK {
		if e, ok := answer.(errorAnswer); ok {
			q.code = e.Error.Code
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
