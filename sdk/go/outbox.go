package switchyard

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Pending is a message in the outbox. It stays there, through reconnects, until the server has answered.
//
// The fields below done are guarded by the client's mutex until done is closed, and do not change after that.
type Pending struct {
	conv *Conversation
	id   ID
	body Raw
	ref  uint64
	done chan struct{}

	base  uint64 // the last sequence known when it was first sent
	seek  bool   // it is being looked for in the history; what comes after it waits
	sent  bool   // at least once
	epoch uint64 // of the connection that it was last sent on; 0: send it
	got   Accepted
	err   error
}

// ID returns the id of the message.
func (p *Pending) ID() ID { return p.id }

// Done is closed when the outcome is known.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Wait returns the server's answer: the message is durable, or refused (*ServerError), or the client or the conversation ended
// (*SendError). If ctx ends first, it returns a *SendError and the message stays in the outbox.
func (p *Pending) Wait(ctx context.Context) (Accepted, error) {
	select {
	case <-p.done:
		return p.got, p.err
	case <-ctx.Done():
		return Accepted{}, &SendError{Pending: p, Err: ctx.Err(), MayArrive: true}
	}
}

// Post puts a message into the outbox and returns; messages leave it in the order of the calls. It waits while the outbox is full.
// Use it to have several messages of a conversation under way; the server takes them in order.
func (c *Conversation) Post(ctx context.Context, body any) (*Pending, error) {
	raw, err := encodeBody(body)
	if err != nil {
		return nil, err
	}
	select {
	case c.client.session.room <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.client.ended:
		return nil, c.client.Err()
	}
	p, err := c.client.session.post(c, raw)
	if err != nil {
		<-c.client.session.room
	}
	return p, err
}

// Send sends a message and returns when it is durable. Body is anything that msgpack can encode as strings, numbers, booleans, bytes,
// arrays and maps, or a Raw. Errors: ErrTooLarge; *ServerError if the server refused it for good; *SendError if ctx or the client ended first,
// which says whether the message may still arrive. While the connection is lost, Send waits.
func (c *Conversation) Send(ctx context.Context, body any) (Accepted, error) {
	p, err := c.Post(ctx, body)
	if err != nil {
		return Accepted{}, err
	}
	got, err := p.Wait(ctx)
	if e, ok := err.(*SendError); ok && e.MayArrive && ctx.Err() != nil {
		return c.client.session.withdraw(p, e)
	}
	return got, err
}

// sendOverhead is what a send frame has at most around its body: array and type 2 bytes, ref and base 9 each, two ids of 18, level 1.
const sendOverhead = 2 + 9 + 9 + 18 + 18 + 1

// post adds a message to the outbox, and sends it if the conversation may send.
func (s *session) post(c *Conversation, body Raw) (*Pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if most := s.out.maxBytes - sendOverhead; len(body) > most {
		return nil, fmt.Errorf("%w: the body has %d bytes, the server takes %d", ErrTooLarge, len(body), most)
	}
	p := &Pending{conv: c, id: NewID(), body: body, ref: s.ref(), done: make(chan struct{})}
	c.outbox = append(c.outbox, p)
	s.sends[p.ref] = p
	s.flush(c)
	return p, nil
}

// withdraw takes a message back if it was never sent. If the answer came in between, that is the result.
func (s *session) withdraw(p *Pending, e *SendError) (Accepted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-p.done:
		return p.got, p.err
	default:
	}
	if p.sent {
		return Accepted{}, e
	}
	e.MayArrive = false
	s.resolve(p, Accepted{}, e)
	return Accepted{}, e
}

// maxInFlight is how many messages of a conversation are on the wire without an answer; more wait in the outbox. The server remembers 128
// to 256 recent messages of a conversation: one whose base lies before those costs it a look into the store, one after the other. Two who
// write at once stay within 128.
const maxInFlight = 64

// window is how many messages may be on the wire. After a refusal the first goes alone, and with each ack one more may: a server that has
// too much to do is not sent everything again only to refuse it again.
func (c *Conversation) window() int {
	if c.narrow > 0 {
		return c.narrow
	}
	return maxInFlight
}

// widen counts an ack. Called with mu.
func (c *Conversation) widen() {
	if c.narrow > 0 {
		c.narrow = (c.narrow + 1) % maxInFlight
	}
}

// flush sends what was not yet sent on this connection, in order. Called with mu.
func (s *session) flush(c *Conversation) {
	if !s.up || !c.ready || s.holds(c) || c.err != nil {
		return
	}
	for i, p := range c.outbox {
		if p.seek || i == c.window() {
			return
		}
		if p.epoch == s.epoch {
			continue
		}
		if !p.sent {
			p.base, p.sent = c.track.head, true
		}
		p.epoch = s.epoch
		s.hot.send = frame.Send{Ref: p.ref, Conv: c.id, Level: 2, ID: p.id, Base: p.base, Body: p.body}
		s.send(&s.hot.send)
	}
}

// holds tells whether the outbox of a conversation must wait, and ends the hold if it need not any more. Called with mu.
func (s *session) holds(c *Conversation) bool {
	underWay := func(p *Pending) bool { return p.epoch == s.epoch }
	if c.held == rested && !slices.ContainsFunc(c.outbox, underWay) {
		c.held = free
	}
	return c.held != free
}

// accepted ends the wait for an answer. Called with mu.
func (s *session) accepted(p *Pending, seq uint64, at time.Time) {
	p.conv.widen()
	s.resolve(p, Accepted{ID: p.id, Seq: seq, Time: at}, nil)
}

// refused either repeats the message later, and holds back what would overtake it, or ends the wait. Called with mu.
func (s *session) refused(p *Pending, e *ServerError) {
	if e.Code == frame.ErrorBadSequence {
		s.search(p)
		return
	}
	if e.RetryAfter == 0 {
		s.resolve(p, Accepted{}, e)
		return
	}
	c := p.conv
	p.epoch, c.narrow = 0, 1
	if c.held == free {
		c.held = timed
		s.after(e.RetryAfter, func() {
			c.held = rested
			s.flush(c)
		})
	}
	s.flush(c) // this may be the answer that was awaited
}

func (s *session) resolve(p *Pending, got Accepted, err error) {
	c := p.conv
	if i := slices.Index(c.outbox, p); i >= 0 {
		c.outbox = slices.Delete(c.outbox, i, i+1)
	}
	delete(s.sends, p.ref)
	p.got, p.err = got, err
	close(p.done)
	<-s.room
	s.flush(c)
}

// abandon ends the wait for every message of a conversation. Called with mu.
func (s *session) abandon(c *Conversation, err error) {
	for len(c.outbox) > 0 {
		p := c.outbox[0]
		s.resolve(p, Accepted{}, &SendError{Pending: p, Err: err, MayArrive: p.sent})
	}
}
