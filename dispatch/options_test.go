package dispatch_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/memstore"
	"github.com/switchyard-im/switchyard/frame"
)

// The tests below change one option of Config after another and look at what a client sees. They run in virtual time.

// sockets is a server's loops reduced to a lock: whoever holds it is the loop. It implements dispatch.Conns.
type sockets struct {
	mu    sync.Mutex
	conns map[frame.ConnID]*conn // guarded by mu
}

func (s *sockets) Deliver(_ int, p *frame.Parcel) {
	s.mu.Lock()
	for _, target := range p.Targets {
		if c := s.conns[target.Conn]; c != nil {
			c.Write(p.Buf[target.Off : target.Off+target.Len])
		}
	}
	s.mu.Unlock()
	p.Owner.Release(p)
}

func (s *sockets) Post(id frame.ConnID, f func(dispatch.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conns[id]; c != nil && c.closed == 0 {
		f(c)
	}
}

// conn is one connection; it implements dispatch.Conn. Guarded by the lock of sockets.
type conn struct {
	id     frame.ConnID
	data   any
	out    []byte
	closed uint16
	spent  int
}

func (c *conn) ID() frame.ConnID            { return c.id }
func (c *conn) Loop() int                   { return c.id.Loop() }
func (c *conn) Write(frames []byte)         { c.out = append(c.out, frames...) }
func (c *conn) AfterWriting(f func())       { f() }
func (c *conn) Spend(n int)                 { c.spent += n }
func (c *conn) Close(code uint16, _ string) { c.closed = code }
func (c *conn) Data() any                   { return c.data }
func (c *conn) SetData(v any)               { c.data = v }
func (c *conn) Now() int64                  { return time.Now().UnixNano() }

// center is a dispatch.Center between a store in memory and sockets.
type center struct {
	t     *testing.T
	store *memstore.Store
	nets  *sockets
	key   auth.Key
	reg   *prometheus.Registry
	*dispatch.Center
}

// withCenter runs f in virtual time with a center of this configuration.
func withCenter(t *testing.T, cfg dispatch.Config, f func(*center)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(hex.EncodeToString(bytes.Repeat([]byte{7}, 32))), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := auth.LoadKey("", file)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := &center{t: t, store: memstore.New(), nets: &sockets{conns: map[frame.ConnID]*conn{}}, key: key, reg: prometheus.NewRegistry()}
		defer c.store.Close()
		c.begin(cfg)
		f(c)
		c.end()
	})
}

// begin starts a center.
func (c *center) begin(cfg dispatch.Config) {
	verifier, err := auth.NewVerifier([]auth.Key{c.key}, time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.Loops = 1
	if c.Center, err = dispatch.New(cfg, c.store, c.nets, verifier, slog.New(slog.DiscardHandler), c.reg); err != nil {
		c.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *center) end() {
	if err := c.Close(context.Background()); err != nil {
		c.t.Error(err)
	}
}

// restart ends the center, and starts another one on the same store.
func (c *center) restart(cfg dispatch.Config) {
	c.end()
	c.reg = prometheus.NewRegistry()
	c.begin(cfg)
}

// connect opens a connection that has not said hello.
func (c *center) connect() *conn {
	c.nets.mu.Lock()
	defer c.nets.mu.Unlock()
	n := &conn{id: frame.MakeConnID(0, 0, len(c.nets.conns), 1)}
	c.nets.conns[n.id] = n
	c.Gate().Open(n, nil)
	return n
}

// login opens a connection and lets it in; the welcome frame is its first output.
func (c *center) login(user string, role frame.Role) *conn {
	return c.loginAs(auth.Identity{User: user, Role: role, Groups: []string{"g"}, Expires: time.Now().Add(time.Hour)})
}

func (c *center) loginAs(id auth.Identity) *conn {
	n := c.connect()
	token, err := c.key.Sign(id, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(n, (&frame.Hello{Ref: 1, Token: []byte(token)}).Append(nil))
	return n
}

// send hands frames over as one message and waits until everything that they cause has happened.
func (c *center) send(n *conn, frames []byte) {
	c.nets.mu.Lock()
	c.Gate().Message(n, frames)
	c.nets.mu.Unlock()
	synctest.Wait()
}

// open opens a conversation.
func (c *center) open(n *conn, key byte) {
	c.send(n, (&frame.Open{Ref: 7, Key: frame.ID{key}, Group: []byte("g")}).Append(nil))
}

// last returns the last frame of a type that the connection got, nil if there is none.
func (c *center) last(n *conn, want frame.Type) (f []byte) {
	c.t.Helper()
	c.nets.mu.Lock()
	defer c.nets.mu.Unlock()
	for rest := n.out; len(rest) > 0; {
		typ, one, after, err := frame.Next(rest)
		if err != nil {
			c.t.Fatal(err)
		}
		if typ == want {
			f = one
		}
		rest = after
	}
	return f
}

// refusal returns the last error frame, code 0 if there is none.
func (c *center) refusal(n *conn) (e frame.Error) {
	c.t.Helper()
	if f := c.last(n, frame.TypeError); f != nil {
		if err := e.Parse(f); err != nil {
			c.t.Fatal(err)
		}
	}
	return e
}

// closed returns the code with which the connection was closed, 0 if it is open.
func (c *center) closed(n *conn) uint16 {
	c.nets.mu.Lock()
	defer c.nets.mu.Unlock()
	return n.closed
}

// shown returns the conversation frame that came last.
func (c *center) shown(n *conn) (shown frame.Conversation) {
	c.t.Helper()
	if err := shown.Parse(c.last(n, frame.TypeConversation)); err != nil {
		c.t.Fatal(err)
	}
	return shown
}

func TestHelloTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{5 * time.Second, time.Minute} {
		withCenter(t, dispatch.Config{HelloTimeout: timeout}, func(c *center) {
			n := c.connect()
			time.Sleep(timeout - time.Second)
			if code := c.closed(n); code != 0 {
				t.Errorf("%v: closed with %d a second early", timeout, code)
			}
			time.Sleep(4 * time.Second)
			if code := c.closed(n); code != frame.CloseHelloTimeout {
				t.Errorf("%v: closed with %d", timeout, code)
			}
		})
	}
}

func TestWelcomeTellsTheConfiguration(t *testing.T) {
	cfg := dispatch.WelcomeConfig{Heartbeat: 11 * time.Second, MaxMessage: 5000, RetryMin: 2 * time.Second, RetryMax: 30 * time.Second, RetryJitter: 3 * time.Second}
	withCenter(t, dispatch.Config{Welcome: cfg}, func(c *center) {
		var w frame.Welcome
		if err := w.Parse(c.last(c.login("v", frame.RoleVisitor), frame.TypeWelcome)); err != nil {
			t.Fatal(err)
		}
		if w.HeartbeatMS != 11_000 || w.MaxMessage != 5000 || w.RetryMinMS != 2000 || w.RetryMaxMS != 30_000 || w.RetryJitterMS != 3000 {
			t.Errorf("%+v", w)
		}
	})
}

// TestEveryFrameOfABatchIsSpent counts a batch by its frames; the connection counts the message itself.
func TestEveryFrameOfABatchIsSpent(t *testing.T) {
	withCenter(t, dispatch.Config{}, func(c *center) {
		n := c.login("u", frame.RoleVisitor)
		for _, frames := range []int{1, 2, 100} {
			before := n.spent
			c.send(n, bytes.Repeat((&frame.Heartbeat{ClientMS: 1}).Append(nil), frames))
			if n.spent-before != frames-1 {
				t.Errorf("a batch of %d frames spent %d more", frames, n.spent-before)
			}
		}
	})
}

func TestAttachMax(t *testing.T) {
	for _, limit := range []int{1, 3} {
		withCenter(t, dispatch.Config{AttachMax: limit}, func(c *center) {
			n := c.login("v", frame.RoleVisitor)
			for i := range limit {
				c.open(n, byte(1+i))
			}
			if e := c.refusal(n); e.Code != 0 {
				t.Fatalf("limit %d: refused too early: %s", limit, e.Text)
			}
			c.open(n, 99)
			if e := c.refusal(n); e.Code != frame.ErrorTooLarge {
				t.Errorf("limit %d: error %d", limit, e.Code)
			}
		})
	}
}

func TestDefaultCapacity(t *testing.T) {
	for _, capacity := range []int{1, 2} {
		withCenter(t, dispatch.Config{DefaultCapacity: capacity}, func(c *center) {
			agent := c.login("a", frame.RoleAgent)
			for i := range capacity + 1 {
				c.open(c.login("v", frame.RoleVisitor), byte(1+i))
			}
			taken := bytes.Count(agent.out, []byte{byte(frame.TypeConversation), 0, 0xc4, 16})
			if taken != capacity || c.shown(agent).State != frame.StateAssigned {
				t.Errorf("an agent of capacity %d was given %d conversations", capacity, taken)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for _, wait := range []time.Duration{time.Second, 3 * time.Second} {
		withCenter(t, dispatch.Config{RetryAfter: wait}, func(c *center) {
			n := c.login("v", frame.RoleVisitor)
			c.store.Fail()
			c.open(n, 1)
			if e := c.refusal(n); e.Code != frame.ErrorUnavailable || e.RetryMS != uint64(wait.Milliseconds()) {
				t.Errorf("%v: %+v", wait, e)
			}
			c.store.Recover()
		})
	}
}

// TestUnitsAndRings: while the disk stands still, each unit holds one batch, the ring so many frames or bytes, and the next is refused.
func TestUnitsAndRings(t *testing.T) {
	for _, tc := range []struct{ units, frames, bytes, want int }{
		{1, 4, 4096, 5},
		{3, 4, 4096, 7},
		{3, 16, 4096, 19},
		{1, 64, 256, 1 + 256/21},
	} {
		cfg := dispatch.Config{Runners: 1, Units: tc.units, RingFrames: tc.frames, RingBytes: tc.bytes, Welcome: dispatch.WelcomeConfig{MaxMessage: 128}}
		withCenter(t, cfg, func(c *center) {
			n := c.login("v", frame.RoleVisitor)
			c.open(n, 1)
			detach := (&frame.Detach{Ref: 9, Conv: c.shown(n).Conv}).Append(nil)
			c.store.Hold()
			taken := 0
			for ; c.refusal(n).Code != frame.ErrorOverloaded; taken++ {
				c.send(n, detach)
			}
			if taken--; taken != tc.want {
				t.Errorf("%+v with frames of %d bytes: %d were taken", tc, len(detach), taken)
			}
			c.store.Resume()
		})
	}
}

func TestEvictAfter(t *testing.T) {
	for _, idle := range []time.Duration{5 * time.Second, time.Minute} {
		withCenter(t, dispatch.Config{EvictAfter: idle}, func(c *center) {
			n := c.login("v", frame.RoleVisitor)
			c.open(n, 1)
			c.send(n, (&frame.Detach{Ref: 9, Conv: c.shown(n).Conv}).Append(nil))
			time.Sleep(idle - 2*time.Second)
			if held := c.gauge("switchyard_conversations_in_memory"); held != 1 {
				t.Errorf("%v: %v conversations in memory before it", idle, held)
			}
			time.Sleep(5 * time.Second)
			if held := c.gauge("switchyard_conversations_in_memory"); held != 0 {
				t.Errorf("%v: %v conversations in memory after it", idle, held)
			}
		})
	}
}

func (c *center) gauge(name string) float64 {
	c.t.Helper()
	gauge, _ := c.metric(name)
	return gauge
}

func (c *center) counter(name string) float64 {
	c.t.Helper()
	_, counter := c.metric(name)
	return counter
}

func (c *center) metric(name string) (gauge, counter float64) {
	c.t.Helper()
	families, err := c.reg.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue(), m.GetCounter().GetValue()
		}
	}
	c.t.Fatalf("no metric %s", name)
	return 0, 0
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]dispatch.Config{
		"loops":       {},
		"runners":     {Loops: 1, Runners: 2000},
		"ring frames": {Loops: 1, RingFrames: 100},
		"ring bytes":  {Loops: 1, RingBytes: 64 << 10},
		"units":       {Loops: 1, Units: -1},
	} {
		if _, err := dispatch.New(cfg, nil, nil, nil, nil, prometheus.NewRegistry()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestHeartbeatsAllocateNothing: the gate's own frames are encoded in its loop's buffer.
func TestHeartbeatsAllocateNothing(t *testing.T) {
	withCenter(t, dispatch.Config{}, func(c *center) {
		n := c.login("v", frame.RoleVisitor)
		batch := (&frame.Heartbeat{ClientMS: 1}).Append(nil)
		c.nets.mu.Lock()
		defer c.nets.mu.Unlock()
		if allocs := testing.AllocsPerRun(1000, func() {
			n.out = n.out[:0]
			c.Gate().Message(n, batch)
		}); allocs != 0 {
			c.t.Errorf("a heartbeat allocates %g times", allocs)
		}
	})
}
