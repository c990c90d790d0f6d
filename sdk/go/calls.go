package switchyard

import (
	"context"

	"github.com/switchyard-im/switchyard/frame"
)

// pendingCall is a request that waits for its answer. Requests may be repeated, so a lost connection repeats them, but those that say once. They need no
// bound: each has a caller who waits, or is the only one of its queue.
type pendingCall struct {
	request func(ref uint64) encoder
	answer  func(s *session, typ frame.Type, f []byte, err error) // called with mu, once
	once    bool                                                  // ends with ErrUnanswered when the connection does on which it was sent
	sent    bool                                                  // with once: on this connection
}

// call sends a request and waits for what read makes of the answer. read is called with the session's mutex, in the order of the stream.
func call[T any](ctx context.Context, c *Client, request func(ref uint64) encoder, read func(*session, frame.Type, []byte) (T, error)) (T, error) {
	return callWith(ctx, c, &pendingCall{request: request}, read)
}

// callOnce is call for a request that may be carried out once.
func callOnce[T any](ctx context.Context, c *Client, request func(ref uint64) encoder, read func(*session, frame.Type, []byte) (T, error)) (T, error) {
	return callWith(ctx, c, &pendingCall{request: request, once: true}, read)
}

func callWith[T any](ctx context.Context, c *Client, p *pendingCall, read func(*session, frame.Type, []byte) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	p.answer = func(s *session, typ frame.Type, f []byte, err error) {
		var r result
		if r.err = err; err == nil {
			r.value, r.err = read(s, typ, f)
		}
		done <- r
	}
	ref, err := c.session.begin(p)
	if err != nil {
		var zero T
		return zero, err
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		c.session.forget(ref)
		var zero T
		return zero, ctx.Err()
	}
}

func (s *session) begin(c *pendingCall) (ref uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	ref = s.ref()
	s.calls[ref] = c
	s.repeat(ref)
	return ref, nil
}

// repeat sends a request, unless it is over or there is no connection. Called with mu.
func (s *session) repeat(ref uint64) {
	if c := s.calls[ref]; c != nil && s.up {
		c.sent = true
		s.send(c.request(ref))
	}
}

// endOnce ends the requests that may not be repeated, with the connection on which they were sent. Called with mu.
func (s *session) endOnce() {
	for ref, c := range s.calls {
		if c.once && c.sent {
			s.answer(ref, 0, nil, ErrUnanswered)
		}
	}
}

func (s *session) forget(ref uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, ref)
}

// answer ends a call; it returns false if nobody waits for this ref. Called with mu.
func (s *session) answer(ref uint64, typ frame.Type, f []byte, err error) bool {
	c := s.calls[ref]
	if c == nil {
		return false
	}
	delete(s.calls, ref)
	c.answer(s, typ, f, err)
	return true
}

// parseAnswer reads an answer that must have a certain type.
func parseAnswer(typ frame.Type, f []byte, want frame.Type, into interface{ Parse(f []byte) error }) error {
	if typ != want {
		return errAnswer
	}
	return into.Parse(f)
}
