package switchyard

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// What agents and supervisors do with conversations, and visitors with theirs. All these requests but Transfer are repeated after a lost connection until
// they are answered: they say how it shall be, so the second time changes nothing.

// Claim takes a conversation that waits in one of this agent's groups; then Resume gives what was written. Of several agents the first one gets it: for the
// others errors.Is(err, ErrTaken), and the ServerError's Text is the name of who has it. A supervisor takes over from whoever has it.
func (c *Client) Claim(ctx context.Context, id ID) error {
	return c.request(ctx, func(ref uint64) encoder { return &frame.Claim{Ref: ref, Conv: id} })
}

// Target is where a conversation is transferred to.
type Target struct {
	Group string // empty: the group that it is in
	Agent string // an agent of that group; empty: whoever the group chooses, but not the one who has it
	Front bool   // without a free agent it waits before the others, else behind them
}

// Transfer gives the conversation to somebody else, whole or not at all. For the agent who has it, and supervisors of the group. It is not repeated, because the
// second time it could take the conversation from whoever got it the first time: after a lost connection it ends with ErrUnanswered, and the
// conversation's events tell whether it happened.
func (c *Conversation) Transfer(ctx context.Context, to Target) error {
	_, err := callOnce(ctx, c.client, func(ref uint64) encoder {
		return &frame.Transfer{Ref: ref, Conv: c.id, Group: []byte(to.Group), Agent: []byte(to.Agent), Front: to.Front}
	}, acked)
	return err
}

// Hold lets the timers of the conversation stand still until somebody writes, or ends that. For the agent who has it.
func (c *Conversation) Hold(ctx context.Context, on bool) error {
	return c.client.request(ctx, func(ref uint64) encoder { return &frame.Hold{Ref: ref, Conv: c.id, On: on} })
}

// Rate says what the visitor thinks of the conversation, with 1 to 5 stars; the last one counts.
func (c *Conversation) Rate(ctx context.Context, stars int, comment string) error {
	return c.client.request(ctx, func(ref uint64) encoder {
		return &frame.Rate{Ref: ref, Conv: c.id, Stars: uint8(min(max(stars, 0), 255)), Comment: []byte(comment)}
	})
}

// Reopen lets a closed conversation go on, within the time that its group allows. For its visitor, and supervisors of the group. Receive goes on too.
func (c *Conversation) Reopen(ctx context.Context) error {
	_, err := call(ctx, c.client, func(ref uint64) encoder {
		return &frame.Reopen{Ref: ref, Conv: c.id}
	}, func(s *session, typ frame.Type, f []byte) (struct{}, error) {
		var ack frame.Ack
		err := parseAnswer(typ, f, frame.TypeAck, &ack)
		if err == nil {
			s.reopened(c, ack.Seq)
		}
		return struct{}{}, err
	})
	return err
}

// Join makes a supervisor a participant, who may send and is shown to the others. To watch without that, only attach.
func (c *Conversation) Join(ctx context.Context) error {
	return c.client.request(ctx, func(ref uint64) encoder { return &frame.Join{Ref: ref, Conv: c.id} })
}

// SetAgentStatus says for an agent of this supervisor's groups whether it takes conversations; capacity 0 keeps how many at once.
func (c *Client) SetAgentStatus(ctx context.Context, agent string, status AgentStatus, capacity int) error {
	return c.request(ctx, func(ref uint64) encoder {
		return &frame.Status{Ref: ref, Status: status, Capacity: uint64(max(capacity, 0)), User: []byte(agent)}
	})
}

// request makes a call that is answered by an ack.
func (c *Client) request(ctx context.Context, request func(ref uint64) encoder) error {
	_, err := call(ctx, c, request, acked)
	return err
}

func acked(_ *session, typ frame.Type, f []byte) (struct{}, error) {
	return struct{}{}, parseAnswer(typ, f, frame.TypeAck, &frame.Ack{})
}

// reopened lets a conversation go on that was closed before a sequence. It may have been reopened and closed again, so it is resumed in any case. Called
// with mu.
func (s *session) reopened(c *Conversation, seq uint64) {
	if c.closed == 0 || seq < c.closed || c.err != nil {
		return
	}
	c.closed = 0
	c.notice.State = Queued
	s.join(c)
}

// lost ends a conversation that another agent has now, or that waits for one. The server has ended the delivery, and counts the conversation for
// this connection until it is told so. Called with mu.
func (s *session) lost(c *Conversation) {
	if s.up {
		s.send(&frame.Detach{Conv: c.id})
	}
	s.endConversation(c, ErrReassigned)
}

// takes tells whether an event takes the conversation from this user.
func (s *session) takes(m *Message) bool {
	if m.Kind != Event || s.role != "agent" {
		return false
	}
	switch e := m.Event(); e.Name {
	case "assigned":
		return e.Agent != s.user
	case "queued", "reopened":
		return true
	}
	return false
}

// Position tells where a visitor's conversation waits.
type Position struct {
	Conversation ID
	Group        string
	Place        int           // 1 is next
	Of           int           // how many wait
	Wait         time.Duration // expected; 0: not known yet
}

func newPosition(f *frame.Position) Position {
	return Position{Conversation: f.Conv, Group: string(f.Group), Place: number(f.Place), Of: number(f.Of), Wait: milliseconds(f.WaitMS)}
}

// number is a count that the server sent.
func number(n uint64) int { return int(min(n, 1<<62)) }
