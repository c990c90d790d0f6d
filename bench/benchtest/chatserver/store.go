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

// head is the sequence of the last message; 0 if there is none.
func (c *conversation) head() uint64 {
	if len(c.log) == 0 {
		return 0
	}
	return c.log[len(c.log)-1].Seq
}

// after are the messages behind a sequence.
func (c *conversation) after(seq uint64) []frame.Message { return after(c.log, seq) }

func after(log []frame.Message, seq uint64) []frame.Message {
	return log[sort.Search(len(log), func(i int) bool { return log[i].Seq > seq }):]
}

// store gives a message its place in the conversation.
func (s *Server) store(conv *conversation, m frame.Message) frame.Message {
	if conv.durable == len(conv.log) {
		s.touched = append(s.touched, conv)
	}
	m.Conv, m.Prev = conv.id, conv.head()
	m.Seq = max(m.Prev, frame.Sequence(s.epoch, 0)) + 1
	conv.log = append(conv.log, m)
	return m
}
