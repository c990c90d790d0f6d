package netserver

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/gobwas/ws"
)

// The subprotocols. The server takes the first one of the client's list that it knows.
const (
	protocolMsgpack = "switchyard.v1.msgpack"
	protocolJSON    = "switchyard.v1.json"
)

var headerEnd = []byte("\r\n\r\n")

// handshake gathers the upgrade request and answers it when its header is complete. The rest, which follows the header, belongs
// to the first frames; it lies in b.
func (l *loop) handshake(c *Conn, b []byte) (rest []byte) {
	if c.headerDue {
		var done bool
		if b, done = l.proxyHeader(c, b); !done || len(b) == 0 {
			return nil
		}
	}
	request, held := b[:min(len(b), l.cfg.MaxHeader)], 0
	if c.in != nil {
		held = len(c.in.data)
		c.in.data = l.pool.append(c.in.data, b[:min(len(b), l.cfg.MaxHeader-held)])
		request = c.in.data
	}
	from := max(0, held-len(headerEnd)+1)
	end := bytes.Index(request[from:], headerEnd)
	if end < 0 {
		l.incompleteRequest(c, request)
		return nil
	}
	end += from + len(headerEnd)
	l.answerUpgrade(c, request[:end])
	l.dropInput(c)
	return b[end-held:]
}

// incompleteRequest refuses what can not become a request any more, and keeps the rest until more comes.
func (l *loop) incompleteRequest(c *Conn, request []byte) {
	switch {
	case !plausible(request):
		l.refuse(c, &answer400, ReasonRefused)
	case len(request) >= l.cfg.MaxHeader:
		l.refuse(c, &answer431, ReasonRefused)
	case c.in == nil:
		c.in = l.pool.getInput()
		c.in.data = l.pool.append(nil, request)
	}
}

// plausible tells whether the start of a request line is printable, which TLS and other binary protocols fail at once.
func plausible(request []byte) bool {
	for _, b := range request {
		if b == '\r' || b == '\n' {
			return true
		}
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// answerUpgrade answers a complete request: 101 and the connection is open, or a refusal.
func (l *loop) answerUpgrade(c *Conn, request []byte) {
	u := &l.upgrade
	if refused := u.run(c, request); refused != nil {
		l.refuseRequest(c, request, refused)
		return
	}
	l.n.answered(101)
	l.stage(c, opBytes, l.copied(u.answer))
	c.state, c.since, c.heard, c.json = stateOpen, l.wheel.now, l.wheel.now, u.json
	l.n.open++
	l.n.opened++
	c.opened = true
	l.dropInput(c)
	l.wheel.hasten(c, l.dueOf(c)) // the first ping may be due before the handshake would have been
	l.handler.Open(c, &u.req)
	u.req = Request{}
	if l.departure != nil && c.state == stateOpen {
		l.sendAway(c)
	}
}

func (l *loop) refuseRequest(c *Conn, request []byte, refused *answer) {
	if a := l.proxyAnswer(c, request); a != nil {
		l.refuse(c, a, ReasonProxyHeader)
		return
	}
	l.refuse(c, refused, ReasonRefused)
}

// refuse stages a plain HTTP answer and ends the connection once it is written.
func (l *loop) refuse(c *Conn, a *answer, reason Reason) {
	l.n.answered(a.status)
	l.stage(c, opBytes, a.text)
	l.leave(c, reason)
	l.enter(c, stateFlush)
}

// upgrade runs gobwas's Upgrader over a complete request in memory, one for each loop. Its hooks collect the Request and say no; what the
// Upgrader writes is sent only if it accepts. Owned by the loop; everything in it is of the present request.
type upgrade struct {
	loop     *loop
	upgrader ws.Upgrader
	request  []byte // what is left to read
	answer   []byte // what was written
	kept     []byte // copies of header values
	req      Request
	protocol bool // the client offered a subprotocol that we know
	json     bool
	body     bool
	busy     answer // 503 with this request's Retry-After
}

func (u *upgrade) init(l *loop) {
	u.loop = l
	u.upgrader = ws.Upgrader{
		ReadBufferSize:  l.cfg.MaxHeader,
		OnRequest:       u.onRequest,
		OnHost:          func(host []byte) error { u.req.Host = u.keep(host); return nil },
		OnHeader:        u.onHeader,
		OnBeforeUpgrade: u.onBeforeUpgrade,
	}
	if !l.cfg.Raw {
		u.upgrader.Protocol = u.onProtocol
	}
}

// Read gives the Upgrader the request.
func (u *upgrade) Read(p []byte) (int, error) {
	if len(u.request) == 0 {
		return 0, io.EOF
	}
	n := copy(p, u.request)
	u.request = u.request[n:]
	return n, nil
}

// Write takes the Upgrader's answer.
func (u *upgrade) Write(p []byte) (int, error) {
	u.answer = append(u.answer, p...)
	return len(p), nil
}

// keep copies a value that gobwas lends for the duration of a hook only.
func (u *upgrade) keep(p []byte) []byte {
	start := len(u.kept)
	u.kept = append(u.kept, p...)
	return u.kept[start:len(u.kept):len(u.kept)]
}

// run returns nil if the request is accepted, and then req, json and answer are set.
func (u *upgrade) run(c *Conn, request []byte) *answer {
	u.request, u.answer, u.kept = request, u.answer[:0], u.kept[:0]
	u.protocol, u.json, u.body = false, false, false
	u.req = Request{RemoteAddr: c.RemoteAddr()}
	_, err := u.upgrader.Upgrade(u)
	return answerFor(err)
}

func (u *upgrade) onRequest(uri []byte) error {
	path, _, _ := strings.Cut(string(uri), "?")
	u.req.Path = u.keep([]byte(path))
	if !u.serves(path) {
		return &answer404
	}
	return nil
}

func (u *upgrade) serves(path string) bool {
	if u.loop.cfg.Raw {
		return path == "/" || path == "/ws"
	}
	return path == u.loop.cfg.Path
}

func (u *upgrade) onHeader(key, value []byte) error {
	switch string(key) {
	case "Origin":
		u.req.Origin = u.keep(value)
	case "User-Agent":
		u.req.UserAgent = u.keep(value)
	case "Authorization":
		const scheme = "Bearer "
		if len(value) > len(scheme) && strings.EqualFold(string(value[:len(scheme)]), scheme) {
			u.req.Token = u.keep(bytes.TrimSpace(value[len(scheme):]))
		}
	case "Content-Length":
		u.body = u.body || string(value) != "0"
	case "Transfer-Encoding":
		u.body = true
	}
	return nil
}

func (u *upgrade) onProtocol(name []byte) bool {
	switch string(name) {
	case protocolMsgpack:
		u.req.Subprotocol = protocolMsgpack
	case protocolJSON:
		u.req.Subprotocol, u.json = protocolJSON, true
	default:
		return false
	}
	u.protocol = true
	return true
}

// onBeforeUpgrade has the last word, with all headers read.
func (u *upgrade) onBeforeUpgrade() (ws.HandshakeHeader, error) {
	cfg := u.loop.cfg
	switch {
	case u.body:
		return nil, &answer400Body
	case !originAllowed(cfg.AllowedOrigins, string(u.req.Origin), string(u.req.Host)):
		return nil, &answer403
	case !cfg.Raw && !u.protocol:
		return nil, &answer400Protocol
	}
	return nil, u.admit()
}

// admit counts the connection in, or refuses for now.
func (u *upgrade) admit() error {
	open := &u.loop.shared.open
	if open.Add(1) > int64(u.loop.cfg.MaxConns) {
		open.Add(-1)
		u.loop.limited(limitConnections)
		return u.unavailable(10)
	}
	if wait, ok := u.loop.handler.Admit(&u.req); !ok {
		open.Add(-1)
		return u.unavailable(retryAfter(wait))
	}
	return nil
}

func (u *upgrade) unavailable(seconds int64) error {
	u.busy = unavailable(seconds)
	return &u.busy
}

// answerFor maps an error of the Upgrader or of a hook to the answer.
func answerFor(err error) *answer {
	if err == nil {
		return nil
	}
	if a, ok := errors.AsType[*answer](err); ok {
		return a
	}
	switch err {
	case ws.ErrHandshakeBadMethod:
		return &answer405
	case ws.ErrHandshakeBadUpgrade, ws.ErrHandshakeBadConnection:
		return &answer426
	case ws.ErrHandshakeUpgradeRequired, ws.ErrHandshakeBadSecVersion:
		return &answer426Version
	case ws.ErrHandshakeBadSecKey:
		return &answer400Key
	case ws.ErrHandshakeBadHost:
		return &answer400Host
	}
	return &answer400
}
