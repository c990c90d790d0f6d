// Package echoserver is a small WebSocket echo server for tests: gobwas/ws, one goroutine a connection, obvious rather than fast.
package echoserver

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// Hook may change the messages that go back: it returns what is written for one message that came in.
type Hook func(op ws.OpCode, payload []byte) [][]byte

// Server listens on a port of its own until Close.
type Server struct {
	listener net.Listener
	hook     Hook
	work     sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool // guarded by mu; nil once closed
}

// Start listens on 127.0.0.1. A nil hook echoes.
func Start(hook Hook) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("echoserver: %w", err)
	}
	if hook == nil {
		hook = func(_ ws.OpCode, p []byte) [][]byte { return [][]byte{p} }
	}
	s := &Server{listener: listener, hook: hook, conns: map[net.Conn]bool{}}
	s.work.Go(s.accept)
	return s, nil
}

// URL is the address to dial.
func (s *Server) URL() string { return "ws://" + s.listener.Addr().String() + "/" }

// DropAll closes all connections without a word.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Close ends the listener and all connections and waits for the goroutines.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.DropAll()
	s.work.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.work.Go(func() { s.serve(c) })
	}
}

func (s *Server) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	if _, err := (ws.Upgrader{Protocol: func([]byte) bool { return true }}).Upgrade(c); err != nil {
		return
	}
	for {
		p, op, err := wsutil.ReadClientData(struct {
			io.Reader
			io.Writer
		}{c, c})
		if err != nil {
			return
		}
		var out bytes.Buffer
		for _, answer := range s.hook(op, p) {
			_ = wsutil.WriteServerMessage(&out, op, answer)
		}
		if _, err := c.Write(out.Bytes()); err != nil {
			return
		}
	}
}
