package oracle

import (
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// sent is message i of a stream with the sequence and the one before it.
func sent(i, seq, prev uint64) *frame.Message {
	tag := Tag{Run: 5, Index: i, Due: 7}
	return &frame.Message{Seq: seq, Prev: prev, ID: tag.ID(), Body: AppendBody(nil, &tag, 64)}
}

func TestStreams(t *testing.T) {
	type step struct{ index, seq, prev uint64 }
	for name, c := range map[string]struct {
		steps    []step
		accepted uint64
		want     map[Kind]int64
	}{
		"in order":     {[]step{{0, 3, 2}, {1, 4, 3}, {2, 5, 4}}, 3, nil},
		"the last two": {[]step{{0, 3, 2}}, 3, map[Kind]int64{Lost: 2}},
		"a gap":        {[]step{{0, 3, 2}, {2, 5, 4}}, 3, map[Kind]int64{Lost: 1, BadSequence: 1}},
		"twice":        {[]step{{0, 3, 2}, {0, 4, 3}}, 1, map[Kind]int64{Duplicated: 1}},
		"swapped":      {[]step{{1, 4, 3}, {0, 3, 2}}, 2, map[Kind]int64{Reordered: 2, BadSequence: 1}},
	} {
		s := Stream{Number: 4}
		s.Attached(2)
		var l Ledger
		for _, step := range c.steps {
			if due, fresh := s.Received(&l, 5, 64, sent(step.index, step.seq, step.prev)); fresh && due != 7 {
				t.Errorf("%s: due %d", name, due)
			}
		}
		s.Finish(&l, c.accepted)
		for k := range kinds {
			if l.Count(k) != c.want[k] {
				t.Errorf("%s: %d %s, want %d: %v", name, l.Count(k), k, c.want[k], l.Cases)
			}
		}
	}
}

func TestAlteredBodiesOfAStream(t *testing.T) {
	var l Ledger
	s := Stream{}
	m := sent(0, 1, 0)
	m.Body[30] ^= 1
	if _, fresh := s.Received(&l, 5, 64, m); fresh || l.Count(Altered) != 1 {
		t.Error(l)
	}
	if _, fresh := s.Received(&l, 6, 64, sent(1, 2, 1)); fresh || l.Count(Altered) != 2 {
		t.Error("another run's message passed", l)
	}
	other := Stream{Pair: 9}
	if _, fresh := other.Received(&l, 5, 64, sent(0, 1, 0)); fresh || l.Count(Misdelivered) != 1 {
		t.Error("a message of another conversation passed", l)
	}
	event := &frame.Message{Seq: 3, Prev: 2, Kind: frame.KindEvent}
	if _, fresh := s.Received(&l, 5, 64, event); fresh || l.Total() != 3 || s.Known() != 3 {
		t.Error(l, s.Known())
	}
}
