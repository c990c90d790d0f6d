package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// TestSlowReaderResumes resumes two conversations that hold many times the bytes that may wait for a connection. The client takes its time,
// and must get every message: a replay goes at the pace of its reader, who is not closed as a slow consumer.
func TestSlowReaderResumes(t *testing.T) {
	const each, size = 800, 8 << 10
	i := newInstallation(t)
	i.start()
	writer := i.login("slow", frame.RoleVisitor)
	convs := []frame.ID{writer.open(1), writer.open(2)}
	for _, conv := range convs {
		for range each / 4 {
			for range 4 {
				m := frame.Send{Ref: 7, Conv: conv, Level: 1, Body: frame.AppendText(nil, strings.Repeat("x", size))}
				writer.frames(m.Append(nil))
			}
			for range 4 {
				writer.expect(frame.TypeAck)
			}
		}
	}
	reader := i.login("slow", frame.RoleVisitor)
	if err := reader.conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	var both []byte
	for _, conv := range convs {
		both = (&frame.Resume{Ref: 8, Conv: conv}).Append(both)
	}
	reader.frames(both)
	time.Sleep(time.Second)
	last := map[frame.ID]uint64{}
	for last[convs[0]] <= each || last[convs[1]] <= each { // the event that opened it is the first
		var m frame.Message
		if err := m.Parse(reader.expect(frame.TypeMessage)); err != nil {
			t.Fatal(err)
		}
		if m.Prev != last[m.Conv] {
			t.Fatalf("%d follows %d", m.Seq, last[m.Conv])
		}
		last[m.Conv] = m.Seq
	}
}
