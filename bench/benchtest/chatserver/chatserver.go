// Package chatserver is a model of a Switchyard server for bench's tests: the protocol in its most obvious form, everything in memory
// under one mutex, a goroutine for each connection, and faults on demand. It knows groups with one agent each.
package chatserver

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/golang-jwt/jwt/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// Faults are asked for each send, on the goroutine of its connection and under the server's mutex; nil does nothing.
type Faults struct {
	// Deliver may change what the other side gets for the n-th message of the server; nil slices nothing.
	Deliver func(n int, m frame.Message) []frame.Message
	// Ack tells how often the n-th send is acknowledged; nil: once.
	Ack func(n int) int
	// Refuse gives an error code for the n-th send, or 0.
	Refuse func(n int) uint64
	// Replay may change what a resume replays; nil: nothing.
	Replay func(log []frame.Message) []frame.Message
	// Hello gives an error code for a hello, or 0.
	Hello func() uint64
}

// Server listens on a port of its own until Close.
type Server struct {
	faults   Faults
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex // guards everything below
	conns  map[*conn]bool
	agents map[string]string // group -> user
	convs  map[frame.ID]*conversation
	sends  int
	closed int
}

type conversation struct {
	id             frame.ID
	group          string
	visitor, agent string
	log            []frame.Message
	stored         map[string]uint64 // sender and client message id -> sequence
	attached       map[*conn]bool
}

type conn struct {
	barred map[frame.ID]frame.ID // by conversation: the message that was refused and did not come again
	net    net.Conn
	user   string
	role   string
	group  string
	out    []byte // the batch of this turn
}

// Start listens on 127.0.0.1.
func Start(faults Faults) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("chatserver: %w", err)
	}
	s := &Server{faults: faults, listener: listener, conns: map[*conn]bool{}, agents: map[string]string{}, convs: map[frame.ID]*conversation{}}
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

// batch handles one batch and sends what it made, to everybody, as one message each.
func (s *Server) batch(c *conn, batch []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(batch) > 0 {
		typ, f, rest, err := frame.Next(batch)
		if err != nil {
			panic("BUG: chatserver: the client sent " + err.Error())
		}
		s.frame(c, typ, f)
		batch = rest
	}
	for c := range s.conns {
		if len(c.out) > 0 {
			_ = wsutil.WriteServerBinary(c.net, c.out)
			c.out = nil
		}
	}
}

func (s *Server) frame(c *conn, typ frame.Type, f []byte) {
	switch typ {
	case frame.TypeHello:
		s.hello(c, f)
	case frame.TypeOpen:
		s.open(c, f)
	case frame.TypeResume:
		s.resume(c, f)
	case frame.TypeSend:
		s.send(c, f)
	case frame.TypeClose:
		var m frame.Close
		must(m.Parse(f))
		s.closed++
		s.ack(c, m.Ref, 0)
	}
}

func must(err error) {
	if err != nil {
		panic("BUG: chatserver: the client sent " + err.Error())
	}
}

func (s *Server) ack(c *conn, ref, seq uint64) {
	a := frame.Ack{Ref: ref, Seq: seq}
	c.out = a.Append(c.out)
}

func (s *Server) refuse(c *conn, ref, code uint64) {
	e := frame.Error{Ref: ref, Code: code, Text: []byte("as the test asked")}
	if frame.ErrorRetry(code) {
		e.RetryMS = 1
	}
	c.out = e.Append(c.out)
}

func (s *Server) hello(c *conn, f []byte) {
	var m frame.Hello
	must(m.Parse(f))
	if s.faults.Hello != nil {
		if code := s.faults.Hello(); code != 0 {
			s.refuse(c, m.Ref, code)
			return
		}
	}
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(string(m.Token), claims)
	must(err)
	c.user, c.role = claims["sub"].(string), claims["role"].(string)
	if groups, ok := claims["groups"].([]any); ok {
		c.group = groups[0].(string)
	}
	if c.role == "agent" {
		s.agents[c.group] = c.user
	}
	w := frame.Welcome{Ref: m.Ref, Session: frame.ID{1}, User: []byte(c.user), Role: []byte(c.role), MaxMessage: frame.MaxMessage}
	c.out = w.Append(c.out)
	if m.Flags&frame.HelloList != 0 {
		for _, conv := range s.convs {
			if conv.agent == c.user {
				s.notice(c, conv, 0)
			}
		}
	}
}

func (s *Server) notice(c *conn, conv *conversation, ref uint64) {
	n := frame.Conversation{Ref: ref, Conv: conv.id, State: frame.StateAssigned, Group: []byte(conv.group), Visitor: []byte(conv.visitor),
		Agent: []byte(conv.agent), Head: uint64(len(conv.log))}
	c.out = n.Append(c.out)
}

func (s *Server) open(c *conn, f []byte) {
	var m frame.Open
	must(m.Parse(f))
	conv := s.convs[m.Key]
	if conv == nil {
		conv = &conversation{id: m.Key, group: string(m.Group), visitor: c.user, agent: s.agents[string(m.Group)],
			stored: map[string]uint64{}, attached: map[*conn]bool{}}
		s.convs[m.Key] = conv
		s.event(conv, "opened")
		for agent := range s.conns {
			if agent.user == conv.agent && agent.user != "" {
				s.notice(agent, conv, 0)
			}
		}
	}
	conv.attached[c] = true
	s.notice(c, conv, m.Ref)
	if len(conv.log) == 1 {
		s.event(conv, "assigned")
	}
}

func (s *Server) event(conv *conversation, name string) {
	s.deliver(nil, conv, s.store(conv, frame.Message{Kind: frame.KindEvent, Body: frame.AppendEvent(nil, name)}))
}

// store gives a message its place in the conversation.
func (s *Server) store(conv *conversation, m frame.Message) frame.Message {
	m.Conv, m.Prev, m.Seq = conv.id, uint64(len(conv.log)), uint64(len(conv.log)+1)
	conv.log = append(conv.log, m)
	return m
}

func (s *Server) deliver(from *conn, conv *conversation, m frame.Message) {
	for c := range conv.attached {
		if c != from {
			c.out = m.Append(c.out)
		}
	}
}

func (s *Server) resume(c *conn, f []byte) {
	var m frame.Resume
	must(m.Parse(f))
	conv := s.convs[m.Conv]
	head := uint64(len(conv.log))
	r := frame.Resumed{Ref: m.Ref, Conv: m.Conv, Recovered: m.After <= head, After: m.After, Head: head, Count: head - m.After}
	c.out = r.Append(c.out)
	missed := conv.log[m.After:]
	if s.faults.Replay != nil {
		missed = s.faults.Replay(missed)
	}
	for _, old := range missed {
		c.out = old.Append(c.out)
	}
	conv.attached[c] = true
}

func (s *Server) send(c *conn, f []byte) {
	var m frame.Send
	must(m.Parse(f))
	s.sends++
	n := s.sends
	if code := s.refusal(c, n, &m); code != 0 {
		s.refuse(c, m.Ref, code)
		return
	}
	conv := s.convs[m.Conv]
	key := strconv.Quote(c.user) + m.ID.String()
	seq, again := conv.stored[key]
	if !again {
		stored := s.store(conv, frame.Message{Sender: []byte(c.user), ID: m.ID, Body: append([]byte(nil), m.Body...)})
		seq = stored.Seq
		conv.stored[key] = seq
		out := []frame.Message{stored}
		if s.faults.Deliver != nil {
			out = s.faults.Deliver(n, stored)
		}
		for _, d := range out {
			s.deliver(c, conv, d)
		}
	}
	acks := 1
	if s.faults.Ack != nil {
		acks = s.faults.Ack(n)
	}
	for range acks {
		s.ack(c, m.Ref, seq)
	}
}

// refusal gives the code with which the n-th send is refused, or 0. What follows a refused message of a conversation on its connection is refused
// too, until that message comes again.
func (s *Server) refusal(c *conn, n int, m *frame.Send) uint64 {
	if barred, ok := c.barred[m.Conv]; ok && barred != m.ID {
		return frame.ErrorUnavailable
	}
	delete(c.barred, m.Conv)
	if s.faults.Refuse == nil {
		return 0
	}
	code := s.faults.Refuse(n)
	if code != 0 {
		if c.barred == nil {
			c.barred = map[frame.ID]frame.ID{}
		}
		c.barred[m.Conv] = m.ID
	}
	return code
}
