package echo

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/client"
)

// Sizes of a message: 8 bytes of number, and what servers usually take.
const (
	minSize = 8
	maxSize = 1 << 19
)

// peer is one connection: if it is active, it sends numbered messages and expects them back in order.
type peer struct {
	share  *share
	conn   *client.Conn
	active bool
	number int // among all active ones of the run
	sent   uint64
	echoed uint64
	gone   bool    // the connection ended or answered wrongly, which is an error already
	at     []int64 // closed loop: when message n was sent, at n modulo the number in flight
}

// Opened implements client.Handler.
func (p *peer) Opened() {
	p.share.open++
	p.share.run.opened <- struct{}{}
}

// due is when message n of the peer is to be sent, in the open loop.
func (p *peer) due(n uint64) int64 {
	at, ok := p.share.cfg.Rate.Due(int64(n)*int64(p.share.cfg.Active) + int64(p.number))
	if !ok {
		return never
	}
	return p.share.begin + at
}

// Flush sends what there is room for: in the open loop, of what is due.
func (p *peer) Flush() {
	s := p.share
	if !p.active || s.stopped || s.cfg.Burst && p.sent != p.echoed {
		return
	}
	now := client.Now()
	if !s.openLoop() && now >= s.end {
		return
	}
	for ; p.sent-p.echoed < uint64(s.cfg.Inflight); p.sent++ {
		if s.openLoop() {
			if p.due(p.sent) >= min(now, s.end) {
				return
			}
		} else {
			p.at[p.sent%uint64(len(p.at))] = now
		}
		buf := binary.LittleEndian.AppendUint64(p.conn.Begin(ws.OpBinary), p.sent)
		p.conn.End(append(buf, s.filler...))
	}
}

// Message checks one answer.
func (p *peer) Message(op ws.OpCode, payload []byte) {
	s := p.share
	if s.stopped {
		return
	}
	if op != ws.OpBinary || p.echoed == p.sent || len(payload) != minSize+len(s.filler) ||
		binary.LittleEndian.Uint64(payload) != p.echoed || !bytes.Equal(payload[minSize:], s.filler) {
		s.fail(fmt.Errorf("echo: want message %d of %d bytes back, got opcode %d with %d bytes", p.echoed, minSize+len(s.filler), op, len(payload)))
		p.gone = true
		p.conn.Close(ws.StatusProtocolError)
		return
	}
	s.answered(p)
	p.echoed++
	p.conn.Wake()
}

// Closed implements client.Handler. A connection that ends is not replaced: it counts as an error.
func (p *peer) Closed(err error) {
	p.gone = true
	p.share.open-- // or it never was open, which ends the run
	if !p.share.stopped {
		p.share.fail(err)
	}
	select {
	case p.share.run.failed <- err:
	default:
	}
}
