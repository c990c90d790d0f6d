package netserver

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// BenchmarkEchoTurn is one turn of the loop, with the system calls of both ends of a socket pair in it.
func BenchmarkEchoTurn(b *testing.B) {
	for _, messages := range []int{1, 16} {
		b.Run(fmt.Sprintf("messages=%d", messages), func(b *testing.B) {
			l := stoppedLoop(b, Config{Raw: true}, Echo{})
			c := pair(b, l).upgrade()
			burst := bytes.Repeat(binaryOf(string(make([]byte, 128))), messages)
			buf := make([]byte, 8192)
			b.ReportAllocs()
			for b.Loop() {
				c.turn(burst)
				c.receive(buf)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages), "ns/message")
		})
	}
}

// BenchmarkFramesOnly is the part of an echo turn that is not the kernel's: parse, unmask, handle, stage, encode.
func BenchmarkFramesOnly(b *testing.B) {
	l := stoppedLoop(b, Config{Raw: true}, Echo{})
	c := pair(b, l).upgrade()
	burst := bytes.Repeat(binaryOf(string(make([]byte, 128))), 16)
	b.ReportAllocs()
	for b.Loop() {
		l.frames(c.Conn, burst)
		l.encode(c.Conn, l.writer.staged[0].first)
		l.writer.pieces, l.writer.buf, l.writer.tail, l.writer.total = l.writer.pieces[:0], l.writer.buf[:0], false, 0
		l.writer.staged, l.writer.segments, l.writer.arena, c.staged = l.writer.staged[:0], l.writer.segments[:0], l.writer.arena[:0], 0
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*16), "ns/message")
}

// BenchmarkWakeUp is the time from Deliver to a sleeping loop until the client has the bytes, once a millisecond.
func BenchmarkWakeUp(b *testing.B) {
	for _, loops := range []int{1, 2} {
		b.Run(fmt.Sprintf("loops=%d", loops), func(b *testing.B) { wakeUps(b, loops) })
	}
}

func wakeUps(b *testing.B, loops int) {
	o := newOpened()
	s := serve(b, Config{Loops: loops}, &testHandler{open: o.open})
	c := open(b, s)
	if err := c.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	id := o.next(b)
	p := parcelFor(new(parcelOwner), []byte{0x93, 1, 2, 3}, id)
	var worst, sum time.Duration
	for range b.N {
		time.Sleep(time.Millisecond)
		start := time.Now()
		s.Deliver(id.Loop(), p)
		c.expect(ws.OpBinary, string(p.Buf))
		took := time.Since(start)
		sum, worst = sum+took, max(worst, took)
	}
	b.ReportMetric(float64(sum.Microseconds())/float64(b.N), "us/delivery")
	b.ReportMetric(float64(worst.Microseconds()), "us/worst")
}

// BenchmarkDelivery is one drain of the mailbox with 100 targets on 10 connections, the system calls included.
func BenchmarkDelivery(b *testing.B) {
	l := stoppedLoop(b, Config{}, &testHandler{})
	var conns []*pairedConn
	var ids []frame.ConnID
	for range 10 {
		conns = append(conns, pair(b, l).upgrade(wanted))
	}
	for i := range 100 {
		ids = append(ids, conns[i%10].ID())
	}
	p := parcelFor(new(parcelOwner), make([]byte, 200), ids...)
	buf := make([]byte, 8192)
	b.ReportAllocs()
	for b.Loop() {
		l.box.put(p)
		_ = l.onMailbox(nil)
		for _, c := range conns {
			c.receive(buf)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*100), "ns/target")
}
