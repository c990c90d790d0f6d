// Package chatserver is a model of a Switchyard server for bench's tests: the protocol in its most obvious form, everything in memory
// under one mutex, a goroutine for each connection, and faults on demand. It knows groups with one agent each, and gives out the messages of a
// conversation over HTTP.
package chatserver

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/switchyard-im/switchyard/frame"
)

// Server listens on a port of its own until Close.
type Server struct {
	faults   Faults
	listener net.Listener
	api      http.Server
	apiURL   string
	work     sync.WaitGroup

	mu      sync.Mutex // guards everything below
	conns   map[*conn]bool
	agents  map[string]string // group -> user
	convs   map[frame.ID]*conversation
	sends   int
	closed  int
	epoch   uint64          // of new sequences
	touched []*conversation // have messages of the batch that is being handled
	writing []*conn         // have something to send at its end
	stalls  []Stall
}

type conn struct {
	barred map[frame.ID]frame.ID // by conversation: the message that was refused and did not come again
	net    net.Conn
	user   string
	role   string
	group  string
	out    []byte // the batch of this turn
	gone   bool   // it was connected to a server that crashed; nothing that it sends is looked at
}

// Start listens on 127.0.0.1.
func Start(faults Faults) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("chatserver: %w", err)
	}
	s := &Server{faults: faults, listener: listener, conns: map[*conn]bool{}, agents: map[string]string{}, convs: map[frame.ID]*conversation{}}
	if err := s.startAPI(); err != nil {
		_ = listener.Close()
		return nil, err
	}
	s.work.Go(s.accept)
	return s, nil
}

// URL is the address to dial.
func (s *Server) URL() string { return "ws://" + s.listener.Addr().String() + "/v1/ws" }

// DropAll closes all connections without a word, also with answers under way.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.net.Close()
	}
}

// Drain asks all clients to leave, and goes on as before.
func (s *Server) Drain(d frame.Drain) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = wsutil.WriteServerBinary(c.net, d.Append(nil))
	}
}

// Closed is the number of conversations that were closed.
func (s *Server) Closed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close ends the listener and all connections and waits for the goroutines.
func (s *Server) Close() {
	_ = s.listener.Close()
	_ = s.api.Close()
	s.DropAll()
	s.work.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.work.Go(func() { s.serve(c) })
	}
}

func (s *Server) serve(nc net.Conn) {
	defer nc.Close()
	up := ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == "switchyard.v1.msgpack" }}
	if _, err := up.Upgrade(nc); err != nil {
		return
	}
	c := &conn{net: nc}
	s.mu.Lock()
	s.conns[c] = true
	s.mu.Unlock()
	defer s.leave(c)
	for {
		batch, _, err := wsutil.ReadClientData(struct {
			io.Reader
			io.Writer
		}{nc, nc})
		if err != nil {
			return
		}
		s.batch(c, batch)
	}
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	for _, conv := range s.convs {
		delete(conv.attached, c)
	}
}

// batch handles one batch and sends what it made, to everybody, as one message each. What it stores counts as on disk then.
func (s *Server) batch(c *conn, batch []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(batch) > 0 && !c.gone {
		typ, f, rest, err := frame.Next(batch)
		if err != nil {
			panic("BUG: chatserver: the client sent " + err.Error())
		}
		s.frame(c, typ, f)
		batch = rest
	}
	for _, conv := range s.touched {
		conv.durable = len(conv.log)
	}
	s.touched = s.touched[:0]
	s.flush()
}

// flush sends what waits.
func (s *Server) flush() {
	for _, c := range s.writing {
		_ = wsutil.WriteServerBinary(c.net, c.out)
		c.out = c.out[:0]
	}
	s.writing = s.writing[:0]
}

// put adds a frame to what a connection gets at the end of the batch.
func (s *Server) put(c *conn, f interface{ Append([]byte) []byte }) {
	if len(c.out) == 0 {
		s.writing = append(s.writing, c)
	}
	c.out = f.Append(c.out)
}

func must(err error) {
	if err != nil {
		panic("BUG: chatserver: the client sent " + err.Error())
	}
}
