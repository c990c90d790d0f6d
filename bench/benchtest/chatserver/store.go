package chatserver

import (
	"sort"

	"github.com/switchyard-im/switchyard/frame"
)

// conversation is guarded by the server's mutex.
type conversation struct {
	id             frame.ID
	group          string
	visitor, agent string
	head           uint64          // the sequence of the last message, 0 if there was none
	log            []frame.Message // in the order of their sequences
	durable        int             // of the log, what survives a crash
	stored         map[sender]uint64
	attached       map[*conn]bool
}

// sender is who sent which message; with it one finds its sequence.
type sender struct {
	user string
	id   frame.ID
}

// after are the messages behind a sequence.
func (c *conversation) after(seq uint64) []frame.Message { return behind(c.log, seq) }

func behind(log []frame.Message, seq uint64) []frame.Message {
	return log[sort.Search(len(log), func(i int) bool { return log[i].Seq > seq }):]
}

// store gives a message its place in the conversation.
func (s *Server) store(conv *conversation, m frame.Message) frame.Message {
	if conv.durable == len(conv.log) {
		s.touched = append(s.touched, conv)
	}
	m = s.number(conv, m)
	conv.log = append(conv.log, m)
	return m
}

// number gives a message its sequence.
func (s *Server) number(conv *conversation, m frame.Message) frame.Message {
	m.Conv, m.Prev = conv.id, conv.head
	m.Seq = max(m.Prev, frame.Sequence(s.epoch, 0)) + 1
	conv.head = m.Seq
	return m
}
