package dispatch_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/memstore"
	"github.com/switchyard-im/switchyard/frame"
)

// TestCenterUnderFailures runs a center with several loops and runners between many clients, who come and go, and a store that fails and
// stalls at random. Nothing that was acked may be missing, double or out of its sender's order; the agents get an unbroken row of every
// conversation; and when all have left nothing is kept for them.
func TestCenterUnderFailures(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := newCrowd(t, seed)
	for i := range 2 * crowdAgents {
		c.join(&member{agent: true, user: string(rune('A' + i%crowdAgents))})
	}
	var visitors []*member
	for i := range crowdVisitors {
		m := &member{user: string(rune('a' + i)), key: frame.ID{byte(i + 1)}}
		visitors = append(visitors, m)
		c.join(m)
	}
	c.trouble()
	deadline := time.Now().Add(30 * time.Second)
	for !c.complete() {
		if time.Now().After(deadline) {
			c.report()
			break
		}
		c.tickAll()
		time.Sleep(time.Millisecond)
	}
	c.checkStore(visitors)
	c.leave()
}

const (
	crowdLoops    = 3
	crowdAgents   = 2
	crowdVisitors = 12
	crowdMessages = 100 // of each visitor
)

// crowd is the clients and the loops they are on. Its loops implement dispatch.Conns.
type crowd struct {
	t      *testing.T
	center *dispatch.Center
	store  *memstore.Store
	key    auth.Key
	reg    *prometheus.Registry
	loops  [crowdLoops]*eventLoop

	mu      sync.Mutex // guards what follows, and every member
	rnd     *rand.Rand
	slots   int
	members []*member
	calm    bool
}

// eventLoop is one goroutine that runs what it is given, in order.
type eventLoop struct {
	work  chan func()
	conns map[frame.ConnID]*peer // the loop's own
	done  chan struct{}
}

// peer is one connection of a member; it implements dispatch.Conn.
type peer struct {
	id     frame.ConnID
	data   any
	member *member
	closed atomic.Bool
}

func (p *peer) ID() frame.ConnID      { return p.id }
func (p *peer) Loop() int             { return p.id.Loop() }
func (p *peer) Write(b []byte)        { p.member.receive(p, b) }
func (p *peer) AfterWriting(f func()) { f() }
func (p *peer) Spend(int)             {}
func (p *peer) Close(uint16, string)  { p.closed.Store(true) }
func (p *peer) Data() any             { return p.data }
func (p *peer) SetData(v any)         { p.data = v }
func (p *peer) Now() int64            { return time.Now().UnixNano() }

// member is a user's device, over its connections. Guarded by crowd.mu.
type member struct {
	crowd *crowd
	agent bool
	user  string
	key   frame.ID
	conn  *peer

	welcome bool
	convs   map[frame.ID]*view
	next    uint64 // the number of its next message
	acked   map[uint64]uint64
	bases   map[uint64]uint64
	sendAt  time.Time // when what is not acked is sent again; zero: nothing is due
}

// view is what a device has of a conversation.
type view struct {
	last  uint64
	live  bool
	again time.Time // when it resumes; zero: it has
}

func newCrowd(t *testing.T, seed uint64) *crowd {
	key, _ := auth.GenerateKey("k")
	verifier, err := auth.NewVerifier([]auth.Key{key}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, store: memstore.New(), key: key, reg: prometheus.NewRegistry(), rnd: rand.New(rand.NewPCG(seed, 0))}
	for i := range c.loops {
		l := &eventLoop{work: make(chan func(), 1<<16), conns: map[frame.ConnID]*peer{}, done: make(chan struct{})}
		c.loops[i] = l
		go func() { // until work is closed by leave, which waits
			defer close(l.done)
			for f := range l.work {
				f()
			}
		}()
	}
	cfg := dispatch.Config{Loops: crowdLoops, Runners: 3, EvictAfter: 50 * time.Millisecond, DefaultCapacity: 100}
	if c.center, err = dispatch.New(cfg, c.store, c, verifier, slog.New(slog.DiscardHandler), c.reg); err != nil {
		t.Fatal(err)
	}
	if err := c.center.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *crowd) Deliver(loop int, p *frame.Parcel) {
	l := c.loops[loop]
	l.work <- func() {
		for _, target := range p.Targets {
			if n := l.conns[target.Conn]; n != nil {
				n.Write(p.Buf[target.Off : target.Off+target.Len])
			}
		}
		p.Owner.Release(p)
	}
}

func (c *crowd) Post(id frame.ConnID, f func(dispatch.Conn)) {
	l := c.loops[id.Loop()]
	l.work <- func() {
		if n := l.conns[id]; n != nil {
			f(n)
		}
	}
}

// join connects a device for the first time.
func (c *crowd) join(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.crowd, m.convs, m.acked, m.bases, m.next = c, map[frame.ID]*view{}, map[uint64]uint64{}, map[uint64]uint64{}, 1
	c.members = append(c.members, m)
	c.connectLocked(m)
}

// connectLocked gives a device a connection on some loop.
func (c *crowd) connectLocked(m *member) {
	c.slots++
	loop := c.rnd.IntN(crowdLoops)
	n := &peer{id: frame.MakeConnID(0, loop, c.slots, 1), member: m}
	m.conn, m.welcome, m.sendAt = n, false, time.Time{}
	for _, v := range m.convs {
		v.live, v.again = false, time.Time{}
	}
	role := frame.RoleVisitor
	if m.agent {
		role = frame.RoleAgent
	}
	token, err := c.key.Sign(auth.Identity{User: m.user, Role: role, Groups: []string{"g"}, Expires: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	l := c.loops[loop]
	l.work <- func() {
		l.conns[n.id] = n
		c.center.Gate().Open(n, nil)
		c.center.Gate().Message(n, (&frame.Hello{Ref: helloRef, Token: []byte(token), Flags: frame.HelloList}).Append(nil))
	}
}

// hangUp ends a connection.
func (c *crowd) hangUp(n *peer) {
	l := c.loops[n.id.Loop()]
	l.work <- func() {
		delete(l.conns, n.id)
		c.center.Gate().Closed(n)
	}
}

// say lets a connection's loop read frames.
func (c *crowd) say(n *peer, frames []byte) {
	l := c.loops[n.id.Loop()]
	l.work <- func() {
		if l.conns[n.id] != nil && !n.closed.Load() {
			c.center.Gate().Message(n, frames)
		}
	}
}

// receive is what a device does with frames; on its loop.
func (m *member) receive(n *peer, b []byte) {
	m.crowd.mu.Lock()
	defer m.crowd.mu.Unlock()
	for len(b) > 0 && m.conn == n {
		typ, f, rest, err := frame.Next(b)
		if err != nil {
			m.crowd.t.Error(err)
			return
		}
		m.frame(typ, f)
		b = rest
	}
}

func (m *member) frame(typ frame.Type, f []byte) {
	soon := time.Now().Add(3 * time.Millisecond)
	switch typ {
	case frame.TypeWelcome:
		m.welcome = true
		if !m.agent {
			m.open()
		}
	case frame.TypeConversation:
		var conv frame.Conversation
		m.must(conv.Parse(f))
		v := m.convs[conv.Conv]
		if v == nil {
			v = &view{}
			m.convs[conv.Conv] = v
		}
		if !v.live && v.again.IsZero() && (m.agent && string(conv.Agent) == m.user || conv.Ref != 0) {
			v.again = soon
		}
	case frame.TypeResumed:
		var r frame.Resumed
		m.must(r.Parse(f))
		if v := m.convs[r.Conv]; !r.Recovered || r.After > v.last {
			m.crowd.t.Errorf("%s at %d got %+v", m.user, v.last, r)
		} else {
			v.live, m.sendAt = true, soon
		}
	case frame.TypeMessage:
		var msg frame.Message
		m.must(msg.Parse(f))
		m.message(&msg)
	case frame.TypeAck:
		var a frame.Ack
		m.must(a.Parse(f))
		if before := m.acked[a.Ref]; before != 0 && before != a.Seq {
			m.crowd.t.Errorf("message %d of %s was acked as %d and %d", a.Ref, m.user, before, a.Seq)
		}
		m.acked[a.Ref] = a.Seq
	case frame.TypeError:
		var e frame.Error
		m.must(e.Parse(f))
		m.refused(&e, soon)
	}
}

func (m *member) must(err error) {
	if err != nil {
		m.crowd.t.Error(err)
	}
}

// Refs: messages have their number.
const (
	helloRef = 1<<40 + iota
	openRef
	resumeRef
)

func (m *member) open() {
	m.crowd.say(m.conn, (&frame.Open{Ref: openRef, Key: m.key, Group: []byte("g")}).Append(nil))
}

// message checks that agents have no gap. A visitor does not get its own messages, so it has the head from a resume only.
func (m *member) message(msg *frame.Message) {
	v := m.convs[msg.Conv]
	switch {
	case v == nil || !v.live || msg.Seq <= v.last:
	case m.agent && msg.Prev != v.last:
		m.crowd.t.Errorf("%s at %d got message %d behind %d", m.user, v.last, msg.Seq, msg.Prev)
	default:
		v.last = msg.Seq
	}
}

func (m *member) refused(e *frame.Error, soon time.Time) {
	if e.Code != frame.ErrorUnavailable && e.Code != frame.ErrorOverloaded {
		m.crowd.t.Errorf("%s: %d %s", m.user, e.Code, e.Text)
		return
	}
	switch e.Ref {
	case helloRef: // the pool was full
		m.crowd.t.Errorf("%s: %s", m.user, e.Text)
	case openRef: // it opens again, or goes on with what it opened on an earlier connection
		m.sendAt = soon
		for _, v := range m.convs {
			v.again = soon
		}
	case 0, resumeRef:
		for _, v := range m.convs {
			v.live, v.again = false, soon
		}
		if e.Ref == 0 && !m.agent && len(m.convs) == 0 {
			m.sendAt = soon
		}
		if e.Ref == 0 && m.agent { // perhaps its list could not be read
			m.crowd.hangUp(m.conn)
			m.crowd.connectLocked(m)
		}
	default:
		m.sendAt = soon
	}
}

// tickAll lets every device do what is due.
func (c *crowd) tickAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, m := range c.members {
		if m.welcome {
			m.tickLocked(now)
		}
	}
}

func (m *member) tickLocked(now time.Time) {
	c := m.crowd
	if !c.calm && c.rnd.IntN(150) == 0 {
		c.hangUp(m.conn)
		c.connectLocked(m)
		return
	}
	for conv, v := range m.convs {
		if !v.again.IsZero() && now.After(v.again) {
			v.again = time.Time{}
			c.say(m.conn, (&frame.Resume{Ref: resumeRef, Conv: conv, After: v.last}).Append(nil))
		}
	}
	if m.agent {
		return
	}
	if len(m.convs) == 0 {
		if !m.sendAt.IsZero() && now.After(m.sendAt) {
			m.sendAt = time.Time{}
			m.open()
		}
		return
	}
	for conv, v := range m.convs {
		if v.live {
			m.sendLocked(conv, v, now)
		}
	}
}

// sendLocked sends again what was refused, from the first that was not acked on, and otherwise something new, a few at a time.
func (m *member) sendLocked(conv frame.ID, v *view, now time.Time) {
	again := !m.sendAt.IsZero()
	if again && now.Before(m.sendAt) {
		return
	}
	m.sendAt = time.Time{}
	var frames []byte
	if again {
		for n := uint64(1); n < m.next; n++ {
			if m.acked[n] == 0 {
				frames = m.appendSend(frames, conv, n)
			}
		}
	}
	for m.next <= crowdMessages && int(m.next)-len(m.acked) < 6 {
		m.bases[m.next] = v.last
		frames = m.appendSend(frames, conv, m.next)
		m.next++
	}
	if len(frames) > 0 {
		m.crowd.say(m.conn, frames)
	}
}

func (m *member) appendSend(dst []byte, conv frame.ID, n uint64) []byte {
	s := frame.Send{Ref: n, Conv: conv, Level: 2, ID: messageID(n), Base: m.bases[n], Body: []byte{0xc0}}
	return s.Append(dst)
}

func messageID(n uint64) (id frame.ID) {
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// trouble makes the store fail and stall for a while, and then lets it be.
func (c *crowd) trouble() {
	c.mu.Lock()
	rnd := rand.New(rand.NewPCG(c.rnd.Uint64(), 1))
	c.mu.Unlock()
	stop := time.Now().Add(2 * time.Second)
	done := make(chan struct{})
	go func() { // until stop; the cleanup waits
		defer close(done)
		pause := func(ms int) { time.Sleep(time.Duration(rnd.IntN(ms*1000)) * time.Microsecond) }
		for time.Now().Before(stop) {
			pause(30)
			c.store.Hold()
			pause(10)
			if rnd.IntN(2) == 0 {
				c.store.Fail()
			}
			c.store.Resume()
			pause(20)
			c.store.Recover()
		}
		c.mu.Lock()
		c.calm = true
		c.mu.Unlock()
	}()
	c.t.Cleanup(func() { <-done })
}

// complete tells whether every message was acked and every agent's device has them all.
func (c *crowd) complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	heads := map[frame.ID]uint64{}
	for _, m := range c.members {
		for conv := range m.convs {
			if !m.agent && len(m.acked) == crowdMessages {
				heads[conv] = crowdMessages + 2 // opened and assigned
			}
		}
	}
	served := map[frame.ID]int{}
	for _, m := range c.members {
		for conv, v := range m.convs {
			if m.agent && v.live && v.last == heads[conv] {
				served[conv]++
			}
		}
	}
	if !c.calm || len(heads) < crowdVisitors {
		return false
	}
	for conv := range heads {
		if served[conv] != 2 {
			return false
		}
	}
	return true
}

// report tells what is missing.
func (c *crowd) report() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		c.t.Errorf("%s: welcome %t, %d acked of %d, %d conversations", m.user, m.welcome, len(m.acked), m.next-1, len(m.convs))
		for conv, v := range m.convs {
			c.t.Errorf("  %s at %d, live %t", conv, v.last, v.live)
		}
	}
}

// checkStore compares what was acked with what is kept.
func (c *crowd) checkStore(visitors []*member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range visitors {
		for conv := range m.convs {
			frames, _, _, err := c.store.ReadAfter(nil, conv, 0, 1<<40, 1<<20, 1<<30)
			m.must(err)
			next := uint64(1)
			for len(frames) > 0 {
				_, f, rest, err := frame.Next(frames)
				m.must(err)
				var msg frame.Message
				m.must(msg.Parse(f))
				frames = rest
				if msg.Kind != frame.KindChat {
					continue
				}
				if msg.ID != messageID(next) || m.acked[next] != msg.Seq {
					c.t.Errorf("%s: %d is message %s, want number %d, acked as %d", m.user, msg.Seq, msg.ID, next, m.acked[next])
				}
				next++
			}
			if next != m.next {
				c.t.Errorf("%s: %d messages are kept of %d", m.user, next-1, m.next-1)
			}
		}
	}
}

// leave ends all connections, waits until nothing is kept in memory for them, and ends the center.
func (c *crowd) leave() {
	c.mu.Lock()
	for _, m := range c.members {
		c.hangUp(m.conn)
	}
	c.mu.Unlock()
	deadline := time.Now().Add(10 * time.Second)
	for c.gauge("switchyard_users_online")+c.gauge("switchyard_conversations_in_memory") > 0 {
		if time.Now().After(deadline) {
			c.t.Errorf("%v users and %v conversations stay", c.gauge("switchyard_users_online"), c.gauge("switchyard_conversations_in_memory"))
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.center.Close(context.Background()); err != nil {
		c.t.Error(err)
	}
	c.store.Close()
	for _, l := range c.loops {
		close(l.work)
		<-l.done
	}
}

func (c *crowd) gauge(name string) float64 {
	families, err := c.reg.Gather()
	if err != nil {
		c.t.Error(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}
