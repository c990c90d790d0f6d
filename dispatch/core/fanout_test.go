package core

import (
	"bytes"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestAMessageIsEncodedOnce: however many connections get a message, it stands once in the batch, the same bytes that the store keeps, and
// every delivery refers to them.
func TestAMessageIsEncodedOnce(t *testing.T) {
	h, conv := begun(t)
	const devices = 500
	for i := range devices {
		h.batched(func() {
			h.m.Frame(Origin{frame.ConnID(100 + i), h.users["v"]}, frame.TypeAttach, (&frame.Attach{Ref: 1, Conv: conv}).Append(nil), 1)
		})
	}
	body := frame.AppendText(nil, "to everybody, encoded once")
	e := h.batched(func() {
		send := frame.Send{Ref: 7, Conv: conv, Level: 2, ID: frame.ID{9}, Base: 2, Body: body}
		h.m.Frame(Origin{2, h.users["a"]}, frame.TypeSend, send.Append(nil), 1)
	})
	if n := bytes.Count(e.Buf, body); n != 1 {
		t.Errorf("the body stands %d times in the batch", n)
	}
	places := map[[2]uint32]int{}
	for _, target := range e.Targets {
		if f := e.Buf[target.Off : target.Off+target.Len]; bytes.Contains(f, body) {
			places[[2]uint32{target.Off, target.Len}]++
		}
	}
	if len(places) != 1 {
		t.Fatalf("deliveries refer to %d places: %v", len(places), places)
	}
	for place, n := range places {
		if n != devices+1 { // and the visitor's first connection
			t.Errorf("%d deliveries, want %d", n, devices+1)
		}
		for _, w := range e.Writes {
			if w.Op == PutMessages && &w.Data[0] != &e.Buf[place[0]] {
				t.Error("the store gets other bytes than the receivers")
			}
		}
	}
}
