package switchyard

import (
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// BenchmarkReceive is the work for one message of another user, from its bytes to the application: parse, check, copy, hand over, mark.
func BenchmarkReceive(b *testing.B) {
	s := bareSession()
	c := s.convs[testConv]
	m := text(1, "hello, this is a message of ordinary length")
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		m.Seq, m.Prev = c.track.last+1, c.track.last
		buf = m.Append(buf[:0])
		if err := s.receive(buf, time.Time{}); err != nil {
			b.Fatal(err)
		}
		if _, ok, err := s.pull(c); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// BenchmarkSend is the work for one own message: encode, keep, send, take the ack.
func BenchmarkSend(b *testing.B) {
	s := bareSession()
	c := s.convs[testConv]
	var spare batches
	var buf []byte
	body := raw("hello, this is a message of ordinary length")
	b.ReportAllocs()
	for b.Loop() {
		s.room <- struct{}{}
		p, err := s.post(c, body)
		if err != nil {
			b.Fatal(err)
		}
		spare, _ = s.due(time.Time{}, spare)
		ack := frame.Ack{Ref: p.ref, Seq: c.track.last + 1}
		buf = ack.Append(buf[:0])
		if err := s.receive(buf, time.Time{}); err != nil {
			b.Fatal(err)
		}
		if !isClosed(p.done) {
			b.Fatal("not accepted")
		}
	}
}
