package oracle

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Reader is one user's sight of a Talk: of the visitor, or of an agent from when it was given the conversation until it is told that somebody
// else has it. An agent who gets it a second time has a second Reader. What it sends is of the Talk; see Pair for the methods of that.
type Reader struct {
	talk  *Talk
	name  string
	side  Direction
	chain chain
	told  uint64    // agent: the head when it was told that it has the conversation; what is below happened before its time
	until uint64    // agent: the sequence of the event that took the conversation from it; 0: none did
	end   uint64    // agent: the sequence of the event that closed the conversation, after which it is shown no more
	next  [2]uint64 // of each direction, one more than the highest index that arrived
	got   [2]bits   // the indices that arrived
	gone  bool      // it left before it was shown everything
	later []uint64  // agent: what came after until; bounded by what the server sends until the detach is done
	claim uint64    // the sequence that a repeated request was answered with, which may or may not come as a message
}

// bits is a set of small numbers.
type bits []uint64

func (b bits) has(i uint64) bool { return i/64 < uint64(len(b)) && b[i/64]&(1<<(i%64)) != 0 }

func (b *bits) add(i uint64) {
	for uint64(len(*b)) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

// Known is the last sequence up to which the user has seen everything: what it resumes after.
func (r *Reader) Known() uint64 { return r.chain.last }

// Has tells whether everything that was added to the other direction, and not given up, was accepted and has arrived.
func (r *Reader) Has() bool {
	d := r.side.Other()
	f := &r.talk.flows[d]
	for i := r.next[d]; i < f.next; i++ {
		if f.at(i).state&givenUp == 0 {
			return false
		}
	}
	return f.unacked == 0
}

// Lost tells whether the user was shown that somebody else has the conversation now.
func (r *Reader) Lost() bool { return r.until != 0 }

// Acked takes an ack of a message. ok is false if it is a violation; else due is when the message was to be sent.
func (r *Reader) Acked(index, seq uint64) (due int64, ok bool) {
	t, f := r.talk, &r.talk.flows[r.side]
	if !f.holds(index) || f.at(index).state&acked != 0 {
		t.ledger.violation(BadAck, t.number, "%s message %d: ack with sequence %d for what was acknowledged before or never sent", r.side, index, seq)
		return 0, false
	}
	m := f.at(index)
	t.ledger.Accepted++
	t.name(r.side, index, seq, "its ack")
	if m.state&givenUp == 0 {
		f.unacked--
	}
	if m.state&(replayed|givenUp) == 0 {
		r.own(seq)
	}
	m.state = m.state&^(inAir|givenUp) | acked
	return m.Due, true
}

// own takes a sequence that is the user's own, and does not come as a message.
func (r *Reader) own(seq uint64) {
	if wrong := r.chain.acked(seq); wrong != "" {
		r.talk.ledger.violation(BadSequence, r.talk.number, "an ack to %s with sequence %d: %s", r.name, seq, wrong)
	}
}

// Ended takes the ack of the user's own close, whose event is not sent to it. Again says that the close was asked for before, so that
// the sequence may be of that one, or only the head.
func (r *Reader) Ended(seq uint64, again bool) {
	if r.side == FromVisitor {
		r.talk.agent = ""
	}
	switch {
	case !again:
		r.own(seq)
	case seq > r.chain.last:
		r.claim = seq
	}
	r.end = seq
}

// Next takes the next message that the user has to hand to its connection; see Pair.Next.
func (r *Reader) Next() (index uint64, m *Message) {
	return r.talk.flows[r.side].pending(r.chain.last)
}

// HandedOver says that the message from Next was written; Next goes on with the one after it.
func (r *Reader) HandedOver(index uint64) { r.talk.flows[r.side].handedOver(index) }

// UnderWay tells whether messages are on the present connection that are not answered.
func (r *Reader) UnderWay() bool { return r.talk.flows[r.side].underWay() }

// Tag is the tag of a message that was added.
func (r *Reader) Tag(index uint64) Tag {
	t := r.talk
	return Tag{Run: t.run, Pair: uint32(t.number), Direction: r.side, Index: index, Due: t.flows[r.side].at(index).Due}
}

// Refused takes an error that allows a retry.
func (r *Reader) Refused(index uint64) {
	t, f := r.talk, &r.talk.flows[r.side]
	if !f.holds(index) || f.at(index).state&inAir == 0 {
		t.ledger.violation(BadAck, t.number, "%s message %d: refused, but was answered before or never sent", r.side, index)
		return
	}
	f.at(index).state &^= inAir
	f.cursor = min(f.cursor, index)
}

// Disconnected makes everything that the user sent and that was not answered wait to be sent again.
func (r *Reader) Disconnected() { r.talk.flows[r.side].disconnected() }

// Leave says that the user is shown no more, and sends no more. What it sent and nobody answered may or may not have been stored.
func (r *Reader) Leave() {
	f := &r.talk.flows[r.side]
	for i := f.first; i < f.next; i++ {
		if m := f.at(i); m.state&(acked|givenUp) == 0 {
			m.state = m.state&^inAir | givenUp
			f.unacked--
			r.gone = true
		}
	}
}

// Cut says that the user was told by another way than an event that the conversation is not its own any more, so that it may not have seen
// what came before that.
func (r *Reader) Cut() {
	r.gone = true
	r.until = max(r.until, r.chain.last, 1)
	r.Leave()
}

// Unrecovered says that the user was told it cannot have what it missed, or that the conversation is gone.
func (r *Reader) Unrecovered(detail string) {
	r.talk.ledger.violation(Unrecovered, r.talk.number, "%s resumed after sequence %d: %s", r.name, r.chain.last, detail)
}

// Received takes a message that came to the user. fresh is true if it is the other side's and arrived there for the first time; due is then
// when it was to be sent. Of an event it returns what it tells, but to an agent nothing of what was before its time.
func (r *Reader) Received(m *frame.Message) (due int64, fresh bool, event Event) {
	t := r.talk
	switch {
	case m.Conv != t.conv:
		t.ledger.violation(Misdelivered, t.number, "%s got a message of conversation %s", r.name, m.Conv)
	case r.until != 0 && m.Seq > r.until:
		r.later = append(r.later, m.Seq)
	case m.Kind == frame.KindEvent:
		if r.link(m) {
			event = r.event(m)
		}
	default:
		due, fresh = r.message(m)
	}
	return due, fresh, event
}

// event takes an event.
func (r *Reader) event(m *frame.Message) (e Event) {
	t := r.talk
	if err := frame.DecodeBody(m.Body, &e); err != nil {
		t.ledger.violation(Altered, t.number, "%s got an event with sequence %d that is none: %v", r.name, m.Seq, err)
		return e
	}
	switch {
	case r.side == FromVisitor:
		t.event(&e, m.Seq)
	case m.Seq <= r.told:
		return Event{}
	case e.Name == "closed":
		r.end = m.Seq
	case e.Name == "queued" || e.Name == "assigned" && e.Agent != r.name:
		r.until = m.Seq
	}
	return e
}

// message takes what a participant wrote.
func (r *Reader) message(m *frame.Message) (due int64, fresh bool) {
	t := r.talk
	tag, ok := ParseBody(m.Body, t.size)
	switch {
	case !ok || m.ID != tag.ID():
		t.ledger.violation(Altered, t.number, "%s got sequence %d, id %s, %d bytes: not a body that was sent", r.name, m.Seq, m.ID, len(m.Body))
		return 0, false
	case tag.Run != t.run || int(tag.Pair) != t.number || tag.Direction > FromAgent || string(m.Sender) != t.sender(tag.Direction, tag.Index):
		t.ledger.violation(Misdelivered, t.number, "%s got message %d of the %s of conversation %d from %q", r.name, tag.Index, tag.Direction, tag.Pair, m.Sender)
		return 0, false
	case tag.Index >= t.flows[tag.Direction].next:
		t.ledger.violation(Altered, t.number, "%s got message %d of the %s, only %d were sent", r.name, tag.Index, tag.Direction, t.flows[tag.Direction].next)
		return 0, false
	case r.got[tag.Direction].has(tag.Index):
		t.ledger.violation(Duplicated, t.number, "%s got message %d of the %s again, with sequence %d", r.name, tag.Index, tag.Direction, m.Seq)
		return 0, false
	case tag.Index < r.next[tag.Direction]:
		t.ledger.violation(Reordered, t.number, "%s got message %d of the %s, sequence %d, after message %d", r.name, tag.Index, tag.Direction, m.Seq, r.next[tag.Direction]-1)
	}
	return r.arrived(&tag, m)
}

// arrived takes a message that is as it should be.
func (r *Reader) arrived(tag *Tag, m *frame.Message) (due int64, fresh bool) {
	t, d := r.talk, tag.Direction
	r.got[d].add(tag.Index)
	r.next[d] = max(r.next[d], tag.Index+1)
	msg := t.flows[d].at(tag.Index)
	if tag.Due != msg.Due {
		t.ledger.violation(Altered, t.number, "%s got message %d of the %s with another time", r.name, tag.Index, d)
	}
	t.name(d, tag.Index, m.Seq, "its delivery")
	if d != r.side {
		r.link(m)
		if msg.state&delivered != 0 {
			return 0, false // another agent had it before
		}
		msg.state |= delivered
		t.ledger.Delivered++
		return msg.Due, true
	}
	if msg.state&acked == 0 {
		msg.state |= replayed
	}
	if m.Seq > r.chain.last { // else it was accounted for by its ack
		r.link(m)
	}
	return 0, false
}

// link checks the numbers of a message that arrived, and tells whether it is a new one.
func (r *Reader) link(m *frame.Message) bool {
	last := r.chain.last
	wrong := r.chain.received(m.Seq, m.Prev)
	if wrong == "" {
		return true
	}
	kind := BadSequence
	if m.Seq <= last {
		kind = Reordered
	}
	r.talk.ledger.violation(kind, r.talk.number, "%s got sequence %d, prev %d, after %d: %s", r.name, m.Seq, m.Prev, last, wrong)
	return m.Seq > last
}

// finish judges what the user never got, and what it should not have got.
func (r *Reader) finish() {
	t := r.talk
	if r.side == FromAgent && !t.blind {
		r.finishAgent()
	}
	if r.gone {
		return
	}
	for _, seq := range r.chain.missing {
		if seq != r.claim {
			t.ledger.violation(BadSequence, t.number, "%s never got sequence %d (%d are missing)", r.name, seq, len(r.chain.missing))
			break
		}
	}
	d := r.side.Other()
	f := &t.flows[d]
	for i := f.first; i < f.next; i++ {
		if m := f.at(i); m.state&acked != 0 && !r.got[d].has(i) && m.seq <= r.bound() {
			t.ledger.violation(Lost, t.number, "%s message %d, accepted with sequence %d, to %s", d, i, m.seq, r.name)
		}
	}
}

// bound is the last sequence that the user is to be shown.
func (r *Reader) bound() uint64 {
	switch {
	case r.side == FromVisitor:
		return never
	case r.until != 0:
		return r.until
	case r.end != 0:
		return r.end
	case r.name == at(r.talk.given, never):
		return never
	}
	return 0 // it was not told, which is another violation
}

// never is a sequence beyond all.
const never = ^uint64(0)

// finishAgent compares what an agent saw with what the visitor was told of its agents.
func (r *Reader) finishAgent() {
	t := r.talk
	mine := func(g turn) bool { return g.agent == r.name }
	last := at(t.given, never)
	switch {
	case !slices.ContainsFunc(t.given, mine):
		t.ledger.violation(Misassigned, t.number, "%s was told that it has the conversation, which was never given to it", r.name)
	case r.until == 0 && r.end == 0 && !r.gone && r.name != last:
		t.ledger.violation(Misassigned, t.number, "%s was never told that %s has it instead", r.name, last)
	}
	for _, seq := range r.later {
		if now := at(t.given, seq); now != r.name { // else it got it back, and was still attached
			t.ledger.violation(Misdelivered, t.number, "%s got sequence %d, and %q has the conversation since sequence %d", r.name, seq, now, r.until)
		}
	}
}
