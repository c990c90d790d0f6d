package dispatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// Gate is the center's side on the event loops: it checks batches, answers heartbeats, has tokens checked, and forwards every other frame to
// the runner that owns its conversation. Its methods run on the loop of the connection they are given; they neither block nor lock
// on the way of a message.
type Gate struct {
	center   *Center
	sessions []sessions   // by loop, which alone uses its own
	check    func(Conn)   // checkDeadline, made once
	in       []frameStats // by loop, which alone writes its own
	out      []frameStats
	scratch  [][]byte // by loop: where it encodes a frame of its own
}

// Open begins a connection; token is the bearer token of the upgrade, empty if there was none.
func (g *Gate) Open(c Conn, token []byte) {
	s := g.sessions[c.Loop()].take()
	c.SetData(s)
	g.watch(c, s, time.Unix(0, c.Now()).Add(g.center.cfg.HelloTimeout).Unix()+1)
	if len(token) > 0 {
		g.authenticate(c, s, 0, token, 0)
	}
}

// Admits tells whether a new connection should be taken; if not, it is one that is given up under pressure. Safe on any goroutine.
func (g *Gate) Admits() bool {
	if !g.center.governor.sheds(classConnections) {
		return true
	}
	g.center.governor.shed(classConnections, 1)
	return false
}

// Message handles one batch of frames, which is borrowed.
func (g *Gate) Message(c Conn, batch []byte) {
	s := c.Data().(*session)
	n := 0
	for ; len(batch) > 0; n++ {
		typ, f, rest, err := frame.Next(batch)
		if err != nil {
			g.refuse(c, 0, frame.ErrorBadFrame, err.Error())
			c.Close(frame.CloseProtocolError, err.Error())
			return
		}
		if n == frame.MaxFrames {
			g.refuse(c, 0, frame.ErrorTooLarge, "a batch holds at most 1,024 frames")
			c.Close(frame.CloseProtocolError, "too many frames in one message")
			return
		}
		g.in[c.Loop()].add(typ, 1, len(f))
		if !g.frame(c, s, typ, f) {
			return
		}
		batch = rest
	}
	if n > 1 {
		c.Spend(n - 1)
	}
}

// frame handles one frame; false: the connection is being closed.
func (g *Gate) frame(c Conn, s *session, typ frame.Type, f []byte) bool {
	switch typ {
	case frame.TypeHeartbeat:
		g.heartbeat(c, f)
		return true
	case frame.TypeHello:
		return g.hello(c, s, f)
	}
	if s.who == nil {
		g.refuse(c, frame.PeekRef(f), frame.ErrorUnauthorized, "send hello and wait for welcome first")
		c.Close(frame.CloseProtocolError, "a frame other than hello came first")
		return false
	}
	return g.sheds(c, typ, f) || g.forward(c, s, typ, f)
}

// heartbeat answers with both times.
func (g *Gate) heartbeat(c Conn, f []byte) {
	var h frame.Heartbeat
	if err := h.Parse(f); err != nil {
		g.refuse(c, 0, frame.ErrorBadFrame, err.Error())
		return
	}
	h.ServerMS = uint64(c.Now() / int64(time.Millisecond))
	g.write(c, h.Append(g.buffer(c)))
}

// forward gives a frame to the runner that owns what it is about; false: the connection is being closed.
func (g *Gate) forward(c Conn, s *session, typ frame.Type, f []byte) bool {
	r, ok := g.route(c, s, typ, f)
	if !ok {
		return true
	}
	ring := r.rings[c.Loop()]
	now := c.Now()
	if asksDesk(typ) && g.center.desk.crowded() {
		return g.overloaded(c, s, typ, f)
	}
	if typ == frame.TypeSend && ring.crowded() {
		g.center.governor.shed(classMessages, 1)
		return g.overloaded(c, s, typ, f)
	}
	if !s.mayPass(typ, f) || !ring.push(core.Origin{Conn: c.ID(), Who: s.who}, typ, f, now) {
		return g.overloaded(c, s, typ, f)
	}
	s.passed(typ, f)
	r.waker.wake()
	return true
}

// sheds tells whether a frame is left out under pressure: a signal is dropped, a page of history refused.
func (g *Gate) sheds(c Conn, typ frame.Type, f []byte) bool {
	switch {
	case typ == frame.TypeSignal && g.center.governor.sheds(classSignals):
		g.center.governor.shed(classSignals, 1)
	case typ == frame.TypeHistory && g.center.governor.sheds(classHistory):
		g.center.governor.shed(classHistory, 1)
		g.refuse(c, frame.PeekRef(f), frame.ErrorOverloaded, "the server has too much to do to read the history; ask again")
	default:
		return false
	}
	return true
}

// overloaded refuses a frame for now. What follows a refused message is refused too, see session. False: the connection is being closed.
func (g *Gate) overloaded(c Conn, s *session, typ frame.Type, f []byte) bool {
	g.center.metrics.overloaded.Inc()
	g.refuse(c, frame.PeekRef(f), frame.ErrorOverloaded, "the server has too much to do; nothing was done, send it again")
	if s.refuse(typ, f, g.center.cfg.AttachMax) {
		return true
	}
	g.tooManyRefused(c)
	return false
}

// takeOver goes on with what a machine refuses of this connection.
func (g *Gate) takeOver(c Conn, s *session, conv frame.ID, refused *core.Refusals) {
	if !s.takeOver(conv, refused, g.center.cfg.AttachMax) {
		g.tooManyRefused(c)
	}
}

// tooManyRefused closes a connection before it could send something that overtakes a refused message which nobody remembers.
func (g *Gate) tooManyRefused(c Conn) {
	g.center.metrics.tooManyRefused.Inc()
	c.Close(frame.CloseTooManyRefused, "messages were refused in too many conversations and not sent again")
}

// route finds the runner and notes what the connection will be attached to.
func (g *Gate) route(c Conn, s *session, typ frame.Type, f []byte) (*runner, bool) {
	switch typ {
	case frame.TypeStatus, frame.TypeWatch:
		return g.center.ownerOfUser(s.who.Key()), true
	case frame.TypeOpen:
		var o frame.Open
		if err := o.Parse(f); err != nil {
			g.refuse(c, frame.PeekRef(f), frame.ErrorBadFrame, err.Error())
			return nil, false
		}
		conv := core.ConversationID(s.who.User, o.Key)
		return g.center.owner(conv), g.join(c, s, conv, o.Ref)
	}
	conv, ok := frame.PeekConv(typ, f)
	switch {
	case !ok && known(typ):
		g.refuse(c, frame.PeekRef(f), frame.ErrorBadFrame, "the frame names no conversation")
		return nil, false
	case !ok:
		g.refuse(c, frame.PeekRef(f), frame.ErrorUnknownType, "the server does not take this type of frame")
		return nil, false
	case typ == frame.TypeAttach || typ == frame.TypeResume:
		return g.center.owner(conv), g.join(c, s, conv, frame.PeekRef(f))
	}
	return g.center.owner(conv), true
}

// known tells whether a client may send this type about a conversation.
func known(typ frame.Type) bool {
	switch typ {
	case frame.TypeAttach, frame.TypeResume, frame.TypeDetach, frame.TypeClose, frame.TypeSend, frame.TypeDelivered, frame.TypeRead,
		frame.TypeSignal, frame.TypeHistory, frame.TypeReopen, frame.TypeJoin, frame.TypeClaim, frame.TypeTransfer, frame.TypeHold, frame.TypeRate:
		return true
	}
	return false
}

func (g *Gate) join(c Conn, s *session, conv frame.ID, ref uint64) bool {
	if s.join(conv, g.center.cfg.AttachMax) {
		return true
	}
	g.refuse(c, ref, frame.ErrorTooLarge, "this connection is attached to too many conversations; detach from some or use another connection")
	return false
}

// hello has the token checked; false: the connection is being closed.
func (g *Gate) hello(c Conn, s *session, f []byte) bool {
	var h frame.Hello
	if err := h.Parse(f); err != nil {
		g.refuse(c, frame.PeekRef(f), frame.ErrorBadFrame, err.Error())
		c.Close(frame.CloseProtocolError, "hello does not parse")
		return false
	}
	switch {
	case s.checking:
		g.refuse(c, h.Ref, frame.ErrorConflict, "another token of this connection is being checked; wait for its answer")
	case len(h.Token) == 0 && s.who != nil: // let in by the bearer token of the upgrade
		g.welcome(c, s, h.Ref, h.Flags, s.who)
	case len(h.Token) == 0:
		g.refuse(c, h.Ref, frame.ErrorUnauthorized, "hello holds no token")
	default:
		g.authenticate(c, s, h.Ref, h.Token, h.Flags)
	}
	return true
}

// tokenCheck is a token on its way to the auth pool and back.
type tokenCheck struct {
	gate  *Gate
	conn  frame.ConnID
	ref   uint64
	flags uint64
	token []byte

	who *core.Identity // the outcome
	err error
}

func (t *tokenCheck) do() {
	t.who, t.err = t.gate.center.verify(t.token)
	t.gate.center.conns.Post(t.conn, t.answer)
}

func (t *tokenCheck) late() {
	t.err = errOverloaded
	t.gate.center.conns.Post(t.conn, t.answer)
}

func (t *tokenCheck) answer(c Conn) { t.gate.authenticated(c, t.ref, t.flags, t.who, t.err) }

// authenticate sends the token to the auth pool; the result comes back to the loop.
func (g *Gate) authenticate(c Conn, s *session, ref uint64, token []byte, flags uint64) {
	s.checking = true
	if !g.center.auth.submit(&tokenCheck{gate: g, conn: c.ID(), ref: ref, flags: flags, token: bytes.Clone(token)}) {
		s.checking = false
		g.refuse(c, ref, frame.ErrorOverloaded, "too many tokens wait to be checked; send hello again")
	}
}

// authenticated takes the pool's answer, on the loop.
func (g *Gate) authenticated(c Conn, ref, flags uint64, who *core.Identity, err error) {
	s := c.Data().(*session)
	s.checking = false
	switch {
	case errors.Is(err, errOverloaded):
		g.refuse(c, ref, frame.ErrorOverloaded, "too many tokens wait to be checked; send hello again")
	case err != nil:
		g.unauthorized(c, s, ref, err)
	case s.who != nil && s.who.Key() != who.Key():
		g.refuse(c, ref, frame.ErrorConflict, "a refreshed token must be for the same user and role; open another connection")
	default:
		g.welcome(c, s, ref, flags, who)
	}
}

// unauthorized refuses a token. A connection that has no older one is closed.
func (g *Gate) unauthorized(c Conn, s *session, ref uint64, err error) {
	code, closeCode := uint64(frame.ErrorUnauthorized), uint16(frame.CloseUnauthorized)
	if errors.Is(err, auth.ErrExpired) {
		code, closeCode = frame.ErrorTokenExpired, frame.CloseTokenExpired
	}
	g.center.metrics.authRefused.Inc()
	g.refuse(c, ref, code, err.Error())
	if s.who == nil {
		c.Close(closeCode, frame.ErrorName(code))
	}
}

// welcome lets the user in.
func (g *Gate) welcome(c Conn, s *session, ref, flags uint64, who *core.Identity) {
	s.who = who
	cfg := &g.center.cfg.Welcome
	g.watch(c, s, int64(who.Expires)+1)
	w := frame.Welcome{
		Ref: ref, Session: g.center.SessionID(c.ID()), User: []byte(who.User), Role: []byte(who.Role.String()),
		ServerMS: uint64(c.Now() / int64(time.Millisecond)), ExpiresMS: uint64(who.Expires) * 1000,
		HeartbeatMS: uint64(cfg.Heartbeat.Milliseconds()), MaxMessage: uint64(cfg.MaxMessage),
		RetryMinMS: uint64(cfg.RetryMin.Milliseconds()), RetryMaxMS: uint64(cfg.RetryMax.Milliseconds()), RetryJitterMS: uint64(cfg.RetryJitter.Milliseconds()),
	}
	g.write(c, w.Append(g.buffer(c)))
	g.center.ownerOfUser(who.Key()).inbox.put(control{kind: ctlOnline, conn: c.ID(), who: who, list: flags&frame.HelloList != 0})
}

// watchMax is how far ahead a deadline is noted, in seconds. What is due later is looked at in between, so that connections that are
// closed long before their tokens expire leave nothing behind for longer.
const watchMax = 600

// watch has the connection looked at in a second, or before it.
func (g *Gate) watch(c Conn, s *session, second int64) {
	second = min(second, c.Now()/int64(time.Second)+watchMax)
	if s.due == 0 || uint32(second) < s.due {
		s.due = uint32(second)
		g.center.deadlines.add(second, c.ID())
	}
}

// checkDeadline looks at a connection whose hello or token was due.
func (g *Gate) checkDeadline(c Conn) {
	s := c.Data().(*session)
	now := c.Now() / int64(time.Millisecond)
	if s.due > uint32(now/1000) {
		return // an older note
	}
	s.due = 0
	switch {
	case s.who == nil && s.checking: // the answer comes soon, and may be that hello has to be sent again
		g.watch(c, s, now/1000+1)
	case s.who == nil:
		g.refuse(c, 0, frame.ErrorUnauthorized, "no hello came in time")
		c.Close(frame.CloseHelloTimeout, "no hello came in time")
	case s.who != nil && int64(s.who.Expires)*1000 <= now:
		g.refuse(c, 0, frame.ErrorTokenExpired, "the token expired; reconnect with a new one, or send hello with it before the old one expires")
		c.Close(frame.CloseTokenExpired, "token_expired")
	default:
		g.watch(c, s, int64(s.who.Expires)+1)
	}
}

// Closed ends a connection: its conversations and its user are told.
func (g *Gate) Closed(c Conn) {
	s := c.Data().(*session)
	s.each(func(conv frame.ID) {
		g.center.owner(conv).inbox.put(control{kind: ctlGone, conv: conv, conn: c.ID()})
	})
	if s.who != nil {
		g.center.ownerOfUser(s.who.Key()).inbox.put(control{kind: ctlOffline, conn: c.ID(), who: s.who})
	}
	c.SetData(nil)
	g.sessions[c.Loop()].give(s)
}

// refuse writes an error frame.
func (g *Gate) refuse(c Conn, ref, code uint64, text string) {
	e := frame.Error{Ref: ref, Code: code, Text: []byte(text[:min(len(text), frame.MaxText)])}
	if code == frame.ErrorOverloaded {
		e.RetryMS = retryMS(g.center.cfg.RetryAfter, c.ID(), c.Now())
	}
	g.write(c, e.Append(g.buffer(c)))
}

// scratchSize is room for any frame of the gate's own; a welcome with the longest name takes about 230 bytes, an error with the longest text 1,050.
const scratchSize = 2048

// buffer is where a frame may be encoded until it is written, which copies it: a buffer of the caller's would escape to the heap.
func (g *Gate) buffer(c Conn) []byte { return g.scratch[c.Loop()][:0] }

// retryMS spreads the retries of many connections from half the time to one and a half, so that they do not come back as one wave. All
// refusals of a connection in one second get the same time: a client that was refused a batch sends it again as one.
func retryMS(after time.Duration, id frame.ConnID, now int64) uint64 {
	x := (uint64(id) ^ uint64(now/int64(time.Second))<<40) * 0x9e3779b97f4a7c15 // Fibonacci hashing: the high bits are mixed well
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	ms := uint64(after.Milliseconds())
	return ms/2 + (x>>32)*(ms+1)>>32
}

// write sends one frame of the gate's own.
func (g *Gate) write(c Conn, f []byte) {
	g.out[c.Loop()].written(f, 1)
	c.Write(f)
}

// SessionID names a connection in welcome frames and logs: this process and the connection's address in it.
func (c *Center) SessionID(conn frame.ConnID) (id frame.ID) {
	copy(id[:8], c.boot[:])
	binary.BigEndian.PutUint64(id[8:], uint64(conn))
	return id
}
