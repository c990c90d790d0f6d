package chatserver

import (
	"github.com/golang-jwt/jwt/v5"

	"github.com/switchyard-im/switchyard/frame"
)

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

func (s *Server) ack(c *conn, ref, seq uint64) {
	s.put(c, &frame.Ack{Ref: ref, Seq: seq})
}

func (s *Server) refuse(c *conn, ref, code uint64) {
	e := frame.Error{Ref: ref, Code: code, Text: []byte("as the test asked")}
	if frame.ErrorRetry(code) {
		e.RetryMS = 1
	}
	s.put(c, &e)
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
	s.put(c, &w)
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
		Agent: []byte(conv.agent), Head: conv.head}
	s.put(c, &n)
}

func (s *Server) open(c *conn, f []byte) {
	var m frame.Open
	must(m.Parse(f))
	conv := s.convs[m.Key]
	if conv == nil {
		conv = &conversation{id: m.Key, group: string(m.Group), visitor: c.user, agent: s.agents[string(m.Group)],
			stored: map[sender]uint64{}, attached: map[*conn]bool{}}
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

func (s *Server) deliver(from *conn, conv *conversation, m frame.Message) {
	for c := range conv.attached {
		if c != from {
			s.put(c, &m)
		}
	}
}

func (s *Server) resume(c *conn, f []byte) {
	var m frame.Resume
	must(m.Parse(f))
	conv := s.convs[m.Conv]
	missed := conv.after(m.After)
	s.put(c, &frame.Resumed{Ref: m.Ref, Conv: m.Conv, Recovered: true, After: m.After, Head: conv.head, Count: uint64(len(missed))})
	if s.faults.Replay != nil {
		missed = s.faults.Replay(missed)
	}
	for _, old := range missed {
		s.put(c, &old)
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
	key := sender{c.user, m.ID}
	seq, again := conv.stored[key]
	if !again {
		keep := s.store
		if s.faults.Forget != nil && s.faults.Forget(n) {
			keep = s.number
		}
		kept := keep(conv, frame.Message{Sender: []byte(c.user), ID: m.ID, Body: append([]byte(nil), m.Body...)})
		seq = kept.Seq
		conv.stored[key] = seq
		s.pass(c, conv, n, kept)
	}
	acks := 1
	if s.faults.Ack != nil {
		acks = s.faults.Ack(n)
	}
	if s.faults.Sequence != nil {
		seq = s.faults.Sequence(n, seq)
	}
	for range acks {
		s.ack(c, m.Ref, seq)
	}
	if s.faults.Crash != nil && s.faults.Crash(n) {
		s.crash(c)
	}
}

// pass delivers a message, or what the faults make of it.
func (s *Server) pass(from *conn, conv *conversation, n int, m frame.Message) {
	if s.faults.Astray != nil && s.faults.Astray(n) {
		conv = s.another(conv)
	}
	if s.faults.Deliver == nil {
		s.deliver(from, conv, m)
		return
	}
	for _, d := range s.faults.Deliver(n, m) {
		s.deliver(from, conv, d)
	}
}

// another is some other conversation than this one.
func (s *Server) another(than *conversation) *conversation {
	for _, conv := range s.convs {
		if conv != than {
			return conv
		}
	}
	panic("BUG: chatserver: a message can go astray only if there are two conversations")
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
