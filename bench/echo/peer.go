package echo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

// Sizes of a message: 8 bytes of number, and what servers usually take.
const (
	minSize = 8
	maxSize = 1 << 19
)

// share is what one loop has of the run. Owned by the loop; Run reads it once it is stopped.
type share struct {
	run        *run
	filler     []byte // of every message, after its number
	peers      []*peer
	rtt        *report.Latency
	stopped    bool
	echoed     int64 // since measure
	errors     int64
	firstError string
	all        int64          // echoed since the beginning
	open       int            // connections
	recent     meter.Interval // round trips since the last sample
}

// peer is one connection: if it is active, it sends numbered messages and expects them back in order.
type peer struct {
	share  *share
	conn   *client.Conn
	sent   uint64
	echoed uint64
	at     []int64 // when message n was sent, at n modulo the number in flight; empty if it is not active
}

func (s *share) add(l *client.Loop, target *client.Target, source netip.Addr, active bool) {
	cfg := &s.run.cfg
	p := &peer{share: s}
	if active {
		p.at = make([]int64, cfg.Inflight)
	}
	p.conn = l.NewConn(target, source, p)
	s.peers = append(s.peers, p)
	p.conn.Dial()
}

func (s *share) start() {
	for _, p := range s.peers {
		p.conn.Wake()
	}
}

// measure starts the measured window: what was counted before is warm-up.
func (s *share) measure() {
	s.echoed = 0
	s.rtt = report.NewLatency()
}

func (s *share) stop() { s.stopped = true }

// sample is what the share shows since the last one.
func (s *share) sample() meter.Sample {
	return meter.Sample{
		Counts:    map[string]int64{"echoed": s.all, "errors": s.errors},
		Gauges:    map[string]float64{"connections": float64(s.open)},
		Latencies: map[string]*report.Latency{"rtt": s.recent.Take()},
	}
}

func (s *share) fail(err error) {
	if s.errors++; s.firstError == "" {
		s.firstError = err.Error()
	}
}

// Opened implements client.Handler.
func (p *peer) Opened() {
	p.share.open++
	p.share.run.opened <- struct{}{}
}

// Flush fills the connection up to its number in flight.
func (p *peer) Flush() {
	if p.share.run.cfg.Burst && p.sent != p.echoed {
		return
	}
	for ; p.sent-p.echoed < uint64(len(p.at)) && !p.share.stopped; p.sent++ {
		p.at[p.sent%uint64(len(p.at))] = client.Now()
		buf := binary.LittleEndian.AppendUint64(p.conn.Begin(ws.OpBinary), p.sent)
		p.conn.End(append(buf, p.share.filler...))
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
		p.conn.Close(ws.StatusProtocolError)
		return
	}
	took := client.Now() - p.at[p.echoed%uint64(len(p.at))]
	s.rtt.Record(took)
	s.recent.Record(took)
	p.echoed++
	s.echoed++
	s.all++
	p.conn.Wake()
}

// Closed implements client.Handler. A connection that ends is not replaced: it counts as an error.
func (p *peer) Closed(err error) {
	p.share.open-- // or it never was open, which ends the run
	if !p.share.stopped {
		p.share.fail(err)
	}
	select {
	case p.share.run.failed <- err:
	default:
	}
}
