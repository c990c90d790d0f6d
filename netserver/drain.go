package netserver

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// handshakeGrace is how long a handshake that is under way when the server begins to drain has to come to its end. It is answered as
// ever, so that nobody who connected in the last moment sees a refusal; the connection is then sent away like the others.
const handshakeGrace = 2 * time.Second

// drainBatch bounds how many connections are told to leave in one turn, so that those who still talk do not wait for a million others.
const drainBatch = 512

// departure is how a loop's connections are sent away: each gets a drain frame, and, with haste, a close frame after it. Without haste it has
// a slot of its own: the slots are spread evenly, its client leaves within the window that begins with its slot, and it is closed with 4000
// if it has not left by the end. Its last tick then stands in Conn.since and the timing wheel finds it, so that a million slots cost no
// memory. Owned by the loop.
type departure struct {
	haste  bool
	began  int64         // ns since the Unix epoch
	tick   int32         // the tick in which it began: what opened before has no later one in Conn.since until it is told
	spread time.Duration // from the first slot to the last
	window time.Duration
	total  int  // open connections when it began, on this loop
	told   int  // of them
	next   int  // the entry of the table that is looked at next
	stuck  bool // the mailbox was full when the rest should come back; the next tick goes on
}

// Drain sends the clients away without haste, and returns when the last connection is gone, or ctx's error when ctx is done. No new
// connections are accepted from now on. Each client is told at once when to leave, evenly spread over the time, and is served until then;
// who has not left by the end of its window is closed with 4000. Shutdown must follow, and may come in the middle.
func (s *Server) Drain(ctx context.Context, over time.Duration) error {
	s.run()
	s.depart(departure{spread: max(0, over-s.cfg.DrainWindow), window: min(over, s.cfg.DrainWindow)})
	for _, l := range s.loops {
		select {
		case <-l.drained:
		case <-ctx.Done():
			return fmt.Errorf("netserver: not every connection has left: %w", ctx.Err())
		}
	}
	return nil
}

// depart stops accepting and begins a departure on every loop. What was accepted before is with its loop by then.
func (s *Server) depart(d departure) {
	s.onFirst(func(l *loop) {
		if l.listener != nil {
			l.listener.stop()
		}
	})
	for _, l := range s.loops {
		l.box.post(task{run: func() { l.beginDeparture(d) }})
	}
}

// onFirst runs f on the first loop, which has the listener, and waits for it; not if the loops have ended.
func (s *Server) onFirst(f func(*loop)) {
	l, done := s.loops[0], make(chan struct{})
	if l.box.post(task{run: func() { f(l); close(done) }}) {
		<-done
	}
}

// beginDeparture sends the loop's connections away from now on; one that is under way gives way to it. In a task.
func (l *loop) beginDeparture(d departure) {
	d.began, d.tick, d.total = l.now, l.wheel.now, int(l.n.open)
	l.departure = &d
	l.sendSome()
}

// sendSome goes on through the table of connections for a batch, and comes back for the rest in another turn.
func (l *loop) sendSome() {
	d := l.departure
	for n := 0; n < drainBatch && d.next < l.slots.size(); d.next++ {
		c := l.slots.at(d.next)
		switch c.state {
		case stateOpen:
			l.sendAway(c)
			n++
		case stateHandshake:
			l.wheel.hasten(c, l.dueOf(c))
		}
	}
	if d.next < l.slots.size() {
		d.stuck = !l.box.postOwn(task{run: l.sendSome})
	}
}

// sendAway tells an open connection to leave. Its slot counts from the beginning of the departure, whenever its turn to be told comes.
func (l *loop) sendAway(c *Conn) {
	d := l.departure
	delay := time.Duration(max(0, d.began+int64(d.slot(l.index, l.cfg.Loops))-l.now))
	d.told++
	if !l.cfg.Raw {
		m := frame.Drain{DelayMS: uint64(delay.Milliseconds()), WindowMS: uint64(d.window.Milliseconds())}
		c.Write(m.Append(nil))
	}
	if d.haste {
		l.closeConn(c, l.cfg.farewellCode(), farewell, ReasonShutdown)
		return
	}
	c.since = l.wheel.now + l.cfg.ticks(delay+d.window) + 1 // one more, so that a client on time goes by itself
	l.wheel.hasten(c, c.since)
}

// slot is when the next connection of a loop leaves, from the beginning. The slots of the loops lie between one another.
func (d *departure) slot(loop, loops int) time.Duration {
	if d.told >= d.total { // came to its end in the meantime
		return d.spread
	}
	return time.Duration(float64(d.spread) * (float64(d.told) + float64(loop)/float64(loops)) / float64(d.total))
}

// lastTick is the tick by which an open connection must have left; ok is false if it was not told to.
func (l *loop) lastTick(c *Conn) (tick int32, ok bool) {
	return c.since, l.departure != nil && c.since > l.departure.tick
}

// mustLeave tells that it should have.
func (l *loop) mustLeave(c *Conn) bool {
	last, ok := l.lastTick(c)
	return ok && last <= l.wheel.now
}

const farewell = "the server stops"
