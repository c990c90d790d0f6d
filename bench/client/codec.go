package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/gobwas/ws"
)

// ErrProtocol is what a connection closes with when the server breaks RFC 6455.
var ErrProtocol = errors.New("client: the server broke the WebSocket protocol")

// ErrSubprotocol is the ErrProtocol of a server that does not speak the subprotocol.
var ErrSubprotocol = fmt.Errorf("%w: another subprotocol", ErrProtocol)

// CloseError is what a connection closes with when the server sent a close frame.
type CloseError struct {
	Code   int // 1005 if the frame carried none
	Reason string
}

// Error implements error.
func (e *CloseError) Error() string {
	return fmt.Sprintf("client: closed by the server: %d %s", e.Code, e.Reason)
}

// header is the start of a server's frame (RFC 6455, section 5.2).
type header struct {
	fin    bool
	op     ws.OpCode
	size   int // of the header itself
	length int // of the payload
}

// parseHeader reads a frame header at the start of p. ok is false while it is incomplete.
func parseHeader(p []byte, max int) (h header, ok bool, err error) {
	if len(p) < 2 {
		return h, false, nil
	}
	if p[0]&0x70 != 0 || p[1]&0x80 != 0 {
		return h, false, fmt.Errorf("%w: reserved bit or mask set in frame %x", ErrProtocol, p[:2])
	}
	h.fin, h.op = p[0]&0x80 != 0, ws.OpCode(p[0]&0x0f)
	length := uint64(p[1])
	switch h.size = 2; {
	case length == 126 && len(p) >= 4:
		h.size, length = 4, uint64(binary.BigEndian.Uint16(p[2:]))
	case length == 127 && len(p) >= 10:
		h.size, length = 10, binary.BigEndian.Uint64(p[2:])
	case length >= 126:
		return h, false, nil
	}
	if shortest := ws.HeaderSize(ws.Header{Length: int64(min(length, math.MaxInt64))}); h.size != shortest {
		return h, false, fmt.Errorf("%w: %d bytes of header for a payload of %d", ErrProtocol, h.size, length)
	}
	if h.op.IsReserved() || h.op.IsControl() && (length > ws.MaxControlFramePayloadSize || !h.fin) {
		return h, false, fmt.Errorf("%w: opcode %d, %d bytes, fin %t", ErrProtocol, h.op, length, h.fin)
	}
	if length > uint64(max) {
		return h, false, fmt.Errorf("client: the server sent a frame of %d bytes, the limit is %d", length, max)
	}
	h.length = int(length)
	return h, true, nil
}

// headerRoom is reserved before a payload is appended: 2 bytes, 2 of extended length, 4 of mask. Other lengths move the payload.
const headerRoom = 8

// finishFrame turns out[at:], headerRoom bytes and a payload, into a masked frame.
func finishFrame(out []byte, at int, op ws.OpCode, key uint32) []byte {
	n := len(out) - at - headerRoom
	ext := 2
	switch {
	case n < 126:
		ext = 0
		copy(out[at+6:], out[at+headerRoom:])
		out = out[:len(out)-2]
	case n > 0xffff:
		ext = 8
		out = append(out, 0, 0, 0, 0, 0, 0)
		copy(out[at+14:], out[at+headerRoom:len(out)-6])
	}
	out[at] = 0x80 | byte(op)
	switch ext {
	case 0:
		out[at+1] = 0x80 | byte(n)
	case 2:
		out[at+1] = 0x80 | 126
		binary.BigEndian.PutUint16(out[at+2:], uint16(n))
	case 8:
		out[at+1] = 0x80 | 127
		binary.BigEndian.PutUint64(out[at+2:], uint64(n))
	}
	mask := [4]byte{byte(key >> 24), byte(key >> 16), byte(key >> 8), byte(key)}
	copy(out[at+2+ext:], mask[:])
	ws.Cipher(out[at+6+ext:], mask, 0)
	return out
}

// parseClose reads the payload of a close frame.
func parseClose(p []byte) *CloseError {
	if len(p) < 2 {
		return &CloseError{Code: 1005}
	}
	return &CloseError{Code: int(binary.BigEndian.Uint16(p)), Reason: string(p[2:])}
}
