// Package web is a plain HTTP listener with the bounds that all of the server's have: slow requests end, large headers are refused, and
// its socket can be handed to the process that comes next.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Config is what a listener needs; all fields are required but Listener and Timeout.
type Config struct {
	Name     string // for errors and logs, like "admin"
	Flag     string // the flag or option that gives it another address, for errors
	Listen   string // IP:PORT
	Listener int    // a listening socket to take over instead of opening one at Listen; 0: none
	Handler  http.Handler
	// Timeout is how long a handler takes at most; twice that bounds how long a client may take to send the body and to read the answer. 0: no bound.
	Timeout time.Duration
	Log     *slog.Logger
}

// Server is a listener and its goroutine.
type Server struct {
	cfg      Config
	listener net.Listener
	http     *http.Server
	done     chan struct{} // closed when Serve returned
}

// Start listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	l, err := listen(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen: %w; is another server running? Give this one its own address with %s", cfg.Name, err, cfg.Flag)
	}
	if cfg.Timeout > 0 {
		cfg.Handler = bounded(cfg.Handler, 2*cfg.Timeout)
	}
	s := &Server{cfg: cfg, listener: l, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           cfg.Handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
	}
	go s.serve() // ends with Close, which waits for it
	return s, nil
}

// bounded gives each request a time of its own. Those of http.Server begin with the connection, which may have waited for its first request.
func bounded(h http.Handler, d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, end := http.NewResponseController(w), time.Now().Add(d)
		if err := errors.Join(c.SetReadDeadline(end), c.SetWriteDeadline(end)); err != nil {
			panic(http.ErrAbortHandler) // the connection is gone
		}
		h.ServeHTTP(w, r)
	})
}

func listen(cfg Config) (net.Listener, error) {
	if cfg.Listener == 0 {
		return net.Listen("tcp", cfg.Listen)
	}
	f := os.NewFile(uintptr(cfg.Listener), cfg.Name+" listener")
	defer f.Close() // FileListener duplicates it
	return net.FileListener(f)
}

func (s *Server) serve() {
	defer close(s.done)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.cfg.Log.Error("an HTTP listener ended", "listener", s.cfg.Name, "error", err)
	}
}

// Addr is the address that is listened on, with its real port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Listener returns a duplicate of the listening socket, closed on exec, for whoever takes over. The caller closes it.
func (s *Server) Listener() (fd int, err error) {
	raw, err := s.listener.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	outer := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, outer)
}

// Close lets requests end until ctx is done and then cuts them off.
func (s *Server) Close(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.done
}
