package dispatch_test

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/frame"
)

// TestTwiceTheLoad offers a store that takes 1,000 messages/s twice as many, in virtual time, from clients that do as the protocol says: wait as
// long as a refusal says, and then send all again in order. What is accepted stays above 80 % of what the store can take, is answered within
// a second, and is kept once and in order; other things are given up before the first message, in their order.
func TestTwiceTheLoad(t *testing.T) {
	withCenter(t, dispatch.Config{Runners: 1}, func(c *center) {
		agent := c.login("a", frame.RoleAgent)
		var writers []*writer
		for i := range 50 {
			w := &writer{center: c, conn: c.login(string(rune('A'+i)), frame.RoleVisitor), random: rand.New(rand.NewPCG(1, uint64(i)))}
			c.open(w.conn, byte(i+1))
			w.conv = c.shown(w.conn).Conv
			writers = append(writers, w)
		}
		c.store.Slow(time.Millisecond)
		const calm, total = 3 * time.Second, 13 * time.Second
		look := observer{center: c}
		begin := time.Now()
		for now := time.Duration(0); now < total; now += time.Millisecond {
			every := 25 * time.Millisecond // 50 writers: 2,000/s
			if now < calm {
				every *= 4
			}
			for _, w := range writers {
				w.turn(now, every)
			}
			if now%(10*time.Millisecond) == 0 {
				probe(c, agent, writers[0], now)
				look.look(now)
			}
			time.Sleep(time.Until(begin.Add(now + time.Millisecond)))
		}
		look.check(calm)
		checkGoodput(t, writers, calm, total)
		c.store.Slow(0)
		time.Sleep(3 * time.Second)
		checkKept(c, writers)
		time.Sleep(5 * time.Second)
		if level := c.gauge("switchyard_pressure_level"); level != 0 || !c.Gate().Admits() {
			t.Errorf("level %v long after the load", level)
		}
	})
}

// probe does what may be given up.
func probe(c *center, agent *conn, w *writer, now time.Duration) {
	frames := (&frame.Signal{Conv: w.conv, Name: []byte("typing"), Body: []byte{0xc3}}).Append(nil)
	frames = (&frame.History{Ref: historyRef, Conv: w.conv}).Append(frames)
	watch := (&frame.Attach{Conv: w.conv}).Append(nil)
	if now%(20*time.Millisecond) == 0 {
		watch = (&frame.Detach{Conv: w.conv}).Append(nil)
	}
	c.nets.mu.Lock()
	c.Gate().Message(w.conn, frames)
	c.Gate().Message(agent, watch)
	c.nets.mu.Unlock()
	c.Gate().Admits()
}

// observer watches what is given up.
type observer struct {
	center  *center
	level   float64
	refused float64
	reached []time.Duration // by level: when, for the first time
}

func (o *observer) look(now time.Duration) {
	before, level := o.level, o.center.gauge("switchyard_pressure_level")
	o.level = level
	for len(o.reached) <= int(level) {
		o.reached = append(o.reached, now)
	}
	refused := o.center.value("switchyard_shed_total", "messages")
	if refused > o.refused && level < 4 && before < 4 {
		o.center.t.Errorf("at %v messages were refused at level %v", now, level)
	}
	o.refused = refused
}

func (o *observer) check(calm time.Duration) {
	t := o.center.t
	t.Logf("levels were reached at %v", o.reached)
	if len(o.reached) != 5 || o.reached[1] < calm {
		t.Errorf("levels were reached at %v", o.reached)
	}
	for _, class := range []string{"signals", "presence", "history", "connections", "messages"} {
		if o.center.value("switchyard_shed_total", class) == 0 {
			t.Errorf("no %s were given up", class)
		}
	}
}

func checkGoodput(t *testing.T, writers []*writer, calm, total time.Duration) {
	t.Helper()
	var waits []time.Duration
	refusals := 0
	for _, w := range writers {
		refusals += w.refusals
		for _, a := range w.answers {
			if a.at > calm {
				waits = append(waits, a.wait)
			}
		}
	}
	slices.Sort(waits)
	rate, p99 := float64(len(waits))/(total-calm).Seconds(), waits[len(waits)*99/100]
	t.Logf("%.0f accepted/s, p99 %v, %d refusals", rate, p99, refusals)
	if rate < 800 {
		t.Errorf("%.0f messages/s were accepted of 1,000", rate)
	}
	if p99 >= time.Second {
		t.Errorf("what was accepted waited %v", p99)
	}
}

// checkKept compares the store with the acks.
func checkKept(c *center, writers []*writer) {
	c.t.Helper()
	for _, w := range writers {
		frames, _, _, err := c.store.ReadAfter(nil, w.conv, 0, 1<<40, 1<<20, 1<<30)
		if err != nil {
			c.t.Fatal(err)
		}
		kept := []uint64{}
		for len(frames) > 0 {
			var m frame.Message
			_, f, rest, err := frame.Next(frames)
			if err == nil {
				err = m.Parse(f)
			}
			if err != nil {
				c.t.Fatal(err)
			}
			if frames = rest; m.Kind == frame.KindChat {
				kept = append(kept, uint64(m.ID[0])<<16|uint64(m.ID[1])<<8|uint64(m.ID[2]))
			}
		}
		for i, n := range kept {
			if n != uint64(i+1) {
				c.t.Fatalf("message %d is kept in place %d", n, i+1)
			}
		}
		if w.turn(time.Hour, time.Hour); len(kept) < len(w.answers) {
			c.t.Errorf("%d messages are kept, %d were acked", len(kept), len(w.answers))
		}
	}
}

const historyRef = 1 << 40

// writer is a visitor who writes at a steady rate, however long the answers take, with up to 64 messages under way.
type writer struct {
	center *center
	conn   *conn
	conv   frame.ID
	random *rand.Rand

	due      time.Duration // of the next message; zero: not begun
	next     uint64        // messages that became due
	acked    uint64        // all of them below and this one
	sent     uint64        // the last one that is under way
	held     time.Duration // nothing is sent before
	head     uint64        // the sequence of the last ack
	handed   map[uint64]time.Duration
	bases    map[uint64]uint64
	answers  []answer
	refusals int
}

type answer struct{ at, wait time.Duration }

// turn reads the answers and sends what is due.
func (w *writer) turn(now, every time.Duration) {
	nets := w.center.nets
	nets.mu.Lock()
	defer nets.mu.Unlock()
	w.read(now)
	if w.due == 0 {
		w.due = now + time.Duration(w.random.Int64N(int64(every)))
		w.handed, w.bases = map[uint64]time.Duration{}, map[uint64]uint64{}
	}
	for ; w.due <= now && now < time.Hour; w.due += every {
		w.next++
	}
	var batch []byte
	for now >= w.held && w.sent < min(w.next, w.acked+64) {
		w.sent++
		w.handed[w.sent] = now
		if w.bases[w.sent] == 0 {
			w.bases[w.sent] = max(w.head, 1)
		}
		s := frame.Send{Ref: w.sent, Conv: w.conv, Level: 2, ID: frame.ID{byte(w.sent >> 16), byte(w.sent >> 8), byte(w.sent)}, Base: w.bases[w.sent], Body: []byte{0xc0}}
		batch = s.Append(batch)
	}
	if len(batch) > 0 {
		w.center.Gate().Message(w.conn, batch)
	}
}

func (w *writer) read(now time.Duration) {
	for rest := w.conn.out; len(rest) > 0; {
		typ, f, after, err := frame.Next(rest)
		rest = after
		var a frame.Ack
		var e frame.Error
		switch {
		case err != nil:
		case typ == frame.TypeAck:
			if err = a.Parse(f); err == nil && a.Ref == w.acked+1 {
				w.acked, w.head = a.Ref, a.Seq
				w.answers = append(w.answers, answer{now, now - w.handed[a.Ref]})
			} else {
				w.center.t.Errorf("an ack for %d after %d", a.Ref, w.acked)
			}
		case typ == frame.TypeError:
			if err = e.Parse(f); err == nil && (e.Code != frame.ErrorOverloaded || e.RetryMS == 0) {
				w.center.t.Errorf("%+v", e)
			}
			if e.Ref != historyRef {
				w.refusals++
				w.sent = min(w.sent, e.Ref-1)
				w.held = max(w.held, now+time.Duration(e.RetryMS)*time.Millisecond)
			}
		}
		if err != nil {
			w.center.t.Error(err)
		}
	}
	w.conn.out = w.conn.out[:0]
}

// value reads a counter with one label.
func (c *center) value(name, label string) float64 {
	c.t.Helper()
	families, err := c.reg.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	c.t.Fatalf("no metric %s with %s", name, label)
	return 0
}

// TestMaxDelay: with a store that stands still, nothing is refused before a message would wait too long, and everything after.
func TestMaxDelay(t *testing.T) {
	for _, limit := range []time.Duration{200 * time.Millisecond, 2 * time.Second} {
		withCenter(t, dispatch.Config{MaxDelay: limit}, func(c *center) {
			n := c.login("v", frame.RoleVisitor)
			c.open(n, 1)
			conv := c.shown(n).Conv
			send := func(id byte) uint64 {
				n.out = n.out[:0]
				c.send(n, (&frame.Send{Ref: 9, Conv: conv, Level: 2, ID: frame.ID{id}, Body: []byte{0xc0}}).Append(nil))
				return c.refusal(n).Code
			}
			c.store.Hold()
			if send(1) != 0 {
				t.Errorf("%v: the first message was refused", limit)
			}
			time.Sleep(limit / 8)
			if send(2) != 0 {
				t.Errorf("%v: a message was refused early", limit)
			}
			time.Sleep(limit + 200*time.Millisecond)
			if code := send(3); code != frame.ErrorOverloaded {
				t.Errorf("%v: a message that waits longer got error %d", limit, code)
			}
			c.store.Resume()
		})
	}
}

// TestRefusedInTwoPlaces: one message is refused because its commit fails, the next one before that because the ring is crowded. A client that
// sends the first again, and only that, until it is taken, gets both through.
func TestRefusedInTwoPlaces(t *testing.T) {
	withCenter(t, dispatch.Config{MaxDelay: 200 * time.Millisecond}, func(c *center) {
		r := refusedInTwoPlaces(c)
		for id := byte(1); id <= 2; id++ {
			for tries := 1; r.send(id) != 0; tries++ {
				if tries == 5 {
					t.Fatalf("message %d is refused for ever", id)
				}
				time.Sleep(2 * time.Second)
			}
			var a frame.Ack
			if err := a.Parse(c.last(r.conn, frame.TypeAck)); err != nil || a.Seq != uint64(id)+1 {
				t.Errorf("message %d: %+v, %v", id, a, err)
			}
		}
	})
}

// TestGivenUpInTwoPlaces is the same with a client that gives the first one up and sends the others together.
func TestGivenUpInTwoPlaces(t *testing.T) {
	withCenter(t, dispatch.Config{MaxDelay: 200 * time.Millisecond}, func(c *center) {
		r := refusedInTwoPlaces(c)
		for tries := 1; r.send(2, 3, 4) != 0; tries++ {
			if tries == 5 {
				t.Fatal("the messages are refused for ever")
			}
			time.Sleep(2 * time.Second)
		}
		var a frame.Ack
		if err := a.Parse(c.last(r.conn, frame.TypeAck)); err != nil || a.Ref != 4 || a.Seq != 4 {
			t.Errorf("the last message: %+v, %v", a, err)
		}
	})
}

// refusals is a client of which message 1 was refused by the machine and message 2 by the gate.
type refusals struct {
	*center
	conn *conn
	conv frame.ID
}

func refusedInTwoPlaces(c *center) *refusals {
	r := &refusals{center: c, conn: c.login("v", frame.RoleVisitor)}
	c.open(r.conn, 1)
	r.conv = c.shown(r.conn).Conv
	c.store.Hold()
	if code := r.send(1); code != 0 {
		c.t.Fatalf("the first message got error %d", code)
	}
	time.Sleep(time.Second)
	if code := r.send(2); code != frame.ErrorOverloaded {
		c.t.Fatalf("the second message got error %d", code)
	}
	c.store.Fail()
	c.store.Resume()
	synctest.Wait()
	if e := c.refusal(r.conn); e.Ref != 1 || e.Code != frame.ErrorUnavailable {
		c.t.Fatalf("the first message got %+v", e)
	}
	c.store.Recover()
	time.Sleep(2 * time.Second)
	return r
}

// send sends messages in one batch and returns the code of the last error.
func (r *refusals) send(ids ...byte) uint64 {
	r.nets.mu.Lock()
	r.conn.out = r.conn.out[:0]
	r.nets.mu.Unlock()
	var batch []byte
	for _, id := range ids {
		batch = (&frame.Send{Ref: uint64(id), Conv: r.conv, Level: 2, ID: frame.ID{id}, Base: 1, Body: []byte{0xc0}}).Append(batch)
	}
	r.center.send(r.conn, batch)
	return r.refusal(r.conn).Code
}

// TestTooManyRefused: an overloaded server remembers refused messages of so many conversations of a connection. At one more it closes the connection,
// and takes nothing that stands behind the message in the batch: it could overtake one that nobody remembers.
func TestTooManyRefused(t *testing.T) {
	const attachMax = 1100
	withCenter(t, dispatch.Config{MaxDelay: 200 * time.Millisecond, AttachMax: attachMax}, func(c *center) {
		n := c.login("v", frame.RoleVisitor)
		c.open(n, 1)
		conv := c.shown(n).Conv
		message := func(conv frame.ID, id byte) []byte {
			return (&frame.Send{Ref: 1, Conv: conv, Level: 2, ID: frame.ID{id}, Base: 1, Body: []byte{0xc0}}).Append(nil)
		}
		c.store.Hold()
		c.send(n, message(conv, 1))
		time.Sleep(time.Second)
		for i := range attachMax {
			c.send(n, message(frame.ID{1, byte(i), byte(i >> 8)}, 1))
			if code := c.refusal(n).Code; code != frame.ErrorOverloaded || c.closed(n) != 0 {
				t.Fatalf("conversation %d: error %d, closed with %d", i, code, c.closed(n))
			}
		}
		c.nets.mu.Lock()
		n.out = n.out[:0]
		c.nets.mu.Unlock()
		c.send(n, append(message(conv, 2), (&frame.Heartbeat{}).Append(nil)...))
		if code := c.closed(n); code != frame.CloseTooManyRefused || c.refusal(n).Code != frame.ErrorOverloaded {
			t.Errorf("closed with %d after error %d", code, c.refusal(n).Code)
		}
		if c.last(n, frame.TypeHeartbeat) != nil {
			t.Error("what stands behind the message was handled")
		}
		if count := c.counter("switchyard_connections_refusals_total"); count != 1 {
			t.Errorf("%v connections were counted", count)
		}
		c.store.Resume()
	})
}

// TestMemoryPressure: near its memory limit the server gives up all but messages; clear of it, nothing.
func TestMemoryPressure(t *testing.T) {
	var used atomic.Int64 // percent
	cfg := dispatch.Config{Memory: func() float64 { return float64(used.Load()) / 100 }}
	withCenter(t, cfg, func(c *center) {
		n := c.login("v", frame.RoleVisitor)
		c.open(n, 1)
		conv := c.shown(n).Conv
		for _, tc := range []struct {
			used  int64
			level float64
		}{{79, 0}, {81, 1}, {86, 2}, {91, 3}, {96, 4}, {150, 4}, {50, 0}} {
			used.Store(tc.used)
			time.Sleep(10 * time.Second)
			if level := c.gauge("switchyard_pressure_level"); level != tc.level {
				t.Errorf("%d %% used: level %v", tc.used, level)
			}
			if c.Gate().Admits() != (tc.level < 4) {
				t.Errorf("level %v: new connections %t", tc.level, c.Gate().Admits())
			}
			n.out = n.out[:0]
			c.send(n, (&frame.History{Ref: 3, Conv: conv}).Append(nil))
			if refused := c.refusal(n).Code == frame.ErrorOverloaded; refused != (tc.level >= 3) {
				t.Errorf("level %v: history refused %t", tc.level, refused)
			}
			n.out = n.out[:0]
			c.send(n, (&frame.Send{Ref: 9, Conv: conv, Level: 1, Body: []byte{0xc0}}).Append(nil))
			if c.last(n, frame.TypeAck) == nil {
				t.Errorf("level %v: a message was not accepted", tc.level)
			}
		}
	})
}
