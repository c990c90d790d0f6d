package netserver

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// maxFrameHeader is the longest client frame header: 2 bytes, 8 of length, 4 of mask.
const maxFrameHeader = 14

// header is a parsed frame header (RFC 6455, section 5.2).
type header struct {
	length uint64
	mask   [4]byte
	op     ws.OpCode
	size   uint8 // bytes of the header itself
	rsv    uint8 // the three reserved bits
	fin    bool
	masked bool
}

// parseHeader reads a frame header from the front of b; ok is false if b is too short to hold it. It accepts every bit pattern:
// what is permitted is checked elsewhere, before anything is allocated.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < 2 {
		return h, false
	}
	h.fin, h.rsv, h.op = b[0]&0x80 != 0, b[0]>>4&7, ws.OpCode(b[0]&0x0f)
	h.masked, h.length, h.size = b[1]&0x80 != 0, uint64(b[1]&0x7f), 2
	switch {
	case h.length == 126 && len(b) >= 4:
		h.length, h.size = uint64(binary.BigEndian.Uint16(b[2:])), 4
	case h.length == 127 && len(b) >= 10:
		h.length, h.size = binary.BigEndian.Uint64(b[2:]), 10
	case h.length >= 126:
		return h, false
	}
	if !h.masked {
		return h, true
	}
	if len(b) < int(h.size)+4 {
		return h, false
	}
	h.mask = [4]byte(b[h.size:])
	h.size += 4
	return h, true
}

// appendHeader appends the header of an unmasked, final server frame of n bytes.
func appendHeader(dst []byte, op ws.OpCode, n int) []byte {
	dst = append(dst, 0x80|byte(op))
	switch {
	case n <= 125:
		return append(dst, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
}

// violation is what a client did wrong, and how it is told.
type violation struct {
	code   uint16 // 0: nothing wrong
	reason Reason
	text   string
}

func protocolError(text string) violation { return violation{1002, ReasonProtocol, text} }

// checkHeader applies RFC 6455, section 5, to one header. inMessage tells that a fragmented message is under way, of which
// received bytes are already here; limit is the largest permitted message.
func checkHeader(h *header, inMessage bool, received, limit int) violation {
	switch {
	case h.rsv != 0:
		return protocolError("reserved bits are set but no extension was negotiated")
	case h.op.IsReserved():
		return protocolError("reserved opcode")
	case !h.masked:
		return protocolError("client frames must be masked")
	case h.length > 1<<63-1:
		return protocolError("the top bit of a frame length must be zero")
	case h.op.IsControl():
		return checkControl(h)
	case inMessage && h.op != ws.OpContinuation:
		return protocolError("new message before the last fragment of the one before")
	case !inMessage && h.op == ws.OpContinuation:
		return protocolError("continuation without a message")
	case h.length > uint64(limit-received):
		return violation{1009, ReasonTooBig, "message too large"}
	}
	return violation{}
}

func checkControl(h *header) violation {
	switch {
	case !h.fin:
		return protocolError("fragmented control frame")
	case h.length > ws.MaxControlFramePayloadSize:
		return protocolError("control frame over 125 bytes")
	}
	return violation{}
}

// validCloseCode tells whether a client may send this code (RFC 6455, section 7.4, and the registry of later codes).
func validCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}
