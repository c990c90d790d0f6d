package frame

import (
	"bytes"
	"testing"
)

// sample returns one frame of each type with every field set.
func sample() []parsable {
	conv, key := ID{1, 2, 3, 15: 16}, ID{0xaa, 15: 0xbb}
	message := &Message{Conv: conv, Seq: Sequence(1, 5), Prev: Sequence(1, 4), TimeMS: 1700000000000, Sender: []byte("visitor-1"), ID: key, Body: AppendText(nil, "hello")}
	details, _ := AppendBody(nil, map[string]any{"priority": 2, "subject": "a bill"})
	change := &QueueChange{Group: []byte("sales"), Version: 12, Op: QueueAdded, Total: 1, Conv: conv, Visitor: []byte("v"), SinceMS: 1700000000000, RankMS: 1699999940000, Priority: 1}
	return []parsable{
		&Heartbeat{ClientMS: 1700000000000, ServerMS: 1700000000001},
		&Hello{Ref: 1, Token: []byte("a.b.c"), Agent: []byte("go/1"), Flags: HelloList},
		&Welcome{Ref: 1, Session: key, User: []byte("v"), Role: []byte("visitor"), ServerMS: 1, ExpiresMS: 2, HeartbeatMS: 30000, MaxMessage: 65536,
			RetryMinMS: 1000, RetryMaxMS: 60000, RetryJitterMS: 1000},
		&Error{Ref: 1, Code: ErrorOverloaded, Text: []byte("try later"), RetryMS: 500},
		&Drain{DelayMS: 100, WindowMS: 5000, Target: []byte("ws://b/v1/ws")},
		&Open{Ref: 1, Key: key, Group: []byte("sales"), Details: details},
		&Conversation{Ref: 1, Conv: conv, State: StateAssigned, Group: []byte("sales"), Visitor: []byte("v"), Agent: []byte("a"), Head: 3},
		&Attach{Ref: 300, Conv: conv},
		&Resume{Ref: 300, Conv: conv, After: 70000},
		&Resumed{Ref: 300, Conv: conv, Recovered: true, After: 70000, Head: 70001, Count: 1},
		&Detach{Ref: 300, Conv: conv},
		&Close{Ref: 300, Conv: conv},
		&Reopen{Ref: 300, Conv: conv},
		&Join{Ref: 300, Conv: conv},
		&Send{Ref: 300, Conv: conv, Level: 2, ID: key, Base: Sequence(1, 4), Body: AppendText(nil, "hello")},
		&Ack{Ref: 300, Seq: Sequence(1, 5), TimeMS: 1700000000000},
		message,
		&Mark{Type: TypeDelivered, Conv: conv, Seq: 200},
		&Mark{Type: TypeRead, Conv: conv, Seq: 200},
		&Receipt{Conv: conv, User: []byte("v"), Delivered: 200, Read: 199},
		&Signal{Conv: conv, Name: []byte("typing"), Body: []byte{0xc3}},
		&Signaled{Conv: conv, Sender: []byte("v"), Name: []byte("typing"), Body: []byte{0xc3}},
		&History{Ref: 300, Conv: conv, Before: Sequence(1, 5), Limit: 50},
		&Page{Ref: 300, Conv: conv, More: true, Count: 2, Messages: message.Append(message.Append(nil))},
		&Presence{Conv: conv, User: []byte("v"), Online: true},
		&Status{Ref: 1, Status: AgentOnline, Capacity: 5, User: []byte("a")},
		&Claim{Ref: 300, Conv: conv},
		&Transfer{Ref: 300, Conv: conv, Group: []byte("sales"), Agent: []byte("a"), Front: true},
		&Hold{Ref: 300, Conv: conv, On: true},
		&Rate{Ref: 300, Conv: conv, Stars: 5, Comment: []byte("thanks")},
		&Watch{Ref: 300, Group: []byte("sales"), Limit: 50},
		&Queue{Ref: 300, Group: []byte("sales"), Version: 12, Total: 1, Count: 1, Entries: change.Append(nil)},
		change,
		&Position{Conv: conv, Group: []byte("sales"), Place: 2, Of: 7, WaitMS: 90000},
	}
}

// Next, Parse, Append, the peeks and the way to JSON and back allocate nothing.
func TestAllocatesNothing(t *testing.T) {
	batch, dst, text := []byte(nil), make([]byte, 0, 8192), make([]byte, 0, 8192)
	for _, m := range sample() {
		into := newFrame(typeOf(t, m))
		f := m.Append(nil)
		batch = append(batch, f...)
		n := testing.AllocsPerRun(100, func() {
			typ, f, _, err := Next(f)
			if err != nil || into.Parse(f) != nil {
				t.Fatal("cannot read")
			}
			dst = into.Append(dst[:0])
			PeekConv(typ, f)
			PeekRef(f)
			Droppable(f)
		})
		if n != 0 || !bytes.Equal(dst, f) {
			t.Errorf("%T: %v allocations, wrote %x, want %x", m, n, dst, f)
		}
	}
	n := testing.AllocsPerRun(100, func() {
		text, _ = AppendJSON(text[:0], batch)
		dst, _ = FromJSON(dst[:0], text)
	})
	if n != 0 || !bytes.Equal(dst, batch) {
		t.Errorf("JSON: %v allocations; %s", n, text)
	}
}

func typeOf(t testing.TB, m parsable) Type {
	t.Helper()
	typ, _, _, err := Next(m.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func BenchmarkMessage(b *testing.B) {
	m := Message{Conv: ID{1}, Seq: 1 << 20, Prev: 1<<20 - 1, TimeMS: 1700000000000, Sender: []byte("visitor-1"), ID: ID{2}, Body: AppendText(nil, bytes.Repeat([]byte{'x'}, 128))}
	f := m.Append(nil)
	b.Run("next", func(b *testing.B) {
		for b.Loop() {
			Next(f)
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			m.Parse(f)
		}
	})
	b.Run("append", func(b *testing.B) {
		dst := make([]byte, 0, 512)
		for b.Loop() {
			dst = m.Append(dst[:0])
		}
	})
	b.Run("json", func(b *testing.B) {
		dst := make([]byte, 0, 512)
		for b.Loop() {
			dst, _ = AppendJSON(dst[:0], f)
		}
	})
	b.Run("fromjson", func(b *testing.B) {
		text, _ := AppendJSON(nil, f)
		dst := make([]byte, 0, 512)
		for b.Loop() {
			dst, _ = FromJSON(dst[:0], text)
		}
	})
}

func BenchmarkSend(b *testing.B) {
	m := Send{Ref: 300, Conv: ID{1}, Level: 2, ID: ID{2}, Base: 1 << 20, Body: AppendText(nil, bytes.Repeat([]byte{'x'}, 128))}
	f := m.Append(nil)
	b.Run("next+parse", func(b *testing.B) {
		for b.Loop() {
			_, f, _, _ := Next(f)
			m.Parse(f)
		}
	})
	b.Run("peek", func(b *testing.B) {
		for b.Loop() {
			PeekConv(TypeSend, f)
		}
	})
}

func BenchmarkAck(b *testing.B) {
	m := Ack{Ref: 300, Seq: 1 << 20, TimeMS: 1700000000000}
	dst := make([]byte, 0, 64)
	for b.Loop() {
		dst = m.Append(dst[:0])
	}
}
