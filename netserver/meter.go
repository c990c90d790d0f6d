package netserver

import (
	"github.com/cloudwego/netpoll"

	"github.com/switchyard-im/switchyard/frame"
)

// What a connection may send is two leaky buckets, one of messages and one of bytes: what comes in raises the level, time lowers it by the
// rate, and a connection whose level has reached the burst is not read until there is room again. Its bytes then wait in the kernel, whose
// window stops the peer: nothing that was accepted is lost or refused, no memory grows, and a peer that hammers gets exactly its
// rate. Refusing what exceeds it with error frames would be more to write, and the client would send it all again.
//
// A read is handled whole, so a level may pass the burst; the pause is as much longer. The room bounds what a read takes (readSize), so that
// this is little.

const (
	smallRead    = 1 << 10 // a connection that may not be read for fewer bytes than this because of its messages
	messageBytes = 64      // bytes that a message is taken to have, for the size of a read; the least is about 9
)

// bucket is a limit as the loop applies it.
type bucket struct {
	burst   int64 // 0: no limit
	perTick int64
}

func newBucket(rate, burst int, cfg *Config) bucket {
	if rate == 0 {
		return bucket{}
	}
	return bucket{burst: int64(burst), perTick: max(1, int64(rate)*int64(cfg.tick)/1e9)}
}

// after is a level so many ticks later; without a limit it is nothing.
func (b bucket) after(level uint32, ticks int32) uint32 {
	if b.burst == 0 {
		return 0
	}
	return uint32(max(0, int64(level)-int64(ticks)*b.perTick))
}

// room is what fits above a level; at least 0.
func (b bucket) room(level uint32) int64 { return max(0, b.burst-int64(level)) }

// full tells whether the limit is reached.
func (b bucket) full(level uint32) bool { return b.burst > 0 && int64(level) >= b.burst }

// wait is the number of ticks until a level has room.
func (b bucket) wait(level uint32) int32 {
	if !b.full(level) {
		return 0
	}
	return int32((int64(level)-b.burst)/b.perTick + 1)
}

// meter is the buckets that every connection of a loop has.
type meter struct {
	on       bool
	messages bucket
	bytes    bucket
	max      int32 // ticks of Limits.LimitedMax; 0: no limit
}

func newMeter(cfg *Config) meter {
	lim := &cfg.Limits
	return meter{
		on:       lim.MessageRate > 0 || lim.ByteRate > 0,
		messages: newBucket(lim.MessageRate, lim.MessageBurst, cfg),
		bytes:    newBucket(lim.ByteRate, lim.ByteBurst, cfg),
		max:      cfg.ticks(lim.LimitedMax),
	}
}

// levels is what a connection has spent, as of the tick in Conn.heard.
type levels struct{ messages, bytes uint32 }

// after is what the levels have become at a tick.
func (m *meter) after(c *Conn, now int32) levels {
	ticks := now - c.heard
	return levels{m.messages.after(c.spent.messages, ticks), m.bytes.after(c.spent.bytes, ticks)}
}

// Spend counts n more messages against Limits.MessageRate, for a handler that finds several in one.
func (c *Conn) Spend(n int) { c.spent.messages += uint32(n) }

// hear notes that the peer sent n bytes. The one place, with resume, where the clock of a connection's silence is set.
func (l *loop) hear(c *Conn, n int) {
	if l.meter.on {
		l.settle(c)
		c.spent.bytes += uint32(n)
	}
	c.heard = l.wheel.now
	if c.pinged { // it hangs where its silence would have ended
		c.pinged = false
		l.wheel.hasten(c, l.dueOf(c))
	}
}

// settle brings the levels up to this tick; the caller sets heard.
func (l *loop) settle(c *Conn) {
	c.spent = l.meter.after(c, l.wheel.now)
	if c.spent == (levels{}) {
		c.throttled = false
	}
}

// readSize is how much may be read from a connection now.
func (l *loop) readSize(c *Conn) int {
	n := int64(len(l.in))
	if !l.meter.on || c.state != stateOpen {
		return int(n)
	}
	spent := l.meter.after(c, l.wheel.now)
	if b := l.meter.bytes; b.burst > 0 {
		n = min(n, max(1, b.room(spent.bytes)))
	}
	if b := l.meter.messages; b.burst > 0 {
		n = min(n, max(smallRead, messageBytes*b.room(spent.messages)))
	}
	return int(n)
}

// restrain pauses a connection that has used up its share. At the end of its read.
func (l *loop) restrain(c *Conn) {
	if !l.meter.on || c.state != stateOpen || c.half || c.paused {
		return
	}
	switch {
	case l.meter.messages.full(c.spent.messages):
		l.pause(c, limitMessages)
	case l.meter.bytes.full(c.spent.bytes):
		l.pause(c, limitBytes)
	}
}

// pause stops reading a connection. The poller lets go of it, or it would report the unread input for ever; so it does not report room for
// output or the end of the stream either: output is tried at each tick, and the end is found when reading goes on.
func (l *loop) pause(c *Conn, by limit) {
	l.limited(by)
	l.n.paused++
	if !c.throttled && l.departure == nil { // which needs since for itself
		c.throttled, c.since = true, l.wheel.now
	}
	_ = c.op.Control(netpoll.PollDetach) // fails only if the poller let go of it already
	c.paused, c.polling = true, false
	l.wheel.hasten(c, l.dueOf(c))
}

// resumeDue is the tick at which a paused connection is read again. One that is closing has nothing more to spend: what it sends is thrown away.
func (l *loop) resumeDue(c *Conn) int32 {
	if c.state != stateOpen {
		return c.since + 1
	}
	due := c.heard + max(l.meter.messages.wait(c.spent.messages), l.meter.bytes.wait(c.spent.bytes), 1)
	if last, ok := l.lastTick(c); ok {
		due = min(due, last)
	}
	return due
}

// resume reads a paused connection again, or closes it if it has been throttled for too long. Never in its own callback, like all that
// frees an operator. What the peer did meanwhile is unknown, so its silence counts from here, and the time of the pause is added to that of
// a message under way.
func (l *loop) resume(c *Conn) {
	l.unpause(c)
	if c.in != nil {
		c.in.began += l.wheel.now - c.heard
	}
	l.settle(c)
	c.heard, c.pinged = l.wheel.now, false
	l.watchAgain(c)
	if l.meter.max > 0 && c.state == stateOpen && c.throttled && l.wheel.now-c.since >= l.meter.max {
		l.closeConn(c, frame.CloseRateLimited, "sends more than it may, for too long", ReasonRateLimited)
	}
}

func (l *loop) unpause(c *Conn) {
	if c.paused {
		c.paused = false
		l.n.paused--
	}
}
