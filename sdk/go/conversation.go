package switchyard

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Conversation is a conversation that this client takes part in or watches. All methods may be called from any goroutine; a
// message goes to one of the callers of Receive.
type Conversation struct {
	client *Client
	id     ID
	joined chan struct{} // closed when it is attached for the first time, or has failed
	gone   chan struct{} // closed when err is set

	// Guarded by the client's mutex.
	err     error // it has ended: detached, refused, or the client failed
	notice  Notice
	phase   phase
	known   bool   // track.last is meaningful: resume after it, rather than attach at the head
	joinRef uint64 // of the attach or resume that is under way
	ready   bool   // the outbox may be sent on this connection: what a resume replays was looked through
	held    hold   // whether the outbox waits because the server refused a message for now
	narrow  int    // after a refusal: how many messages may be on the wire; 0: maxInFlight
	replay  uint64 // how many messages of a resume are still to come
	stuckAt uint64 // 1 + the sequence after which a gap was found last; a resume that does not help is not repeated
	closed  uint64 // 1 + the sequence of the closing event; 0: open
	track   track
	inbox   inbox
	outbox  []*Pending
	marks   [2]mark // delivered, read
	dirty   bool    // marks are in session.dirty
}

// phase is where the delivery of a conversation stands on the current connection.
type phase int

const (
	joining phase = iota // asked to attach or resume, or no connection: messages are not taken
	live                 // messages are taken
	paused               // the inbox is full and the server was asked to stop: messages are not taken
)

// hold is the state of an outbox after a refusal for now. It goes on when the time that the server named is over, and when all that is
// under way is answered: something new that is sent before could overtake a message whose refusal is still on its way.
type hold int

const (
	free   hold = iota
	timed       // the time is not over
	rested      // it is
)

// mark is a cumulative mark and how much of it went out on this connection.
type mark struct{ want, sent uint64 }

const (
	delivered = 0
	read      = 1
)

// ID returns the conversation's id.
func (c *Conversation) ID() ID { return c.id }

// Info returns what the server said last about the conversation.
func (c *Conversation) Info() Notice {
	c.client.session.mu.Lock()
	defer c.client.session.mu.Unlock()
	return c.notice
}

// Last returns the sequence up to which the conversation was received without a gap: where Client.Resume would go on.
func (c *Conversation) Last() uint64 {
	c.client.session.mu.Lock()
	defer c.client.session.mu.Unlock()
	return c.track.last
}

// Receive returns the next message, and waits for it. Messages that this client sent are not among them, unless their acks were lost
// with an earlier client. A *GapError stands in the place of messages that cannot be replayed; call Receive again to go on. ErrConversationClosed
// comes after the last message; other errors are of ctx, or end the conversation on this client.
func (c *Conversation) Receive(ctx context.Context) (Message, error) {
	for {
		if it, ok, err := c.client.session.pull(c); err != nil {
			return Message{}, err
		} else if ok && it.gap != nil {
			return Message{}, it.gap
		} else if ok {
			return it.message, nil
		}
		select {
		case <-c.inbox.wake:
		case <-c.gone:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

// Messages ranges over what Receive returns. It ends after an error, except that it goes on after a *GapError, and when ctx ends or the
// conversation is closed it just ends.
func (c *Conversation) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			m, err := c.Receive(ctx)
			if err == ErrConversationClosed || ctx.Err() != nil && err == ctx.Err() {
				return
			}
			_, goesOn := err.(*GapError)
			if !yield(m, err) || err != nil && !goesOn {
				return
			}
		}
	}
}

// Delivered marks everything up to a sequence as delivered to this user. Receive does it by itself unless Options.ManualDelivered
// is set. Marks are cumulative, travel within Options.MarkDelay, and are repeated after a reconnect.
func (c *Conversation) Delivered(seq uint64) { c.client.session.mark(c, delivered, seq) }

// Read marks everything up to a sequence as read by this user.
func (c *Conversation) Read(seq uint64) { c.client.session.mark(c, read, seq) }

// Signal tells the others something transient, such as "typing"; name has at most 32 bytes. It is best effort: without a
// connection, or with a slow one, it is dropped.
func (c *Conversation) Signal(name string, body any) error {
	if len(name) == 0 || len(name) > frame.MaxSignal {
		return fmt.Errorf("switchyard: a signal's name has 1 to %d bytes, not %d", frame.MaxSignal, len(name))
	}
	raw, err := encodeBody(body)
	if err != nil {
		return err
	}
	return c.client.session.signal(&frame.Signal{Conv: c.id, Name: []byte(name), Body: raw})
}

// Page is a part of a conversation's history, in ascending order.
type Page struct {
	Messages []Message
	More     bool // older messages exist
	// PartialFrom is 0 if the page is what was asked for. Else older messages belong into it that the server cannot read now: it is complete from
	// this sequence on. Ask again later.
	PartialFrom uint64
}

// History returns the limit messages before a sequence; before 0 means the newest, limit 0 the server's default of 50; at most 200.
func (c *Conversation) History(ctx context.Context, before uint64, limit int) (Page, error) {
	if limit < 0 || limit > frame.MaxHistory {
		return Page{}, fmt.Errorf("switchyard: a page has 0 (default) to %d messages, not %d", frame.MaxHistory, limit)
	}
	return call(ctx, c.client, func(ref uint64) encoder {
		return &frame.History{Ref: ref, Conv: c.id, Before: before, Limit: uint64(limit)}
	}, readPage)
}

func readPage(_ *session, typ frame.Type, f []byte) (Page, error) {
	var page frame.Page
	if err := parseAnswer(typ, f, frame.TypePage, &page); err != nil {
		return Page{}, err
	}
	out := Page{Messages: make([]Message, 0, page.Count), More: page.More, PartialFrom: page.PartialFrom}
	for rest := page.Messages; len(rest) > 0; {
		var m frame.Message
		_, one, tail, err := frame.Next(rest)
		if err == nil {
			err = m.Parse(one)
		}
		if err != nil {
			return Page{}, err
		}
		out.Messages = append(out.Messages, newMessage(&m))
		rest = tail
	}
	return out, nil
}

// Close ends the conversation for everybody, and returns when that is durable.
func (c *Conversation) Close(ctx context.Context) error {
	_, err := call(ctx, c.client, func(ref uint64) encoder {
		return &frame.Close{Ref: ref, Conv: c.id}
	}, func(s *session, typ frame.Type, f []byte) (struct{}, error) {
		var ack frame.Ack
		err := parseAnswer(typ, f, frame.TypeAck, &ack)
		if err == nil {
			c.track.ack(ack.Seq)
			s.closedAt(c, ack.Seq)
		}
		return struct{}{}, err
	})
	return err
}

// Notes joins what the staff of the conversation's group writes about it among itself, from the first note on: for agents and supervisors of the group. It is a
// conversation like others that goes on when this one is closed, and is not closed itself. When this conversation goes to a group that the token does not
// name, it ends with a *ServerError (forbidden).
func (c *Conversation) Notes(ctx context.Context) (*Conversation, error) {
	return c.client.Resume(ctx, c.id.Notes(), 0)
}

// Detach ends the delivery to this client; the conversation goes on without it. Messages in its outbox end with ErrDetached.
func (c *Conversation) Detach() { c.client.session.detach(c, ErrDetached) }

func (s *session) pull(c *Conversation) (it item, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok = c.inbox.pop()
	if !ok {
		if err = c.endLocked(); err != nil {
			c.inbox.notify() // the next reader
		}
		return item{}, false, err
	}
	if it.gap == nil && s.marksDelivered() {
		s.markLocked(c, delivered, it.message.Seq)
	}
	if c.phase == paused && c.inbox.halfFree() {
		s.join(c)
	}
	return it, true, nil
}

// marksDelivered tells whether Receive marks what it returns. A supervisor watches, and has no marks.
func (s *session) marksDelivered() bool { return !s.opts.ManualDelivered && s.role != "supervisor" }

// endLocked returns why nothing more will come, or nil.
func (c *Conversation) endLocked() error {
	if c.err != nil {
		return c.err
	}
	if c.closed > 0 && c.phase == live && c.track.last >= c.closed-1 {
		return ErrConversationClosed
	}
	return nil
}

// join asks for the messages after the last one that was taken. Called with mu, with or without a connection.
func (s *session) join(c *Conversation) {
	c.phase, c.replay = joining, 0
	if !s.up {
		return
	}
	delete(s.joins, c.joinRef)
	c.joinRef = s.ref()
	s.joins[c.joinRef] = c
	if c.known {
		s.send(&frame.Resume{Ref: c.joinRef, Conv: c.id, After: c.track.last})
	} else {
		s.send(&frame.Attach{Ref: c.joinRef, Conv: c.id})
	}
}

// resumed takes the answer to join.
func (s *session) resumed(f *frame.Resumed) {
	c := s.joins[f.Ref]
	if c == nil {
		s.brokenOff(f)
		return
	}
	delete(s.joins, f.Ref)
	switch {
	case !c.known && c.track.last == 0:
		c.track.jump(f.Head)
	case !c.known || !f.Recovered:
		c.inbox.pushGap(GapError{After: c.track.last, Head: f.Head})
		c.track.jump(f.Head)
	default:
		c.track.head = max(c.track.head, f.Head)
		c.replay = f.Count
	}
	s.attached(c)
}

// brokenOff takes a second resumed: what is left of the replay is kept no more, and the conversation goes on from the head.
func (s *session) brokenOff(f *frame.Resumed) {
	c := s.convs[f.Conv]
	if f.Ref != 0 || f.Recovered || c == nil || c.phase != live || c.replay == 0 {
		return
	}
	c.inbox.pushGap(GapError{After: c.track.last, Head: f.Head})
	c.track.jump(f.Head)
	c.replay = 0
	s.attached(c)
}

// attached lets the conversation deliver, and send once the replay is over.
func (s *session) attached(c *Conversation) {
	c.phase, c.known = live, true
	if !isClosed(c.joined) {
		close(c.joined)
	}
	c.inbox.notify()
	s.replayed(c)
}

func (s *session) replayed(c *Conversation) {
	if c.replay == 0 && !c.ready {
		c.ready = true
		s.flush(c)
	}
}

// message takes a message of a live conversation.
func (s *session) message(f *frame.Message) {
	c := s.convs[f.Conv]
	if c == nil {
		return
	}
	c.track.head = max(c.track.head, f.Seq)
	if c.phase != live {
		return
	}
	s.findOwn(c, f)
	if c.inbox.full() && f.Seq > c.track.last {
		s.pause(c)
		return
	}
	if verdict := c.track.message(f.Seq, f.Prev); verdict == fresh || verdict == gap && s.heal(c, f) {
		s.deliver(c, f)
	}
	c.replay -= min(c.replay, 1)
	s.replayed(c)
}

// findOwn looks for an accepted message of the outbox in what a resume replays: its ack was lost with the connection.
func (s *session) findOwn(c *Conversation, f *frame.Message) {
	if f.ID.IsZero() || string(f.Sender) != s.user {
		return
	}
	for _, p := range c.outbox {
		if p.id == f.ID && p.sent {
			s.accepted(p, f.Seq, fromMS(f.TimeMS))
			c.track.ack(f.Seq)
			return
		}
	}
}

// heal answers a gap with a resume. If the last resume from here brought the same gap, it is told to the application instead, and
// the message is taken (true).
func (s *session) heal(c *Conversation, f *frame.Message) (take bool) {
	if c.stuckAt != c.track.last+1 {
		c.stuckAt = c.track.last + 1
		s.join(c)
		return false
	}
	c.inbox.pushGap(GapError{After: c.track.last, Head: f.Prev})
	c.track.jump(f.Prev)
	return c.track.message(f.Seq, f.Prev) == fresh
}

func (s *session) deliver(c *Conversation, f *frame.Message) {
	m := newMessage(f)
	switch m.EventName() {
	case "closed":
		s.closedAt(c, m.Seq)
	case "reopened":
		c.closed = 0
	}
	c.inbox.push(m)
	if c.replay == 0 && s.takes(&m) {
		s.lost(c)
	}
}

// pause is for a full inbox: it asks the server to stop. What is still on its way is forgotten, and comes with the resume that follows when
// the inbox is half empty.
func (s *session) pause(c *Conversation) {
	c.phase, c.replay = paused, 0
	s.send(&frame.Detach{Conv: c.id})
	s.replayed(c)
}

// closedAt notes the end of a conversation; Receive tells it after the message before.
func (s *session) closedAt(c *Conversation, seq uint64) {
	c.closed = seq + 1
	c.notice.State = Closed
	c.inbox.notify()
}

func (s *session) mark(c *Conversation, which int, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markLocked(c, which, seq)
}

func (s *session) markLocked(c *Conversation, which int, seq uint64) {
	m := &c.marks[which]
	if seq <= m.want || c.err != nil {
		return
	}
	m.want = seq
	s.markDirty(c)
}

func (s *session) markDirty(c *Conversation) {
	if c.dirty {
		return
	}
	c.dirty = true
	s.dirty = append(s.dirty, c)
	if s.marksDue.IsZero() {
		s.marksDue = time.Now().Add(s.opts.MarkDelay)
		s.wake()
	}
}

// flushMarks sends what changed since the last time. Called with mu.
func (s *session) flushMarks() {
	for i, c := range s.dirty {
		s.sendMark(c, delivered, frame.TypeDelivered)
		s.sendMark(c, read, frame.TypeRead)
		c.dirty = false
		s.dirty[i] = nil
	}
	s.dirty, s.marksDue = s.dirty[:0], time.Time{}
}

func (s *session) sendMark(c *Conversation, which int, typ frame.Type) {
	if m := &c.marks[which]; m.want > m.sent && c.err == nil {
		m.sent = m.want
		s.send(&frame.Mark{Type: typ, Conv: c.id, Seq: m.want})
	}
}

func (s *session) signal(f *frame.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up && !s.out.jammed() {
		s.send(f)
	}
	return s.err
}

func (s *session) detach(c *Conversation, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.err == nil && s.up {
		s.send(&frame.Detach{Conv: c.id})
	}
	s.endConversation(c, why)
}

// endConversation forgets a conversation. Called with mu.
func (s *session) endConversation(c *Conversation, err error) {
	if c.err != nil {
		return
	}
	c.err = err
	delete(s.joins, c.joinRef)
	if s.convs[c.id] == c {
		delete(s.convs, c.id)
	}
	s.abandon(c, err)
	if !isClosed(c.joined) {
		close(c.joined)
	}
	close(c.gone)
}

func isClosed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
