package switchyard

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// link is one connection. Its first half of life, up to the welcome, is on the goroutine that dials; then the reading goroutine owns in
// and the writing goroutine out.
//
// How it ends: 1. whoever sees the end first calls end with the reason, which closes the socket; but a writer whose peer has closed leaves that to
// the reader for a moment (broken), who may find the close frame that says why; 2. the reader and the writer return because of that; 3. the
// reader waits for the writer.
type link struct {
	// Fixed after construction.
	conn      net.Conn
	opts      Options
	heartbeat time.Duration
	policy    policy
	since     time.Time
	welcome   *frame.Welcome
	rest      []byte // frames that came right behind the welcome, for the reader
	early     []byte // a drain frame that came before it

	in    wsReader
	pongs chan []byte // what pings carried; full: the ping is not answered, as another answer is on its way

	once  sync.Once
	done  chan struct{} // closed by end
	cause error         // valid once done is closed

	mu       sync.Mutex
	writeErr error // guarded by mu: the writer has failed, and the read deadline is the last
}

func newLink(conn net.Conn, src io.Reader, opts Options) *link {
	return &link{
		conn: conn, opts: opts, in: newWSReader(src, opts.MaxReceive),
		pongs: make(chan []byte, 4), done: make(chan struct{}),
	}
}

// lastWords is how long the reader may look for a close frame after a write has failed.
const lastWords = 200 * time.Millisecond

// broken is the writer's end when a write failed.
func (l *link) broken(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.end(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeErr = err
	l.conn.SetReadDeadline(time.Now().Add(lastWords))
}

// extend gives the server time until two heartbeats from now.
func (l *link) extend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heartbeat > 0 && l.writeErr == nil {
		l.conn.SetReadDeadline(time.Now().Add(2 * l.heartbeat))
	}
}

// readEnded ends the link with what the reader saw; a failed write goes before anything but a close frame.
func (l *link) readEnded(err error) {
	l.mu.Lock()
	writeErr := l.writeErr
	l.mu.Unlock()
	if _, closed := errors.AsType[*CloseError](err); !closed {
		err = firstCause(writeErr, err)
	}
	l.end(err)
}

func (l *link) end(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.done)
		l.conn.Close()
	})
}

// firstRef is the ref of the hello that begins a connection; the session's own refs come after it.
const firstRef = 1

// hello authenticates, and waits for the welcome.
func (l *link) hello(token string, opts Options) error {
	hello := frame.Hello{Ref: firstRef, Token: []byte(token), Agent: []byte(opts.Agent)}
	if opts.ListConversations {
		hello.Flags = frame.HelloList
	}
	l.conn.SetWriteDeadline(time.Now().Add(opts.WriteTimeout))
	if _, err := l.conn.Write(appendWS(nil, ws.OpBinary, hello.Append(nil))); err != nil {
		return err
	}
	for l.welcome == nil {
		batch, err := l.message()
		if err != nil {
			return l.goneEarly(err)
		}
		if err := l.findWelcome(batch); err != nil {
			return err
		}
	}
	return nil
}

// goneEarly adds to the end of a connection without a welcome when the server asked us to come back.
func (l *link) goneEarly(err error) error {
	var d frame.Drain
	if l.early == nil || d.Parse(l.early) != nil {
		return err
	}
	return &earlyDrain{cause: err, delay: milliseconds(d.DelayMS), window: milliseconds(d.WindowMS)}
}

// findWelcome looks through a batch for the answer to hello. What follows it is kept, and a drain frame that came before it.
func (l *link) findWelcome(batch []byte) error {
	for len(batch) > 0 && l.welcome == nil {
		typ, f, rest, err := frame.Next(batch)
		if err != nil {
			return err
		}
		switch typ {
		case frame.TypeWelcome:
			err = parsed(f, &frame.Welcome{}, l.accept)
		case frame.TypeError:
			err = readRefused(f)
		case frame.TypeDrain:
			l.early = append(l.early[:0], f...)
		}
		if err != nil {
			return err
		}
		batch = rest
	}
	l.rest = append(l.early[:len(l.early):len(l.early)], batch...)
	return nil
}

func readRefused(f []byte) error {
	var e frame.Error
	if err := e.Parse(f); err != nil {
		return err
	}
	return newServerError(&e)
}

// accept takes the server's terms; zero values keep the defaults.
func (l *link) accept(w *frame.Welcome) {
	l.welcome, l.since = w, time.Now()
	l.heartbeat = orDefault(milliseconds(w.HeartbeatMS), 30*time.Second)
	l.policy = policy{
		min:    orDefault(milliseconds(w.RetryMinMS), defaultPolicy.min),
		max:    orDefault(milliseconds(w.RetryMaxMS), defaultPolicy.max),
		jitter: orDefault(milliseconds(w.RetryJitterMS), defaultPolicy.jitter),
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// message reads up to the next message of frames. Pings are answered by the writer; a close frame is a *CloseError.
func (l *link) message() ([]byte, error) {
	for {
		l.extend()
		op, payload, err := l.in.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, ErrSilent
		case err != nil:
			return nil, err
		case op == ws.OpBinary:
			return payload, nil
		case op == ws.OpPing:
			l.pong(payload)
		case op == ws.OpClose:
			return nil, newCloseError(payload)
		}
	}
}

func (l *link) pong(payload []byte) {
	select {
	case l.pongs <- append([]byte(nil), payload...):
	default:
	}
}

func newCloseError(payload []byte) error {
	code, reason := ws.ParseCloseFrameData(payload)
	if len(payload) < 2 {
		code = ws.StatusNoStatusRcvd
	}
	return &CloseError{Code: int(code), Reason: reason}
}

// read hands everything that comes to the session until the connection ends.
func (l *link) read(s *session) error {
	batch, err := l.rest, error(nil)
	l.rest = nil
	for err == nil {
		err = s.receive(batch, time.Now())
		s.runHooks()
		if err == nil {
			batch, err = l.message()
		}
	}
	return err
}

// writer is what the writing goroutine owns.
type writer struct {
	link  *link
	s     *session
	wake  <-chan struct{}
	spare batches
	buf   []byte // WebSocket frames, masked
	beat  time.Time
}

// write sends what the session has to say, and sees to everything that is due at a time, until the connection ends.
func (l *link) write(ctx context.Context, s *session, wake <-chan struct{}, refresh func()) {
	w := &writer{link: l, s: s, wake: wake, beat: time.Now()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-wake:
		case <-timer.C:
		case payload := <-l.pongs:
			w.buf = appendWS(w.buf, ws.OpPong, payload)
		case <-ctx.Done():
			w.goodbye()
			l.end(ErrClosed)
			return
		case <-l.done:
			return
		}
		next, err := w.turn(time.Now(), refresh)
		if err == ErrDrained {
			l.end(err)
			return
		}
		if err != nil {
			l.broken(err)
			return
		}
		timer.Reset(time.Until(next))
	}
}

// turn does one round of writing, and returns when to come back at the latest.
func (w *writer) turn(now time.Time, refresh func()) (next time.Time, err error) {
	if !now.Before(w.beat) {
		w.s.heartbeat(now)
		w.beat = now.Add(w.link.heartbeat)
	}
	refreshAt, due := w.s.refreshDue(now)
	if due {
		refresh()
	}
	drainAt := w.s.drainAt()
	if !drainAt.IsZero() && !now.Before(drainAt) {
		w.goodbye()
		return now, ErrDrained
	}
	out, next := w.s.due(now, w.spare)
	out.each(func(batch []byte) { w.buf = appendWS(w.buf, ws.OpBinary, batch) })
	w.spare = out
	next = earlier(earlier(next, w.beat), earlier(refreshAt, drainAt))
	return next, w.flush()
}

func (w *writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	w.link.conn.SetWriteDeadline(time.Now().Add(w.link.opts.WriteTimeout))
	_, err := w.link.conn.Write(w.buf)
	if w.buf = w.buf[:0]; cap(w.buf) > keepBuffer {
		w.buf = nil
	}
	return err
}

// goodbyeTimeout bounds the last write.
const goodbyeTimeout = time.Second

// goodbye sends the marks that wait and a close frame. https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1
func (w *writer) goodbye() {
	out := w.s.last(w.spare)
	out.each(func(batch []byte) { w.buf = appendWS(w.buf, ws.OpBinary, batch) })
	w.buf = appendWS(w.buf, ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	w.link.conn.SetWriteDeadline(time.Now().Add(goodbyeTimeout))
	w.link.conn.Write(w.buf)
}
