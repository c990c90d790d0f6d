package netserver

import (
	"errors"
	"syscall"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// input is what a connection holds while something is incomplete: an upgrade request, a frame header, a frame or a fragmented
// message. Pooled by the loop; an idle connection has none.
type input struct {
	data    []byte // the upgrade request so far, or the message so far, unmasked; of the loop's pool
	cur     header // the frame that is under way, if inFrame
	left    int    // bytes of it that have not come
	text    textCheck
	head    [maxFrameHeader]byte // an incomplete header
	headLen uint8
	control [ws.MaxControlFramePayloadSize]byte
	ctlLen  uint8
	op      ws.OpCode // of the message that is under way, if inMessage
	began   int32     // tick of its first byte; of an upgrade request: unused
	inFrame bool
	inMsg   bool
}

// idle tells that nothing is incomplete.
func (in *input) idle() bool { return !in.inFrame && !in.inMsg && in.headLen == 0 }

// read takes once what the kernel has, at most Config.ReadBudget; the poller is level-triggered and reports the rest again, after the
// other connections had their turn. More tells whether the stream may go on.
func (l *loop) read(c *Conn) (more bool) {
	n, errno := sysRead(c.fd, l.in[:l.readSize(c)])
	l.n.reads++
	switch {
	case errno == syscall.EAGAIN:
		return true
	case errno != 0:
		l.destroy(c, lost(errno, ReasonReset))
		return false
	case n == 0:
		l.endOfStream(c)
		return false
	}
	l.n.bytesIn += uint64(n)
	l.consume(c, l.in[:n])
	l.restrain(c)
	l.relieve(c)
	return c.state != stateClosed
}

// consume takes new bytes, which it may change, in whatever state the connection is.
func (l *loop) consume(c *Conn, b []byte) {
	if c.state == stateHandshake {
		b = l.handshake(c, b)
	}
	if c.state == stateOpen {
		l.hear(c, len(b))
		l.frames(c, b)
	}
}

// endOfStream closes a connection whose peer will send no more, once everything that waits is written. The poller lets go
// of the descriptor at the same time, so what the kernel does not take now is tried again at each tick.
func (l *loop) endOfStream(c *Conn) {
	c.half = true
	if c.out == nil && c.staged == 0 {
		l.destroy(c, ReasonEOF)
		return
	}
	if c.state == stateHandshake || c.state == stateOpen {
		l.leave(c, ReasonEOF)
		l.enter(c, stateFlush)
	}
	l.wheel.hasten(c, l.dueOf(c))
}

// frames walks the WebSocket frames in b. The fast path takes whole frames of unfragmented messages in place; everything else goes
// through the input record, piece by piece.
func (l *loop) frames(c *Conn, b []byte) {
	for len(b) > 0 && c.state == stateOpen {
		if c.in == nil {
			var done bool
			if b, done = l.wholeFrame(c, b); done {
				continue
			}
			if c.state != stateOpen {
				return
			}
			l.beginMessage(c)
		}
		b = l.piece(c, c.in, b)
		if c.in != nil && c.in.idle() {
			l.dropInput(c)
		}
	}
}

// beginMessage prepares to hold what is incomplete. From here its deadline runs.
func (l *loop) beginMessage(c *Conn) {
	c.in = l.pool.getInput()
	c.in.began = l.wheel.now
	l.wheel.hasten(c, l.messageDue(c))
}

// wholeFrame takes one frame off b if it is complete and a message or control frame of its own; done tells whether it did.
func (l *loop) wholeFrame(c *Conn, b []byte) (rest []byte, done bool) {
	h, ok := parseHeader(b)
	if !ok {
		return b, false
	}
	if v := l.checkFrame(c, &h, false, 0); v.code != 0 {
		l.violate(c, v)
		return b, false
	}
	end := int(h.size) + int(h.length)
	if !h.fin || end > len(b) {
		return b, false
	}
	payload := b[h.size:end]
	ws.Cipher(payload, h.mask, 0)
	if h.op.IsControl() {
		l.control(c, h.op, payload)
	} else if h.op == ws.OpText && !utf8.Valid(payload) {
		l.violate(c, invalidText)
	} else {
		l.message(c, h.op, payload)
	}
	return b[end:], true
}

var invalidText = violation{frame.CloseInvalidUTF8, ReasonInvalidText, "text is not UTF-8"}

// checkFrame applies the protocol's rules and then the subprotocol's to a header.
func (l *loop) checkFrame(c *Conn, h *header, inMessage bool, received int) violation {
	if v := checkHeader(h, inMessage, received, l.cfg.MaxMessage); v.code != 0 || l.cfg.Raw {
		return v
	}
	switch {
	case h.op == ws.OpText && !c.json:
		return violation{frame.CloseUnsupportedData, ReasonUnsupported, "the subprotocol is " + protocolMsgpack + ": send binary messages"}
	case h.op == ws.OpBinary && c.json:
		return violation{frame.CloseUnsupportedData, ReasonUnsupported, "the subprotocol is " + protocolJSON + ": send text messages"}
	}
	return violation{}
}

// piece takes what belongs to the present header or frame off b.
func (l *loop) piece(c *Conn, in *input, b []byte) (rest []byte) {
	if !in.inFrame {
		var ok bool
		if b, ok = l.headerPiece(c, in, b); !ok {
			return b
		}
	}
	part := b[:min(in.left, len(b))]
	ws.Cipher(part, in.cur.mask, int(in.cur.length)-in.left)
	in.left -= len(part)
	if in.cur.op.IsControl() {
		in.ctlLen += uint8(copy(in.control[in.ctlLen:], part))
	} else if !l.messagePiece(c, in, part) {
		return nil
	}
	if in.left == 0 {
		in.inFrame = false
		l.frameComplete(c, in)
	}
	return b[len(part):]
}

// headerPiece completes a header; ok is false if it is still incomplete or was refused.
func (l *loop) headerPiece(c *Conn, in *input, b []byte) (rest []byte, ok bool) {
	n := copy(in.head[in.headLen:], b)
	h, ok := parseHeader(in.head[:int(in.headLen)+n])
	if !ok {
		in.headLen += uint8(n)
		return nil, false
	}
	rest = b[int(h.size)-int(in.headLen):]
	in.headLen = 0
	if v := l.checkFrame(c, &h, in.inMsg, len(in.data)); v.code != 0 {
		l.violate(c, v)
		return nil, false
	}
	in.cur, in.left, in.inFrame, in.ctlLen = h, int(h.length), true, 0
	if !h.op.IsControl() && !in.inMsg {
		in.inMsg, in.op = true, h.op
	}
	return rest, true
}

// messagePiece adds a piece to the message under way; false if it was refused.
func (l *loop) messagePiece(c *Conn, in *input, part []byte) bool {
	if in.op == ws.OpText {
		last := in.left == 0 && in.cur.fin
		if !in.text.feed(part) || last && !in.text.done() {
			l.violate(c, invalidText)
			return false
		}
	}
	if len(part) > 0 {
		in.data = l.pool.append(in.data, part)
	}
	return true
}

// frameComplete acts on the frame that has just come to its end.
func (l *loop) frameComplete(c *Conn, in *input) {
	if in.cur.op.IsControl() {
		l.control(c, in.cur.op, in.control[:in.ctlLen])
		return
	}
	if !in.cur.fin {
		return
	}
	// Detach the message from the connection first: the handler may close it, which drops the input record.
	data, op := in.data, in.op
	in.data, in.inMsg, in.text = nil, false, textCheck{}
	l.message(c, op, data)
	l.pool.put(data)
}

// message hands a complete message to the handler.
func (l *loop) message(c *Conn, op ws.OpCode, payload []byte) {
	l.n.messagesIn++
	c.Spend(1)
	c.opcode = op
	if c.json {
		var err error
		if l.writer.fromJSON, err = frame.FromJSON(l.writer.fromJSON[:0], payload); err != nil {
			l.closeConn(c, frame.CloseProtocolError, err.Error(), ReasonInvalidText)
			return
		}
		payload = l.writer.fromJSON
		if len(payload) > l.cfg.MaxMessage { // the frames may be longer than their text
			l.closeConn(c, frame.CloseMessageTooBig, "the frames are longer than max_message", ReasonTooBig)
			return
		}
	}
	if err := l.handler.Message(c, payload); err != nil {
		l.closeFor(c, err)
	}
}

// closeFor closes with the code that the handler's error carries.
func (l *loop) closeFor(c *Conn, err error) {
	if ce, ok := errors.AsType[*CloseError](err); ok {
		l.closeConn(c, ce.Code, ce.Reason, ReasonHandler)
		return
	}
	l.log.Error("handling a message", "conn", uint64(c.id), "error", err)
	l.closeConn(c, frame.CloseRFCInternal, "internal error", ReasonHandler)
}

// control answers a control frame (RFC 6455, section 5.5).
func (l *loop) control(c *Conn, op ws.OpCode, payload []byte) {
	c.Spend(1)
	switch op {
	case ws.OpPing:
		l.stage(c, ws.OpPong, l.copied(payload))
	case ws.OpClose:
		l.closeReceived(c, payload)
	}
}

// closeReceived answers a close frame with the same code.
func (l *loop) closeReceived(c *Conn, body []byte) {
	switch {
	case len(body) == 0:
		l.stage(c, ws.OpClose, nil)
		l.leave(c, ReasonClient)
		l.enter(c, stateFlush)
	case len(body) == 1 || !validCloseCode(uint16(body[0])<<8|uint16(body[1])):
		l.violate(c, protocolError("invalid close code"))
	case !utf8.Valid(body[2:]):
		l.violate(c, violation{frame.CloseInvalidUTF8, ReasonInvalidText, "close reason is not UTF-8"})
	default:
		l.closeConn(c, uint16(body[0])<<8|uint16(body[1]), "", ReasonClient)
	}
}

// violate closes a connection that broke the rules.
func (l *loop) violate(c *Conn, v violation) { l.closeConn(c, v.code, v.text, v.reason) }

// validPrefix cuts text to at most n bytes at the end of a rune.
func validPrefix(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
