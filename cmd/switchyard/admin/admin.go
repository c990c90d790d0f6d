// Package admin serves the operators' side of the server over plain HTTP: metrics, health, the process's own figures and
// profiles. It has no access control, so it listens on loopback unless it is told otherwise.
//
// cmd starts it before everything else, so that a slow recovery can be watched, and stops it last. What it shows comes from
// functions that cmd passes in; they are called on the goroutines of requests and must be quick and safe for concurrent use.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/switchyard-im/switchyard/cmd/switchyard/web"
)

// Readiness is what /readyz answers: 200 if Ready, else 503.
type Readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // part -> "ok" or what is wrong with it
}

// Action does something on the server. It gets the body of the request, and returns the status and the answer; it may take long, until ctx ends.
type Action func(ctx context.Context, body []byte) (code int, answer map[string]any)

// Config says what is shown. All fields are required but Listener, Vars, Actions and Replay.
type Config struct {
	Listen   string // IP:PORT
	Listener int    // a listening socket to take over instead of opening one at Listen; 0: none
	ServerID string
	Version  string
	Gatherer prometheus.Gatherer
	Ready    func() Readiness
	Vars     func() map[string]any                         // further figures of /varz, snake_case
	Actions  map[string]Action                             // path -> what a POST there does
	Replay   func(context.Context) (map[string]any, error) // sends the dead letters of notifications again
	Log      *slog.Logger
}

// Server shows it.
type Server struct {
	*web.Server
	cfg     Config
	started time.Time
}

// Start listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, started: time.Now()}
	var err error
	s.Server, err = web.Start(web.Config{Name: "admin", Flag: "--admin", Listen: cfg.Listen, Listener: cfg.Listener, Handler: s.routes(), Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError, // one bad collector must not hide the rest
		MaxRequestsInFlight: 4,
	}))
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /varz", s.vars)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("POST /debug/collect", collect)
	for path, action := range s.cfg.Actions {
		mux.HandleFunc("POST "+path, s.act(action))
	}
	if s.cfg.Replay != nil {
		mux.HandleFunc("POST /notify/replay", s.replay)
	}
	mux.HandleFunc("GET /{$}", s.index)
	return mux
}

// health answers that the process runs and serves requests. What it depends on belongs in ready: a restart would not help.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, map[string]any{"status": "ok"})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	r := s.cfg.Ready()
	code := http.StatusOK
	if !r.Ready {
		code = http.StatusServiceUnavailable
	}
	s.answer(w, code, map[string]any{"ready": r.Ready, "checks": r.Checks})
}

func (s *Server) vars(w http.ResponseWriter, _ *http.Request) {
	v := map[string]any{
		"version":        s.cfg.Version,
		"go_version":     runtime.Version(),
		"pid":            os.Getpid(),
		"started":        s.started.UTC().Format(time.RFC3339Nano),
		"uptime_seconds": time.Since(s.started).Seconds(),
		"processors":     runtime.GOMAXPROCS(0),
		"goroutines":     runtime.NumGoroutine(),
	}
	if s.cfg.Vars != nil {
		for name, value := range s.cfg.Vars() {
			v[name] = value
		}
	}
	s.answer(w, http.StatusOK, v)
}

// maxBody bounds what an action is sent.
const maxBody = 64 << 10

// act insists on JSON, because a page of another site cannot make a browser send that here.
func (s *Server) act(action Action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/json" {
			s.answer(w, http.StatusUnsupportedMediaType, map[string]any{"error": "send JSON, with Content-Type: application/json"})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			s.answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			return
		}
		code, answer := action(r.Context(), body)
		s.answer(w, code, answer)
	}
}

// collect collects the garbage and gives free memory back to the system, which the runtime does by itself in minutes. So measurements of
// resident memory can be compared.
func collect(w http.ResponseWriter, _ *http.Request) {
	debug.FreeOSMemory()
	w.WriteHeader(http.StatusNoContent)
}

// replay answers how many dead letters wait to be sent again, and how many are kept.
func (s *Server) replay(w http.ResponseWriter, r *http.Request) {
	done, err := s.cfg.Replay(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	s.answer(w, http.StatusOK, done)
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "switchyard %s on %s\n\n/metrics\n/healthz\n/readyz\n/varz\n/debug/pprof/\nPOST /debug/collect\nPOST /notify/replay\n", s.cfg.Version, s.cfg.ServerID)
}

// answer writes a JSON object with the time and the server's name, as every answer has.
func (s *Server) answer(w http.ResponseWriter, code int, v map[string]any) {
	v["now"] = time.Now().UTC().Format(time.RFC3339Nano)
	v["server_id"] = s.cfg.ServerID
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "BUG: the answer is not JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(body, '\n'))
}
