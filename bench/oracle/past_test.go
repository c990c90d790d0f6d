package oracle

import (
	"errors"
	"slices"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// remembered is a pair with five messages of each side in its log: all accepted and delivered but the last two of the visitor, of which the one is
// accepted only, and the other stored without an ack.
func remembered(t *testing.T) *server {
	s := newServer(t)
	s.pair.Remember()
	for range 4 {
		s.add(FromVisitor, 1)
		s.ack(FromVisitor, s.take(FromVisitor))
		s.add(FromAgent, 1)
		s.ack(FromAgent, s.take(FromAgent))
		s.deliver(FromVisitor, false)
		s.deliver(FromAgent, false)
	}
	s.event("assigned")
	s.add(FromVisitor, 2)
	s.ack(FromVisitor, s.take(FromVisitor)[:1])
	return s
}

// read compares a history with what the pair remembers.
func read(s *server, history []frame.Message) *Ledger {
	l := &Ledger{}
	r := s.pair.Past().Read(l)
	for i := range history {
		r.Message(&history[i])
	}
	r.Finish()
	return l
}

func TestHistoryThatIsAsItMustBe(t *testing.T) {
	s := remembered(t)
	if past := s.pair.Past(); past.Accepted() != 9 || past.Conv() != s.conv {
		t.Errorf("%d messages of %s", past.Accepted(), past.Conv())
	}
	if l := read(s, s.log); l.Total() != 0 {
		t.Error(l.Cases)
	}
	if l := read(s, s.log[:len(s.log)-1]); l.Total() != 0 { // it was never acknowledged
		t.Error(l.Cases)
	}
	if newServer(t).pair.Past() != nil {
		t.Error("a pair that was not told to remember has a past")
	}
}

func TestWhatIsWrongInAHistory(t *testing.T) {
	for name, c := range map[string]struct {
		change func(log []frame.Message) []frame.Message
		want   Kind
		count  int64
	}{
		"the first is missing":        {func(l []frame.Message) []frame.Message { return slices.Delete(l, 1, 2) }, NotInHistory, 1},
		"the last accepted":           {func(l []frame.Message) []frame.Message { return l[:len(l)-2] }, NotInHistory, 1},
		"all are":                     {func([]frame.Message) []frame.Message { return nil }, NotInHistory, 9},
		"an event is missing":         {func(l []frame.Message) []frame.Message { return slices.Delete(l, 9, 10) }, HistoryBadSequence, 1},
		"one is there twice":          {func(l []frame.Message) []frame.Message { return renumber(slices.Insert(l, 4, l[2])) }, HistoryDuplicated, 1},
		"the unanswered one is twice": {func(l []frame.Message) []frame.Message { return renumber(append(l, l[len(l)-1])) }, HistoryDuplicated, 1},
		"a page twice":                {func(l []frame.Message) []frame.Message { return append(l, l[8]) }, HistoryReordered, 1},
		"two of a sender swapped":     {func(l []frame.Message) []frame.Message { l[1], l[3] = l[3], l[1]; return renumber(l) }, HistoryReordered, 1},
		"a bit of a body":             {func(l []frame.Message) []frame.Message { l[3].Body[20] ^= 1; return l }, HistoryAltered, 1},
		"another id":                  {func(l []frame.Message) []frame.Message { l[3].ID[0] ^= 1; return l }, HistoryAltered, 1},
		"another conversation":        {func(l []frame.Message) []frame.Message { l[3].Conv[0] ^= 1; return l }, HistoryMisplaced, 1},
		"another sender":              {func(l []frame.Message) []frame.Message { l[3].Sender = []byte("a"); return l }, HistoryMisplaced, 1},
		"another sequence":            {func(l []frame.Message) []frame.Message { l[2].Seq, l[3].Prev = 2<<37, 2<<37; return l[:3] }, HistoryBadSequence, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := remembered(t)
			l := read(s, c.change(s.log))
			if l.Count(c.want) != c.count || c.want == NotInHistory && l.Total() != c.count {
				t.Errorf("%d times %s, want %d: %v", l.Count(c.want), c.want, c.count, l.Cases)
			}
		})
	}
}

// renumber gives messages sequences in the order in which they stand.
func renumber(log []frame.Message) []frame.Message {
	for i := range log {
		log[i].Seq, log[i].Prev = uint64(i+1), uint64(i)
	}
	return log
}

func TestAHistoryThatCannotBeRead(t *testing.T) {
	l := &Ledger{}
	r := remembered(t).pair.Past().Read(l)
	r.Unread(errors.New("the server is away"))
	if l.Count(HistoryUnread) != 1 || r.Last() != 0 || r.Conv() != (frame.ID{7}) {
		t.Error(l.Cases)
	}
}

// TestPastIsSmall: a byte or two for each message, in whatever order the sides write, and exact over epochs.
func TestPastIsSmall(t *testing.T) {
	p, want := past{}, []uint64{}
	for epoch := range uint64(3) {
		for n := uint64(1); n < 2000; n += 1 + n%60 {
			want = append(want, frame.Sequence(epoch*7, n))
			p.add(want[len(want)-1])
		}
	}
	if got := p.each(0); !slices.Equal(got, want) {
		t.Error("the sequences differ")
	}
	if most := 2*len(want) + 3*10; len(p.deltas) > most {
		t.Errorf("%d bytes for %d messages", len(p.deltas), len(want))
	}
}
