package oracle

import (
	"encoding/binary"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// past keeps the sequences of one direction's messages in the order of their indices, as differences: one to two bytes for each, and nine where the
// sequence begins a new epoch.
type past struct {
	deltas []byte
	last   uint64
	count  uint64
}

func (p *past) add(seq uint64) {
	p.deltas = binary.AppendVarint(p.deltas, int64(seq-p.last))
	p.last = seq
	p.count++
}

// each are the sequences by index, with room for more.
func (p *past) each(more uint64) []uint64 {
	seqs := make([]uint64, 0, p.count+more)
	seq, rest := uint64(0), p.deltas
	for len(rest) > 0 {
		delta, n := binary.Varint(rest)
		seq, rest = seq+uint64(delta), rest[n:]
		seqs = append(seqs, seq)
	}
	return seqs
}

// Past is what the history of a conversation has to hold after a run: every message that was accepted, once, unaltered and in order, with the sequence
// that its ack named. One that was neither accepted nor refused may be there, once. Immutable.
type Past struct {
	pair int
	run  uint32
	size int
	conv frame.ID
	kept [2]past
	rest [2][]uint64 // of the messages that follow, which were not settled: the sequence of one that was accepted, or 0

	sender func(d Direction, index uint64) string // who wrote a message
}

// Remember makes the pair keep what Past needs, from now on: before the first Add. It costs one to two bytes for each message.
func (p *Pair) Remember() {
	for d := range p.flows {
		p.flows[d].past = &past{}
	}
}

// Past returns what the history must hold, of a pair that was told to Remember; nil of another. Call it after Finish; the pair must not be used
// any more.
func (p *Pair) Past() *Past {
	if p.flows[0].past == nil {
		return nil
	}
	names := p.names
	past := &Past{pair: p.number, run: p.run, size: p.size, conv: p.conv, sender: func(d Direction, _ uint64) string { return names[d] }}
	for d := range p.flows {
		past.kept[d] = *p.flows[d].past
		past.rest[d] = p.flows[d].sequences()
	}
	return past
}

// Past returns what the history must hold. Call it after Finish.
func (t *Talk) Past() *Past {
	visitor, turns := t.visitor, slices.Clone(t.turns)
	past := &Past{pair: t.number, run: t.run, size: t.size, conv: t.conv, sender: func(d Direction, index uint64) string {
		if d == FromVisitor {
			return visitor
		}
		return at(turns, index)
	}}
	for d := range t.flows {
		past.rest[d] = t.flows[d].sequences()
	}
	return past
}

// sequences are those of the messages in the ring: of one that was accepted, or 0.
func (f *flow) sequences() []uint64 {
	seqs := make([]uint64, 0, f.next-f.first)
	for i := f.first; i < f.next; i++ {
		seq := uint64(0)
		if m := f.at(i); m.state&acked != 0 {
			seq = m.seq
		}
		seqs = append(seqs, seq)
	}
	return seqs
}

// Conv is the conversation; zero if it was never opened.
func (p *Past) Conv() frame.ID { return p.conv }

// Accepted is how many messages must be there.
func (p *Past) Accepted() (n int64) {
	for d := range p.kept {
		n += int64(p.kept[d].count)
		for _, seq := range p.rest[d] {
			if seq != 0 {
				n++
			}
		}
	}
	return n
}

// Reading compares a history with the Past, message by message from the oldest on. Owned by one goroutine.
type Reading struct {
	past    *Past
	ledger  *Ledger
	last    uint64      // sequence of the last message or event
	seqs    [2][]uint64 // by index; 0: not accepted
	seen    [2][]bool   // by index
	highest [2]uint64   // the highest index read, plus one
	holes   []hole
}

// hole is a message that names another one before it than the one that came. Where a message is missing, that is no second violation.
type hole struct{ last, prev, seq uint64 }

// Read begins a reading, which writes what is wrong to the ledger.
func (p *Past) Read(l *Ledger) *Reading {
	r := &Reading{past: p, ledger: l}
	for d := range p.kept {
		r.seqs[d] = append(p.kept[d].each(uint64(len(p.rest[d]))), p.rest[d]...)
		r.seen[d] = make([]bool, len(r.seqs[d]))
	}
	return r
}

// Conv is the conversation.
func (r *Reading) Conv() frame.ID { return r.past.conv }

// Last is the sequence after which the next page follows.
func (r *Reading) Last() uint64 { return r.last }

func (r *Reading) violation(k Kind, format string, args ...any) {
	r.ledger.violation(k, r.past.pair, format, args...)
}

// Message takes the next one.
func (r *Reading) Message(m *frame.Message) {
	if m.Conv != r.past.conv {
		r.violation(HistoryMisplaced, "sequence %d is of conversation %s", m.Seq, m.Conv)
		return
	}
	r.link(m)
	if m.Kind == frame.KindEvent {
		return
	}
	tag, ok := ParseBody(m.Body, r.past.size)
	if !ok || m.ID != tag.ID() {
		r.violation(HistoryAltered, "sequence %d, id %s, %d bytes: not a body that was sent", m.Seq, m.ID, len(m.Body))
		return
	}
	if tag.Run != r.past.run || int(tag.Pair) != r.past.pair || tag.Direction > FromAgent || string(m.Sender) != r.past.sender(tag.Direction, tag.Index) {
		r.violation(HistoryMisplaced, "sequence %d is message %d of the %s of pair %d, and said to be from %q", m.Seq, tag.Index, tag.Direction, tag.Pair, m.Sender)
		return
	}
	r.own(&tag, m.Seq)
}

// link checks the numbers of a message or event: it follows the last one and names it.
func (r *Reading) link(m *frame.Message) {
	switch {
	case m.Seq <= r.last:
		r.violation(HistoryReordered, "sequence %d after %d", m.Seq, r.last)
	case m.Prev != r.last:
		r.holes = append(r.holes, hole{r.last, m.Prev, m.Seq})
	}
	r.last = max(r.last, m.Seq)
}

// own takes a message of the conversation.
func (r *Reading) own(tag *Tag, seq uint64) {
	d, seen := tag.Direction, r.seen[tag.Direction]
	switch {
	case tag.Index >= uint64(len(seen)):
		r.violation(HistoryAltered, "sequence %d is message %d of the %s, only %d were sent", seq, tag.Index, d, len(seen))
		return
	case seen[tag.Index]:
		r.violation(HistoryDuplicated, "%s message %d again, with sequence %d", d, tag.Index, seq)
		return
	case tag.Index < r.highest[d]:
		r.violation(HistoryReordered, "%s message %d, sequence %d, after message %d", d, tag.Index, seq, r.highest[d]-1)
	}
	seen[tag.Index] = true
	r.highest[d] = max(r.highest[d], tag.Index+1)
	if acked := r.seqs[d][tag.Index]; acked != 0 && acked != seq {
		r.violation(HistoryBadSequence, "%s message %d has sequence %d, and %d by its ack", d, tag.Index, seq, acked)
	}
}

// Finish judges what was accepted and never came. Call it once, after the last message.
func (r *Reading) Finish() {
	var missing []uint64
	for d := FromVisitor; d <= FromAgent; d++ {
		for index, seq := range r.seqs[d] {
			if seq != 0 && !r.seen[d][index] {
				r.violation(NotInHistory, "%s message %d, accepted with sequence %d", d, index, seq)
				missing = append(missing, seq)
			}
		}
	}
	slices.Sort(missing)
	for _, h := range r.holes {
		if first, _ := slices.BinarySearch(missing, h.last+1); first == len(missing) || missing[first] > h.prev {
			r.violation(HistoryBadSequence, "sequence %d names %d as the one before it, but %d was", h.seq, h.prev, h.last)
		}
	}
}

// Unread says that the history could not be read, so that nothing is known of it.
func (r *Reading) Unread(why error) {
	r.violation(HistoryUnread, "after sequence %d: %v", r.last, why)
}
