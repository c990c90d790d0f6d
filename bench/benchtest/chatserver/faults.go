package chatserver

import (
	"net"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Faults are asked for each send, on the goroutine of its connection and under the server's mutex; nil does nothing.
type Faults struct {
	// Deliver may change what the other side gets for the n-th message of the server; nil slices nothing.
	Deliver func(n int, m frame.Message) []frame.Message
	// Astray has the n-th message delivered to those of another conversation, and not to those of its own.
	Astray func(n int) bool
	// Ack tells how often the n-th send is acknowledged; nil: once.
	Ack func(n int) int
	// Sequence may change the sequence that the ack of the n-th send names.
	Sequence func(n int, seq uint64) uint64
	// Refuse gives an error code for the n-th send, or 0.
	Refuse func(n int) uint64
	// Replay may change what a resume replays; nil: nothing.
	Replay func(log []frame.Message) []frame.Message
	// Hello gives an error code for a hello, or 0.
	Hello func() uint64
	// Forget has the n-th message acknowledged and delivered, and not stored.
	Forget func(n int) bool
	// Crash has the server crash after the n-th send. It acknowledges before it stores: of the batch that it handles, the acks have gone out, and
	// nothing else. It goes on as if it had been started again.
	Crash func(n int) bool
	// History may change what the HTTP interface gives out as the messages of a conversation.
	History func(log []frame.Message) []frame.Message
}

// crash forgets what the batch brought, sends its acks, and ends all connections.
func (s *Server) crash(from *conn) {
	for _, conv := range s.touched {
		for _, m := range conv.log[conv.durable:] {
			delete(conv.stored, sender{string(m.Sender), m.ID})
		}
		conv.log = conv.log[:conv.durable]
		conv.head = conv.log[conv.durable-1].Seq // a conversation begins with an event
	}
	s.touched = s.touched[:0]
	for _, c := range s.writing {
		if c != from {
			c.out = c.out[:0]
		}
	}
	s.writing = append(s.writing[:0], from)
	s.flush()
	s.epoch++
	for c := range s.conns {
		c.gone = true
		_ = c.net.(*net.TCPConn).CloseWrite() // a reset could overtake the acks; the client closes when it has read them
	}
}

// Stall is a time in which the server did nothing at all.
type Stall struct{ Begin, End time.Time }

// StallEvery stops the server for a while again and again, the first time after half a period, until done is closed; then it returns.
func (s *Server) StallEvery(period, length time.Duration, done <-chan struct{}) {
	for next := time.Now().Add(period / 2); ; next = next.Add(period) {
		select {
		case <-done:
			return
		case <-time.After(time.Until(next)):
			s.stall(length)
		}
	}
}

func (s *Server) stall(length time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	begin := time.Now()
	time.Sleep(length)
	s.stalls = append(s.stalls, Stall{begin, time.Now()})
}

// Stalls are those that have ended.
func (s *Server) Stalls() []Stall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Stall(nil), s.stalls...)
}
