package switchyard

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// session is the state of the protocol, across connections. It does no I/O and starts no goroutine: frames come in through
// receive, what is to be sent gathers in out, and what is due at a time is done by due. The methods named in lower case without
// "Called with mu" take the mutex themselves where the public API calls them; those that frames reach are called by receive, with mu.
type session struct {
	// Fixed after construction.
	opts   Options
	random func(n int64) int64 // in [0, n)
	wake   func()              // tells the writing goroutine that there is something to send or a new time to wait for; never blocks
	room   chan struct{}       // one token for each message in an outbox

	mu sync.Mutex
	// Guarded by mu.
	err     error  // the client has ended
	up      bool   // a connection is authenticated
	epoch   uint64 // counts connections
	user    string
	role    string
	lastRef uint64
	out     outgoing
	timers  []timer // valid for this connection only

	convs   map[ID]*Conversation
	sends   map[uint64]*Pending      // by ref
	joins   map[uint64]*Conversation // by ref
	calls   map[uint64]*pendingCall  // by ref
	queues  map[string]*Queue        // by group
	notices notices
	relist  bool          // the next hello asks for the list of conversations
	status  *frame.Status // what the agent said last; repeated on each connection

	dirty    []*Conversation // marks to send
	marksDue time.Time       // zero: none

	helloRef uint64 // of a refresh that is under way, or 0
	expires  expiry
	clock    Clock
	beatSent time.Time
	drain    *drainOrder // the server asked for another connection

	hooks []func() // calls of handlers, to be made without mu

	hot struct { // what was parsed last; borrows from the batch, and expires with it
		message frame.Message
		ack     frame.Ack
		send    frame.Send
	}
}

type timer struct {
	at time.Time
	do func()
}

// drainOrder is a drain frame, with a time of our own within its window.
type drainOrder struct {
	at     time.Time
	target string
}

// expiry is when the token ends, by the local clock; it uses the server's times only as a difference.
type expiry struct {
	at      time.Time // zero: never, or unknown
	refresh time.Time // when to ask for the next one; zero: not again on this connection
}

func newSession(opts Options, random func(n int64) int64, wake func()) *session {
	return &session{
		opts: opts, random: random, wake: wake, lastRef: firstRef, room: make(chan struct{}, opts.MaxPending),
		out:   outgoing{maxBytes: frame.MaxMessage, maxFrames: frame.MaxFrames},
		convs: map[ID]*Conversation{}, sends: map[uint64]*Pending{}, joins: map[uint64]*Conversation{}, calls: map[uint64]*pendingCall{},
		queues:  map[string]*Queue{},
		notices: newNotices(),
	}
}

// ref numbers a request. Called with mu.
func (s *session) ref() uint64 {
	s.lastRef++
	return s.lastRef
}

// send queues a frame for the current connection. Called with mu, while up.
func (s *session) send(f encoder) {
	s.out.add(f)
	s.wake()
}

// after does something later on this connection. Called with mu.
func (s *session) after(d time.Duration, do func()) {
	s.timers = append(s.timers, timer{at: time.Now().Add(d), do: do})
	s.wake()
}

// connected starts a connection with its welcome: what was under way is asked for again, conversations are resumed, and their
// outboxes follow when the replay has shown what was accepted already.
func (s *session) connected(w *frame.Welcome, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.up, s.drain, s.helloRef, s.timers = true, nil, 0, nil
	s.out = outgoing{maxBytes: frame.MaxMessage, maxFrames: frame.MaxFrames}
	s.welcome(w, now)
	if s.status != nil {
		s.send(s.status)
	}
	for ref := range s.calls {
		s.repeat(ref)
	}
	for _, q := range s.queues {
		if q.asked == 0 {
			s.ask(q)
		}
	}
	clear(s.joins)
	for _, c := range s.convs {
		s.reconnect(c)
	}
	s.hook(func() { callIf(s.opts.Handlers.Connection, Connected, nil) })
}

func (s *session) reconnect(c *Conversation) {
	c.ready, c.held, c.replay, c.stuckAt = false, free, 0, 0
	c.marks[delivered].sent, c.marks[read].sent = 0, 0
	s.markDirty(c)
	if c.phase == paused || c.endLocked() != nil {
		c.ready = true
		s.flush(c)
		return
	}
	s.join(c)
}

// disconnected ends a connection.
func (s *session) disconnected(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = false
	s.hook(func() { callIf(s.opts.Handlers.Connection, Disconnected, err) })
	s.endOnce()
	for _, c := range s.convs {
		if c.phase == live && c.endLocked() == nil {
			c.phase = joining
		}
	}
}

// fail ends everything, for good.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up, s.err = false, err
	for _, c := range s.convs {
		s.endConversation(c, err)
	}
	for _, q := range s.queues {
		s.endQueue(q, err)
	}
	for ref := range s.calls {
		s.answer(ref, 0, nil, err)
	}
	s.notices.fail(err)
	s.hook(func() { callIf(s.opts.Handlers.Connection, Failed, err) })
}

// receive takes the frames of one WebSocket message. An error means that the server does not speak the protocol.
func (s *session) receive(batch []byte, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(batch) > 0 {
		typ, f, rest, err := frame.Next(batch)
		if err == nil {
			err = s.handle(typ, f, now)
		}
		if err != nil {
			return fmt.Errorf("switchyard: what the server sent cannot be read: %w", err)
		}
		batch = rest
	}
	return nil
}

// handle takes one frame. Types that this version does not know are ignored.
func (s *session) handle(typ frame.Type, f []byte, now time.Time) error {
	switch typ {
	case frame.TypeMessage:
		return s.handleMessage(f)
	case frame.TypeAck:
		return s.handleAck(f)
	case frame.TypeError:
		return parsed(f, &frame.Error{}, s.refusal)
	case frame.TypeResumed:
		return parsed(f, &frame.Resumed{}, s.resumed)
	case frame.TypeConversation:
		return parsed(f, &frame.Conversation{}, func(c *frame.Conversation) { s.conversation(c, f) })
	case frame.TypePage:
		return parsed(f, &frame.Page{}, func(p *frame.Page) { s.answer(p.Ref, typ, f, nil) })
	case frame.TypeQueue:
		return parsed(f, &frame.Queue{}, func(q *frame.Queue) { s.answer(q.Ref, typ, f, nil) })
	case frame.TypeQueueChange:
		return parsed(f, &frame.QueueChange{}, s.queueChanged)
	case frame.TypeWelcome:
		return parsed(f, &frame.Welcome{}, func(w *frame.Welcome) { s.refreshed(w, now) })
	case frame.TypeHeartbeat:
		return parsed(f, &frame.Heartbeat{}, func(h *frame.Heartbeat) { s.beat(h, now) })
	case frame.TypeDrain:
		return parsed(f, &frame.Drain{}, func(d *frame.Drain) { s.drained(d, now) })
	default:
		return s.handleNotice(typ, f)
	}
}

// handleMessage and handleAck are the frequent ones; they parse into a struct of the session, which saves an allocation each.
func (s *session) handleMessage(f []byte) error {
	if err := s.hot.message.Parse(f); err != nil {
		return err
	}
	s.message(&s.hot.message)
	return nil
}

func (s *session) handleAck(f []byte) error {
	if err := s.hot.ack.Parse(f); err != nil {
		return err
	}
	s.ack(&s.hot.ack, f)
	return nil
}

// handleNotice takes what goes to handlers only.
func (s *session) handleNotice(typ frame.Type, f []byte) error {
	h := s.opts.Handlers
	switch typ {
	case frame.TypeReceipt:
		return parsed(f, &frame.Receipt{}, func(r *frame.Receipt) {
			tell(s, h.Receipt, Receipt{Conversation: r.Conv, User: string(r.User), Delivered: r.Delivered, Read: r.Read})
		})
	case frame.TypeSignaled:
		return parsed(f, &frame.Signaled{}, func(g *frame.Signaled) {
			tell(s, h.Signal, Signal{Conversation: g.Conv, Sender: string(g.Sender), Name: string(g.Name), Body: append(Raw(nil), g.Body...)})
		})
	case frame.TypePresence:
		return parsed(f, &frame.Presence{}, func(p *frame.Presence) {
			tell(s, h.Presence, Presence{Conversation: p.Conv, User: string(p.User), Online: p.Online})
		})
	case frame.TypePosition:
		return parsed(f, &frame.Position{}, func(p *frame.Position) { tell(s, h.Position, newPosition(p)) })
	}
	return nil
}

// parsed reads a frame into its struct and hands that on.
func parsed[T interface{ Parse(f []byte) error }](f []byte, into T, take func(T)) error {
	if err := into.Parse(f); err != nil {
		return err
	}
	take(into)
	return nil
}

// tell calls a handler, if there is one, after the mutex is released.
func tell[T any](s *session, handler func(T), value T) {
	if handler != nil {
		s.hook(func() { handler(value) })
	}
}

func (s *session) hook(fn func()) { s.hooks = append(s.hooks, fn) }

func callIf[A, B any](fn func(A, B), a A, b B) {
	if fn != nil {
		fn(a, b)
	}
}

// runHooks calls the handlers that are due, without mu.
func (s *session) runHooks() {
	s.mu.Lock()
	hooks := s.hooks
	s.hooks = nil
	s.mu.Unlock()
	for _, fn := range hooks {
		fn()
	}
}

// ack is the answer to a message, or to a call.
func (s *session) ack(a *frame.Ack, f []byte) {
	p := s.sends[a.Ref]
	if p == nil {
		s.answer(a.Ref, frame.TypeAck, f, nil)
		return
	}
	p.conv.track.ack(a.Seq)
	s.accepted(p, a.Seq, fromMS(a.TimeMS))
}

// refusal hands an error frame to whatever asked.
func (s *session) refusal(f *frame.Error) {
	e := newServerError(f)
	if f.Ref == 0 && f.Code == frame.ErrorUnavailable {
		s.after(e.RetryAfter, s.mendReplays)
	} else if p := s.sends[f.Ref]; p != nil {
		s.refused(p, e)
	} else if c := s.joins[f.Ref]; c != nil {
		s.joinRefused(c, f.Ref, e)
	} else if c := s.calls[f.Ref]; c != nil && e.RetryAfter > 0 {
		s.after(e.RetryAfter, func() { s.repeat(f.Ref) })
	} else if f.Ref != 0 && f.Ref == s.helloRef {
		s.refreshFailed(e)
	} else if !s.answer(f.Ref, frame.TypeError, nil, e) {
		s.opts.Logger.Warn("switchyard: error from the server", "code", e.Code, "text", e.Text)
	}
}

// mendReplays resumes the conversations whose replay the server had to break off.
func (s *session) mendReplays() {
	for _, c := range s.convs {
		if c.phase == live && c.replay > 0 {
			s.join(c)
		}
	}
}

func (s *session) joinRefused(c *Conversation, ref uint64, e *ServerError) {
	delete(s.joins, ref)
	if e.Code == frame.ErrorBadSequence && c.known {
		c.known = false // attach at the head; resumed tells the gap
		s.join(c)
		return
	}
	if e.RetryAfter == 0 {
		s.endConversation(c, e)
		return
	}
	s.after(e.RetryAfter, func() {
		if c.err == nil && c.phase == joining && c.joinRef == ref {
			s.join(c)
		}
	})
}

// conversation is the answer to open, or a notice.
func (s *session) conversation(f *frame.Conversation, raw []byte) {
	n := newNotice(f)
	if c := s.convs[f.Conv]; c != nil {
		newest := c.phase == live && f.Head >= c.track.head // else it may be from before it came back to this agent
		c.notice = n
		c.track.head = max(c.track.head, f.Head)
		switch {
		case f.State == frame.StateClosed && c.closed == 0:
			s.closedAt(c, f.Head)
		case f.State != frame.StateClosed && s.role == "agent" && n.Agent != s.user && newest:
			s.lost(c)
		case f.State != frame.StateClosed && c.closed > 0:
			s.reopened(c, f.Head)
		}
		tell(s, s.opts.Handlers.Conversation, n)
	}
	if f.Ref == 0 {
		s.follow(f)
		s.notices.put(n)
		return
	}
	s.answer(f.Ref, frame.TypeConversation, raw, nil)
}

// follow asks for the notes of a conversation again when that has gone to another group: only the server knows whether they are still for this user.
func (s *session) follow(f *frame.Conversation) {
	c := s.convs[f.Conv.Notes()]
	if c == nil || f.Conv.AreNotes() || c.notice.Group == string(f.Group) {
		return
	}
	c.notice.Group = string(f.Group)
	if c.phase == live {
		s.join(c)
	}
}

func (s *session) drained(f *frame.Drain, now time.Time) {
	wait := milliseconds(f.DelayMS) + randomPart(milliseconds(f.WindowMS), s.random)
	s.drain = &drainOrder{at: now.Add(wait), target: string(f.Target)}
	s.hook(func() { callIf(s.opts.Handlers.Connection, Draining, nil) })
	s.wake()
}

// drainAt returns when to leave this connection; zero: stay.
func (s *session) drainAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drain == nil {
		return time.Time{}
	}
	return s.drain.at
}

// takeDrain returns the server's wish for the next connection, once.
func (s *session) takeDrain() *drainOrder {
	s.mu.Lock()
	defer s.mu.Unlock()
	drain := s.drain
	s.drain = nil
	return drain
}

// last returns what goes out before the connection is closed on purpose.
func (s *session) last(spare batches) batches {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushMarks()
	if s.out.empty() {
		return batches{buf: spare.buf[:0], ends: spare.ends[:0]}
	}
	return s.out.take(spare)
}

// due does what is due, and returns when there will be something again (zero: nothing is planned). Called by the writing
// goroutine; nothing is sent if out stays empty.
func (s *session) due(now time.Time, spare batches) (out batches, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runTimers(now)
	if !s.out.jammed() && (!s.out.empty() || !s.marksDue.IsZero() && !now.Before(s.marksDue)) {
		s.flushMarks()
	}
	next = s.marksDue
	for _, t := range s.timers {
		next = earlier(next, t.at)
	}
	if s.out.empty() {
		return batches{buf: spare.buf[:0], ends: spare.ends[:0]}, next
	}
	return s.out.take(spare), next
}

func (s *session) runTimers(now time.Time) {
	timers := s.timers
	s.timers = nil
	for _, t := range timers {
		if now.Before(t.at) {
			s.timers = append(s.timers, t)
		} else {
			t.do()
		}
	}
}

// earlier returns the earlier of two times, of which a zero one means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

var errAnswer = errors.New("switchyard: the server's answer has another type than expected")
