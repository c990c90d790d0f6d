package switchyard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// model is an obvious server for one conversation: one mutex, one list of messages, exact deduplication. It breaks connections at random, before or
// after it has handled a frame, and with answers under way.
type model struct {
	t      *testing.T
	fake   *fakeServer
	mu     sync.Mutex
	random *rand.Rand
	break_ float64 // how likely a frame breaks its connection
	log    []*frame.Message
	conns  map[*modelConn]bool
	broken int
	pauses int
}

// modelConn is a connection of the model; out is written by a goroutine of its own, so that the model never waits for a client.
type modelConn struct {
	peer     *peer
	user     string
	attached bool
	out      chan []byte
}

// serve runs the connections until the test ends.
func (m *model) serve(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case conn := <-m.fake.conns:
			wg.Go(func() { m.connection(ctx, conn) })
		case <-ctx.Done():
			return
		}
	}
}

func (m *model) connection(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	upgrader := ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == subprotocol }}
	if _, err := upgrader.Upgrade(conn); err != nil {
		return
	}
	c := &modelConn{peer: m.fake.peer(conn), out: make(chan []byte, 10000)}
	written := make(chan struct{})
	go func() {
		defer close(written)
		for batch := range c.out {
			if ws.WriteFrame(conn, ws.NewBinaryFrame(batch)) != nil {
				conn.Close()
			}
		}
	}()
	for {
		typ, f, err := c.peer.next()
		if err != nil || !m.step(c, typ, f) {
			break
		}
	}
	m.mu.Lock()
	delete(m.conns, c)
	close(c.out)
	m.mu.Unlock()
	if ctx.Err() == nil && m.coin(0.5) { // else answers that wait are lost
		<-written
	}
	conn.Close()
	<-written
}

func (m *model) coin(likely float64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.Float64() < likely
}

// step handles one frame; false breaks the connection.
func (m *model) step(c *modelConn, typ frame.Type, f []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	breaks := typ != frame.TypeHello && m.random.Float64() < m.break_
	before := m.random.Float64() < 0.5
	if breaks {
		m.broken++
	}
	if !breaks || !before {
		m.handle(c, typ, f)
	}
	return !breaks
}

func (m *model) handle(c *modelConn, typ frame.Type, f []byte) {
	switch typ {
	case frame.TypeHello:
		var hello frame.Hello
		hello.Parse(f)
		c.user = string(hello.Token)
		w := testWelcome()
		w.User, w.RetryMinMS, w.RetryMaxMS, w.RetryJitterMS = []byte(c.user), 1, 2, 1
		m.conns[c] = true
		c.send(w)
	case frame.TypeOpen:
		var open frame.Open
		open.Parse(f)
		c.attached = true
		c.send(&frame.Conversation{Ref: open.Ref, Conv: testConv, State: frame.StateAssigned, Head: m.head()})
	case frame.TypeResume:
		m.resume(c, f)
	case frame.TypeDetach:
		m.pauses++
		c.attached = false
	case frame.TypeSend:
		m.store(c, f)
	}
}

func (c *modelConn) send(f encoder) { c.out <- f.Append(nil) }

func (m *model) head() uint64 { return uint64(len(m.log)) }

func (m *model) resume(c *modelConn, f []byte) {
	var r frame.Resume
	r.Parse(f)
	c.attached = true
	missed := m.log[r.After:]
	c.send(&frame.Resumed{Ref: r.Ref, Conv: testConv, Recovered: true, After: r.After, Head: m.head(), Count: uint64(len(missed))})
	for _, msg := range missed {
		c.send(msg)
	}
}

func (m *model) store(c *modelConn, f []byte) {
	var s frame.Send
	s.Parse(f)
	if s.Base > m.head() {
		m.t.Errorf("base %d is beyond the head %d", s.Base, m.head())
	}
	for _, old := range m.log[s.Base:] { // only here may a copy lie
		if old.ID == s.ID {
			c.send(&frame.Ack{Ref: s.Ref, Seq: old.Seq, TimeMS: old.TimeMS})
			return
		}
	}
	seq := m.head() + 1
	msg := &frame.Message{Conv: testConv, Seq: seq, Prev: seq - 1, TimeMS: seq, Sender: []byte(c.user), ID: s.ID, Body: slices.Clone(s.Body)}
	m.log = append(m.log, msg)
	answer, delivery := encoder(&frame.Ack{Ref: s.Ref, Seq: seq, TimeMS: seq}), encoder(msg)
	c.send(answer)
	for other := range m.conns {
		if other != c && other.attached {
			other.send(delivery)
		}
	}
}

// Two users write to each other while their connections break all the time and their inboxes overflow: each message is stored once, in
// order, and each is received once, in order.
func TestNothingIsLostOrDoubledWhenConnectionsBreak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const count = 400
	fake := newFakeServer(t)
	m := &model{t: t, fake: fake, random: rand.New(rand.NewPCG(seed, 0)), break_: 0.03, conns: map[*modelConn]bool{}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	served := make(chan struct{})
	go func() { defer close(served); m.serve(ctx) }()

	var wg sync.WaitGroup
	users := []string{"ann", "bob"}
	convs := make([]*Conversation, len(users))
	for i, user := range users {
		c, conv := newChatter(ctx, t, fake, user)
		defer c.Close()
		convs[i] = conv
	}
	for i, conv := range convs {
		user := users[i]
		wg.Go(func() { postAll(ctx, t, conv, user, count) })
		wg.Go(func() { receiveAll(ctx, t, conv, users[1-i], count) })
	}
	wg.Wait()
	cancel()
	<-served
	m.checkLog(users, count)
	t.Logf("%d connections broken, %d pauses", m.broken, m.pauses)
}

// checkLog wants every message of every user once, in order.
func (m *model) checkLog(users []string, count int) {
	next := map[string]int{}
	for _, msg := range m.log {
		user := string(msg.Sender)
		if want := fmt.Sprint(user, " ", next[user]); Raw(msg.Body).Text() != want {
			m.t.Fatalf("sequence %d holds %q, want %q", msg.Seq, Raw(msg.Body).Text(), want)
		}
		next[user]++
	}
	for _, user := range users {
		if next[user] != count {
			m.t.Errorf("%d messages of %s are stored, want %d", next[user], user, count)
		}
	}
}

// newChatter connects a user and opens the conversation.
func newChatter(ctx context.Context, t *testing.T, fake *fakeServer, user string) (*Client, *Conversation) {
	c, err := dialUntil(ctx, fake.url, Options{
		Token: func(context.Context) (string, error) { return user, nil }, InboxSize: 8, MaxPending: 16, MarkDelay: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	conv, err := c.Open(ctx, "sales", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c, conv
}

// receiveAll wants count messages of a user, in order.
func receiveAll(ctx context.Context, t *testing.T, conv *Conversation, from string, count int) {
	for i := range count {
		msg, err := conv.Receive(ctx)
		if want := fmt.Sprint(from, " ", i); err != nil || msg.Body.Text() != want || msg.Sender != from {
			t.Errorf("received %q, %v, want %q", msg.Body.Text(), err, want)
			return
		}
	}
}

func dialUntil(ctx context.Context, url string, opts Options) (*Client, error) {
	for {
		c, err := Dial(ctx, url, opts)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
	}
}

func postAll(ctx context.Context, t *testing.T, conv *Conversation, user string, count int) {
	var all []*Pending
	for i := range count {
		p, err := conv.Post(ctx, fmt.Sprint(user, " ", i))
		if err != nil {
			t.Error(err)
			return
		}
		all = append(all, p)
	}
	last := uint64(0)
	for i, p := range all {
		got, err := p.Wait(ctx)
		if err != nil || got.Seq <= last {
			t.Errorf("message %d of %s: %+v, %v", i, user, got, err)
			return
		}
		last = got.Seq
	}
}
