package oracle

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const size = 64

// server is an obvious in-memory server for one pair: a log, and a cursor for each side. Its faults are up to the test.
type server struct {
	t      *testing.T
	ledger Ledger
	pair   *Pair
	conv   frame.ID
	log    []frame.Message
	seen   map[frame.ID]uint64
	at     [2]int // how much of the log each side got
}

func newServer(t *testing.T) *server {
	s := &server{t: t, conv: frame.ID{7}, seen: map[frame.ID]uint64{}}
	s.pair = NewPair(&s.ledger, 9, 3, size, "v", "a")
	s.event("opened")
	s.at[FromVisitor] = 1
	s.pair.Opened(s.conv)
	s.pair.Attached(FromVisitor, 1)
	return s
}

func (s *server) event(name string) {
	s.append(frame.Message{Kind: frame.KindEvent, Body: frame.AppendEvent(nil, name)})
}

func (s *server) append(m frame.Message) uint64 {
	m.Conv, m.Prev, m.Seq = s.conv, uint64(len(s.log)), uint64(len(s.log)+1)
	s.log = append(s.log, m)
	return m.Seq
}

// take accepts what a side has to send and returns an ack for each, as pairs of index and sequence.
func (s *server) take(d Direction) (acks [][2]uint64) {
	for index, m := s.pair.Next(d); m != nil; index, m = s.pair.Next(d) {
		tag := s.pair.Tag(d, index)
		s.pair.HandedOver(d, index)
		id := tag.ID()
		if s.seen[id] == 0 {
			s.seen[id] = s.append(frame.Message{Sender: []byte([]string{"v", "a"}[d]), ID: id, Body: AppendBody(nil, &tag, size)})
		}
		acks = append(acks, [2]uint64{index, s.seen[id]})
	}
	return acks
}

func (s *server) ack(d Direction, acks [][2]uint64) {
	for _, a := range acks {
		s.pair.Acked(d, a[0], a[1])
	}
}

// deliver gives a side the rest of the log; own messages only in a replay.
func (s *server) deliver(d Direction, replay bool) {
	for ; s.at[d] < len(s.log); s.at[d]++ {
		m := s.log[s.at[d]]
		if own := string(m.Sender) == []string{"v", "a"}[d]; !own || replay {
			s.pair.Received(d, &m)
		}
	}
}

func (s *server) add(d Direction, n int) {
	for range n {
		s.pair.Add(d, int64(len(s.log)))
	}
}

func (s *server) exchange(d Direction, n int) {
	s.add(d, n)
	s.ack(d, s.take(d))
	s.deliver(d.Other(), false)
}

func (s *server) want(k Kind, n int64) {
	s.t.Helper()
	s.pair.Finish()
	if s.ledger.Count(k) != n || s.ledger.Total() != n {
		s.t.Errorf("%d of %s, %d in all, want %d: %v", s.ledger.Count(k), k, s.ledger.Total(), n, s.ledger.Cases)
	}
}

func TestAPerfectServerHasNoViolations(t *testing.T) {
	s := newServer(t)
	s.exchange(FromVisitor, 5)
	s.exchange(FromAgent, 7)
	s.event("assigned")
	s.exchange(FromVisitor, 1)
	s.deliver(FromVisitor, false)
	s.want(Lost, 0)
	if s.ledger.Sent != 13 || s.ledger.Accepted != 13 || s.ledger.Delivered != 13 || s.ledger.Settled != 13 {
		t.Errorf("%+v", s.ledger)
	}
}

// TestFaultsAreFound has one fault of a server in each case.
func TestFaultsAreFound(t *testing.T) {
	cases := []struct {
		name  string
		kind  Kind
		fault func(s *server)
	}{
		{"the last message is not delivered", Lost, func(s *server) { s.at[FromAgent] = len(s.log) }},
		{"a message is delivered twice", Duplicated, func(s *server) {
			s.deliver(FromAgent, false)
			s.pair.Received(FromAgent, &s.log[len(s.log)-1])
		}},
		{"an old message is delivered again", Duplicated, func(s *server) {
			s.deliver(FromAgent, false)
			s.pair.Received(FromAgent, &s.log[1])
		}},
		{"a bit flips", Altered, func(s *server) {
			m := &s.log[len(s.log)-1]
			m.Body = bytes.Clone(m.Body)
			m.Body[size/2] ^= 4
			s.deliver(FromAgent, false)
			m.Body[size/2] ^= 4
			s.pair.Received(FromAgent, m)
		}},
		{"a body is cut", Altered, func(s *server) {
			m := s.log[len(s.log)-1]
			m.Body = m.Body[:10]
			s.pair.Received(FromAgent, &m)
			s.deliver(FromAgent, false)
		}},
		{"a message has another's id", Altered, func(s *server) {
			m := s.log[len(s.log)-1]
			m.ID[15]++
			s.pair.Received(FromAgent, &m)
			s.deliver(FromAgent, false)
		}},
		{"a message of another conversation", Misdelivered, func(s *server) {
			m := s.log[len(s.log)-1]
			m.Conv = frame.ID{8}
			s.pair.Received(FromAgent, &m)
			s.deliver(FromAgent, false)
		}},
		{"a message of another pair", Misdelivered, func(s *server) {
			tag := Tag{Run: 9, Pair: 4, Index: 1}
			m := frame.Message{Conv: s.conv, Seq: 90, Prev: 89, Sender: []byte("v"), ID: tag.ID(), Body: AppendBody(nil, &tag, size)}
			s.pair.Received(FromAgent, &m)
			s.deliver(FromAgent, false)
		}},
		{"a message with another sender", Misdelivered, func(s *server) {
			m := s.log[len(s.log)-1]
			m.Sender = []byte("mallory")
			s.pair.Received(FromAgent, &m)
			s.deliver(FromAgent, false)
		}},
		{"an ack comes twice", BadAck, func(s *server) {
			s.pair.Acked(FromVisitor, 2, 4)
			s.deliver(FromAgent, false)
		}},
		{"an ack for what was never sent", BadAck, func(s *server) {
			s.pair.Acked(FromVisitor, 77, 78)
			s.deliver(FromAgent, false)
		}},
		{"a message is never answered", Unanswered, func(s *server) {
			s.deliver(FromAgent, false)
			s.add(FromVisitor, 1)
			s.take(FromVisitor)
			s.log = s.log[:len(s.log)-1]
		}},
		{"two messages share a sequence", BadSequence, func(s *server) {
			s.deliver(FromAgent, false)
			s.add(FromVisitor, 1)
			s.take(FromVisitor)
			s.pair.Acked(FromVisitor, 3, 2)
			s.pair.chains[FromVisitor].missing = nil
			s.log[len(s.log)-1].Seq = 2
			tag := s.pair.Tag(FromVisitor, 3)
			s.pair.delivered(FromAgent, &tag, &frame.Message{Seq: 5, Prev: 4})
		}},
		{"a message is not in the log any more", BadSequence, func(s *server) {
			s.deliver(FromAgent, false)
			s.event("lost")
			s.event("assigned")
			s.at[FromAgent]++
			s.deliver(FromAgent, false)
		}},
		{"a resume is refused", Unrecovered, func(s *server) {
			s.deliver(FromAgent, false)
			s.pair.Unrecovered(FromAgent, "head 4")
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.add(FromVisitor, 3)
			s.ack(FromVisitor, s.take(FromVisitor))
			if c.kind == Lost { // deliver all but the last
				last := s.log[len(s.log)-1]
				s.log = s.log[:len(s.log)-1]
				s.deliver(FromAgent, false)
				s.log = append(s.log, last)
			}
			c.fault(s)
			s.pair.Finish()
			if s.ledger.Count(c.kind) == 0 {
				t.Errorf("no %s found: %v", c.kind, s.ledger.Cases)
			}
			if c.name != "two messages share a sequence" && s.ledger.Total() != s.ledger.Count(c.kind) {
				t.Errorf("more than %s found: %v", c.kind, s.ledger.Cases)
			}
		})
	}
}

func TestSwappedMessagesAreReordered(t *testing.T) {
	s := newServer(t)
	s.add(FromVisitor, 3)
	s.ack(FromVisitor, s.take(FromVisitor))
	s.deliver(FromVisitor, false)
	for _, i := range []int{0, 1, 3, 2} {
		s.pair.Received(FromAgent, &s.log[i])
	}
	if s.pair.Finish(); s.ledger.Count(Reordered) == 0 {
		t.Error(s.ledger.Cases)
	}
}

func TestMessagesSequencedOutOfOrderAreReordered(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		s := newServer(t)
		s.add(FromVisitor, 2)
		first, _ := s.pair.Next(FromVisitor)
		s.pair.HandedOver(FromVisitor, first)
		if refuse {
			s.pair.Refused(FromVisitor, first)
			s.pair.flows[FromVisitor].cursor = 1
		}
		acks := s.take(FromVisitor) // the second
		s.pair.flows[FromVisitor].cursor = 0
		s.pair.flows[FromVisitor].at(0).state &^= inAir
		acks = append(acks, s.take(FromVisitor)...) // the first
		s.ack(FromVisitor, acks)
		s.deliver(FromAgent, false)
		s.want(Reordered, 1) // also whoever was told to try later may not be overtaken
	}
}

func TestLostAcksAreRepeatedWithoutViolation(t *testing.T) {
	s := newServer(t)
	s.add(FromVisitor, 4)
	acks := s.take(FromVisitor)
	s.ack(FromVisitor, acks[:1])
	s.deliver(FromAgent, false)
	s.pair.Disconnected(FromVisitor)
	if got := s.pair.Known(FromVisitor); got != 2 {
		t.Fatalf("resumes after %d, want 2", got)
	}
	s.at[FromVisitor] = 2
	s.deliver(FromVisitor, true)
	again := s.take(FromVisitor)
	if fmt.Sprint(again) != fmt.Sprint(acks[1:]) {
		t.Fatalf("resent %v, want %v", again, acks[1:])
	}
	s.ack(FromVisitor, again)
	s.want(Lost, 0)
}

func TestBaseDoesNotGrowOnARetry(t *testing.T) {
	s := newServer(t)
	s.exchange(FromVisitor, 1)
	s.add(FromVisitor, 1)
	index, m := s.pair.Next(FromVisitor)
	if m.Resent() || m.Base != 2 {
		t.Fatalf("%+v", m)
	}
	s.pair.HandedOver(FromVisitor, index)
	s.pair.Disconnected(FromVisitor)
	s.exchange(FromAgent, 3)
	if _, m = s.pair.Next(FromVisitor); !m.Resent() || m.Base != 2 {
		t.Fatalf("%+v", m)
	}
}

// TestRandomHistories drives both sides of an honest server with disconnections, acks and deliveries at random moments.
func TestRandomHistories(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		s := newServer(t)
		var waiting [2][][2]uint64 // acks on their way
		for range 300 {
			d := Direction(r.IntN(2))
			switch r.IntN(6) {
			case 0:
				s.add(d, r.IntN(5))
			case 1:
				waiting[d] = append(waiting[d], s.take(d)...)
			case 2:
				n := r.IntN(len(waiting[d]) + 1)
				s.ack(d, waiting[d][:n])
				waiting[d] = waiting[d][n:]
			case 3, 4:
				s.deliver(d, false)
			case 5:
				s.pair.Disconnected(d)
				waiting[d] = nil
				s.at[d] = int(s.pair.Known(d))
				s.deliver(d, true)
			}
		}
		for d := range Direction(2) {
			s.ack(d, waiting[d])
			s.ack(d, s.take(d))
		}
		s.deliver(0, false)
		s.deliver(1, false)
		s.want(Lost, 0)
		if t.Failed() {
			return
		}
	}
}

func TestBodies(t *testing.T) {
	for _, size := range []int{MinBody, 33, 39, 128, 255, 256, 1000, MaxBody} {
		tag := Tag{Run: 1, Pair: 2, Direction: FromAgent, Index: 3, Due: -4}
		b := AppendBody(nil, &tag, size)
		if err := frame.CheckBody(b); err != nil {
			t.Fatal(err)
		}
		if got, ok := ParseBody(b, size); !ok || got != tag {
			t.Fatalf("size %d: %+v, %t", size, got, ok)
		}
		for _, i := range []int{0, 1, 5, 20, len(b) / 2, len(b) - 1} {
			b[i] ^= 1
			if _, ok := ParseBody(b, size); ok {
				t.Errorf("size %d: byte %d changed unnoticed", size, i)
			}
			b[i] ^= 1
		}
	}
}

func FuzzParseBody(f *testing.F) {
	f.Add(AppendBody(nil, &Tag{Run: 1}, 64), 64)
	f.Add([]byte{0xc5, 1, 0}, 256)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		if size < MinBody || size > MaxBody {
			return
		}
		if tag, ok := ParseBody(b, size); ok && tag.Index>>56 != 0 {
			t.Fatal("an index beyond its bits")
		}
	})
}

func TestNothingAllocatesOnceWarm(t *testing.T) {
	s := newServer(t)
	s.deliver(FromAgent, false)
	body := make([]byte, 0, 2*size)
	message := frame.Message{Conv: s.conv, Sender: []byte("v")}
	seq := uint64(len(s.log))
	step := func() {
		s.pair.Add(FromVisitor, 5)
		index, _ := s.pair.Next(FromVisitor)
		tag := s.pair.Tag(FromVisitor, index)
		s.pair.HandedOver(FromVisitor, index)
		body = AppendBody(body[:0], &tag, size)
		message.Seq, message.Prev, message.ID, message.Body = seq+1, seq, tag.ID(), body
		seq++
		s.pair.Acked(FromVisitor, index, seq)
		s.pair.Received(FromAgent, &message)
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
	if s.ledger.Total() != 0 {
		t.Error(s.ledger.Cases)
	}
}

func BenchmarkMessage(b *testing.B) {
	var ledger Ledger
	p := NewPair(&ledger, 9, 3, 128, "v", "a")
	p.Opened(frame.ID{7})
	message := frame.Message{Conv: frame.ID{7}, Sender: []byte("v")}
	body := make([]byte, 0, 256)
	seq := uint64(0)
	for b.Loop() {
		p.Add(FromVisitor, 5)
		index, _ := p.Next(FromVisitor)
		tag := p.Tag(FromVisitor, index)
		p.HandedOver(FromVisitor, index)
		body = AppendBody(body[:0], &tag, 128)
		message.Seq, message.Prev, message.ID, message.Body = seq+1, seq, tag.ID(), body
		seq++
		p.Acked(FromVisitor, index, seq)
		p.Received(FromAgent, &message)
	}
}
