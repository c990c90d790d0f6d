package switchyard

import (
	"context"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Client is a connection to a server that is made again whenever it is lost. All methods may be called from any goroutine.
type Client struct {
	// Fixed after construction.
	opts    Options
	session *session
	wake    chan struct{} // to the writing goroutine; holds one token
	stop    context.CancelFunc
	ended   chan struct{} // closed when the client has ended and its goroutines too

	helpers sync.WaitGroup // token refreshes
	plan    plan           // owned by the running goroutine
	err     error          // valid once ended is closed
}

// Dial connects and authenticates. It makes one attempt; if that fails it returns the error (*HandshakeError, *ServerError, *CloseError, or of
// the network). From then on the client reconnects by itself, until Close or until an error that no retry heals. The context bounds Dial
// only. The address is like ws://127.0.0.1:8080/v1/ws, or wss:// with TLS.
func Dial(ctx context.Context, address string, opts Options) (*Client, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if err := checkURL(address); err != nil {
		return nil, err
	}
	c := &Client{
		opts: opts, wake: make(chan struct{}, 1), ended: make(chan struct{}),
		plan: plan{url: address, random: rand.Int64N, backoff: backoff{policy: defaultPolicy}},
	}
	c.session = newSession(opts, rand.Int64N, func() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	})
	l, err := c.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	var running context.Context
	running, c.stop = context.WithCancel(context.Background())
	c.session.connected(l.welcome, l.since)
	go c.run(running, l) // ends after stop, or with a permanent error; Close waits for it
	return c, nil
}

// Close ends the client: it sends the marks that wait, closes the connection, and ends every waiting call with ErrClosed. Messages in the
// outbox that were not accepted end with a *SendError; wait for Send to return before, if they matter.
func (c *Client) Close() error {
	c.stop()
	<-c.ended
	return nil
}

// Done is closed when the client has ended: after Close, or after an error that no retry heals.
func (c *Client) Done() <-chan struct{} { return c.ended }

// Err returns why the client has ended, or nil while it works.
func (c *Client) Err() error {
	select {
	case <-c.ended:
		return c.err
	default:
		return nil
	}
}

// User returns the user that the token names, and its role: visitor, agent or supervisor.
func (c *Client) User() (user, role string) {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	return c.session.user, c.session.role
}

// Clock returns the last round trip to the server and the offset of its clock.
func (c *Client) Clock() Clock {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	return c.session.clock
}

// OpenOptions are for Client.Open.
type OpenOptions struct {
	// Key is the application's own id of the conversation: opening the same key again gives the same conversation. Zero: a new one.
	Key ID `msgpack:"-"`

	// The others say what the conversation needs and what it is about; they count for a new one only. PROTOCOL.md has the limits.

	Priority   int               `msgpack:"priority,omitempty"`   // 0 to 9: higher ones go first, as if they had waited longer
	Language   string            `msgpack:"language,omitempty"`   // agents who speak it come first, or alone
	Required   []string          `msgpack:"required,omitempty"`   // skills that the agent must have
	Preferred  []string          `msgpack:"preferred,omitempty"`  // skills of which more are better
	Subject    string            `msgpack:"subject,omitempty"`    // for the agent
	Attributes map[string]string `msgpack:"attributes,omitempty"` // about the visitor, for the agent
}

// details encodes them; nil if there are none.
func (o OpenOptions) details() ([]byte, error) {
	details, err := encodeBody(o)
	if err != nil || len(details) == 1 { // an empty map
		return nil, err
	}
	return details, nil
}

// Open opens a conversation with a group of agents, as a visitor. A conversation that exists already is joined at its head; Info().Head
// and History tell what came before.
func (c *Client) Open(ctx context.Context, group string, opts OpenOptions) (*Conversation, error) {
	if opts.Key.IsZero() {
		opts.Key = NewID()
	}
	details, err := opts.details()
	if err != nil {
		return nil, err
	}
	return call(ctx, c, func(ref uint64) encoder {
		return &frame.Open{Ref: ref, Key: opts.Key, Group: []byte(group), Details: details}
	}, c.opened)
}

// opened registers the conversation before the next frame of the stream, which may be its first message.
func (c *Client) opened(s *session, typ frame.Type, f []byte) (*Conversation, error) {
	var answer frame.Conversation
	if err := parseAnswer(typ, f, frame.TypeConversation, &answer); err != nil {
		return nil, err
	}
	conv := s.convs[answer.Conv]
	if conv != nil {
		if conv.phase == paused { // the open has attached it again
			s.send(&frame.Detach{Conv: conv.id})
		}
		return conv, nil
	}
	conv = c.newConversation(answer.Conv)
	conv.notice = newNotice(&answer)
	conv.track.jump(answer.Head)
	if answer.State == frame.StateClosed {
		s.closedAt(conv, answer.Head)
	}
	s.attached(conv)
	return conv, nil
}

func (c *Client) newConversation(id ID) *Conversation {
	conv := &Conversation{
		client: c, id: id, inbox: newInbox(c.opts.InboxSize), joined: make(chan struct{}), gone: make(chan struct{}),
		notice: Notice{Conversation: id},
	}
	c.session.convs[id] = conv
	return conv
}

// Attach joins a conversation at its head: Receive gives what comes from now on.
func (c *Client) Attach(ctx context.Context, id ID) (*Conversation, error) {
	return c.join(ctx, id, 0, false)
}

// Resume joins a conversation after a sequence: Receive first gives the messages after it, or a *GapError. After 0 means from the beginning.
func (c *Client) Resume(ctx context.Context, id ID, after uint64) (*Conversation, error) {
	return c.join(ctx, id, after, true)
}

// join returns the conversation if this client has it already.
func (c *Client) join(ctx context.Context, id ID, after uint64, known bool) (*Conversation, error) {
	conv, err := c.session.startJoin(c, id, after, known)
	if err != nil {
		return nil, err
	}
	select {
	case <-conv.joined:
	case <-ctx.Done():
		conv.client.session.detach(conv, ctx.Err())
		return nil, ctx.Err()
	}
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if conv.err != nil {
		return nil, conv.err
	}
	return conv, nil
}

func (s *session) startJoin(c *Client, id ID, after uint64, known bool) (*Conversation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if conv := s.convs[id]; conv != nil {
		return conv, nil
	}
	conv := c.newConversation(id)
	conv.known = known
	conv.track.jump(after)
	s.join(conv)
	return conv, nil
}

// SetStatus says that this agent takes conversations (Online), or not. Capacity is how many at once; 0 keeps the configured number.
// The status is repeated on each new connection.
func (c *Client) SetStatus(ctx context.Context, status AgentStatus, capacity int) error {
	set := frame.Status{Status: status, Capacity: uint64(max(capacity, 0))}
	_, err := call(ctx, c, func(ref uint64) encoder {
		request := set
		request.Ref = ref
		return &request
	}, func(s *session, typ frame.Type, f []byte) (struct{}, error) {
		var ack frame.Ack
		err := parseAnswer(typ, f, frame.TypeAck, &ack)
		if err == nil {
			s.status = &set
		}
		return struct{}{}, err
	})
	return err
}

// AgentStatus is what an agent says of itself.
type AgentStatus = frame.AgentStatus

// The statuses of an agent.
const (
	Offline = frame.AgentOffline
	Online  = frame.AgentOnline
	Away    = frame.AgentAway
	Busy    = frame.AgentBusy
)

// Conversations ranges over the notices of this user's conversations: for an agent, those that are assigned. Several notices of
// one conversation that wait are merged into the last one. With Options.ListConversations, each new connection begins with all
// open ones. It ends when ctx or the client does.
func (c *Client) Conversations(ctx context.Context) iter.Seq[Notice] {
	return func(yield func(Notice) bool) {
		for {
			n, err := c.NextConversation(ctx)
			if err != nil || !yield(n) {
				return
			}
		}
	}
}

// NextConversation waits for the next notice; see Conversations.
func (c *Client) NextConversation(ctx context.Context) (Notice, error) {
	for {
		if n, ok, err := c.takeNotice(); ok || err != nil {
			return n, err
		}
		select {
		case <-c.session.notices.wake:
		case <-ctx.Done():
			return Notice{}, ctx.Err()
		}
	}
}

func (c *Client) takeNotice() (n Notice, ok bool, err error) {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok, relist, err := s.notices.take()
	if relist {
		s.relist = true
		s.expires.refresh = time.Now()
		s.wake()
	}
	return n, ok, err
}

// run keeps the client connected. It owns plan.
func (c *Client) run(ctx context.Context, l *link) {
	defer close(c.ended)
	for l != nil {
		err := c.serve(ctx, l)
		c.plan.ended(time.Since(l.since), l.policy)
		l, c.err = c.reconnect(ctx, err)
	}
	c.stop()
	c.session.fail(c.err)
	c.session.runHooks()
	c.opts.Logger.Info("switchyard: ended", "reason", c.err)
}

// serve reads one connection to its end, with a writing goroutine beside it, and returns why it ended.
func (c *Client) serve(ctx context.Context, l *link) error {
	c.session.runHooks()
	ctx, cancel := context.WithCancel(ctx)
	written := make(chan struct{})
	go func() { // ends with the link, or with ctx; waited for below
		defer close(written)
		l.write(ctx, c.session, c.wake, func() { c.startRefresh(ctx) })
	}()
	l.readEnded(l.read(c.session))
	<-written
	cancel()
	c.helpers.Wait()
	c.session.disconnected(l.cause)
	c.session.runHooks()
	return l.cause
}

// startRefresh asks for a token on a goroutine of its own, because that may block; serve cancels and waits for it.
func (c *Client) startRefresh(ctx context.Context) {
	c.helpers.Go(func() { c.refresh(ctx) })
}

// reconnect tries until there is a connection (l), or no use in trying, or ctx ends (err).
func (c *Client) reconnect(ctx context.Context, err error) (l *link, ended error) {
	drain := c.session.takeDrain()
	for {
		next, ok := c.plan.next(err, drain, time.Now())
		if !ok {
			return nil, err
		}
		drain = nil
		c.opts.Logger.Info("switchyard: connecting again", "after", err, "in", next.wait, "to", next.url)
		if !sleep(ctx, next.wait) {
			return nil, ErrClosed
		}
		if l, err = c.connect(ctx, next.url); err == nil {
			c.session.connected(l.welcome, l.since)
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, ErrClosed
		}
	}
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
