package switchyard

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/gobwas/ws"
)

// keepBuffer is the largest read or write buffer that is kept for the next message.
const keepBuffer = 64 << 10

var (
	errMessageLimit = errors.New("switchyard: the server sent a message larger than Options.MaxReceive")
	errText         = errors.New("switchyard: the server sent text on a binary subprotocol")
)

// wsReader assembles WebSocket messages. Owned by the reading goroutine. https://www.rfc-editor.org/rfc/rfc6455#section-5
type wsReader struct {
	src     *bufio.Reader
	limit   int    // bytes of one message
	message []byte // fragments so far; control frames may come between them
	state   ws.State
	control [ws.MaxControlFramePayloadSize]byte
}

func newWSReader(src io.Reader, limit int) wsReader {
	return wsReader{src: bufio.NewReader(src), limit: limit, state: ws.StateClientSide}
}

// next returns the next whole binary message or control frame. The payload expires with the next call.
func (r *wsReader) next() (ws.OpCode, []byte, error) {
	for {
		h, err := ws.ReadHeader(r.src)
		if err != nil {
			return 0, nil, err
		}
		if err := ws.CheckHeader(h, r.state); err != nil {
			return 0, nil, err
		}
		if h.OpCode.IsControl() {
			payload := r.control[:h.Length]
			_, err := io.ReadFull(r.src, payload)
			return h.OpCode, payload, err
		}
		whole, err := r.data(h)
		if err != nil {
			return 0, nil, err
		}
		if whole {
			return ws.OpBinary, r.message, nil
		}
	}
}

// data reads one data frame and tells whether it completed a message.
func (r *wsReader) data(h ws.Header) (whole bool, err error) {
	if h.OpCode == ws.OpText {
		return false, errText
	}
	if h.OpCode != ws.OpContinuation {
		r.reset()
	}
	if h.Length > int64(r.limit-len(r.message)) {
		return false, fmt.Errorf("%w (%d bytes)", errMessageLimit, r.limit)
	}
	start := len(r.message)
	r.message = append(r.message, make([]byte, h.Length)...)
	if _, err := io.ReadFull(r.src, r.message[start:]); err != nil {
		return false, err
	}
	if h.Fin {
		r.state = r.state.Clear(ws.StateFragmented)
	} else {
		r.state = r.state.Set(ws.StateFragmented)
	}
	return h.Fin, nil
}

func (r *wsReader) reset() {
	if cap(r.message) > keepBuffer {
		r.message = nil
	}
	r.message = r.message[:0]
}

// appendWS appends one whole masked frame to dst.
func appendWS(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = append(dst, 0x80|byte(op))
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	var mask [4]byte
	binary.NativeEndian.PutUint32(mask[:], rand.Uint32())
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[start:], mask, 0)
	return dst
}
