package oracle

import "github.com/switchyard-im/switchyard/frame"

// Pair judges one conversation between a visitor and an agent. A side is named by the direction in which it sends.
type Pair struct {
	ledger *Ledger
	run    uint32
	number int
	size   int
	names  [2]string // of the visitor and the agent, as senders of messages
	conv   frame.ID
	flows  [2]flow
	chains [2]chain
}

// NewPair makes a judge that writes to the ledger. Size is the number of bytes of each body; visitor and agent are user names.
func NewPair(ledger *Ledger, run uint32, number, size int, visitor, agent string) *Pair {
	return &Pair{ledger: ledger, run: run, number: number, size: size, names: [2]string{visitor, agent}}
}

// Opened sets the conversation.
func (p *Pair) Opened(conv frame.ID) { p.conv = conv }

// Attached sets the sequence after which a side is going to see everything; without it that is 0.
func (p *Pair) Attached(side Direction, head uint64) { p.chains[side].last = head }

// Settled tells whether everything that was added is accepted and delivered.
func (p *Pair) Settled() bool {
	return p.flows[0].first == p.flows[0].next && p.flows[1].first == p.flows[1].next
}

// Room tells whether one more message may be added to a direction; if not, deliveries or acks are far behind.
func (p *Pair) Room(d Direction) bool { return p.flows[d].room() }

// Unacked is the number of messages of both directions that were added and not acknowledged.
func (p *Pair) Unacked() int { return p.flows[0].unacked + p.flows[1].unacked }

// Add makes the next message of a direction, to be sent at due.
func (p *Pair) Add(d Direction, due int64) {
	p.flows[d].add(Message{Due: due})
	p.ledger.Sent++
}

// Known is the last sequence up to which a side has seen everything: what it resumes after.
func (p *Pair) Known(side Direction) uint64 { return p.chains[side].last }

// Disconnected makes everything that a side sent and that was not answered wait to be sent again.
func (p *Pair) Disconnected(side Direction) { p.flows[side].disconnected() }

// Next takes the next message that a side has to hand to its connection, the oldest first; nil if there is none. It is also used for
// what was handed to an earlier connection or refused. The Message is borrowed until the next call of any method.
func (p *Pair) Next(side Direction) (index uint64, m *Message) {
	return p.flows[side].pending(p.chains[side].last)
}

// UnderWay tells whether a side has messages on its present connection that are not answered.
func (p *Pair) UnderWay(side Direction) bool { return p.flows[side].underWay() }

// HandedOver says that the message from Next was written; Next goes on with the one after it.
func (p *Pair) HandedOver(side Direction, index uint64) { p.flows[side].handedOver(index) }

// Tag is the tag of a message under way.
func (p *Pair) Tag(side Direction, index uint64) Tag {
	return Tag{Run: p.run, Pair: uint32(p.number), Direction: side, Index: index, Due: p.flows[side].at(index).Due}
}

// SentAt is when a message under way was sent last, as the scenario noted in Message.Sent; 0 if it is not under way.
func (p *Pair) SentAt(side Direction, index uint64) int64 {
	if f := &p.flows[side]; f.holds(index) {
		return f.at(index).Sent
	}
	return 0
}

// Acked takes an ack. ok is false if it is a violation; else due is when the message was to be sent.
func (p *Pair) Acked(side Direction, index, seq uint64) (due int64, ok bool) {
	f := &p.flows[side]
	if !f.holds(index) || f.at(index).state&acked != 0 {
		p.ledger.violation(BadAck, p.number, "%s message %d: ack with sequence %d for what was acknowledged before or never sent", side, index, seq)
		return 0, false
	}
	m := f.at(index)
	due = m.Due
	m.state = m.state&^inAir | acked
	f.unacked--
	p.ledger.Accepted++
	p.name(side, index, seq, "its ack")
	if m.state&replayed == 0 {
		if wrong := p.chains[side].acked(seq); wrong != "" {
			p.ledger.violation(BadSequence, p.number, "%s message %d: ack with sequence %d: %s", side, index, seq, wrong)
		}
	}
	p.settle(f, m)
	return due, true
}

// Refused takes an error that allows a retry. ok is false if nothing waits for it.
func (p *Pair) Refused(side Direction, index uint64) (ok bool) {
	f := &p.flows[side]
	if !f.holds(index) || f.at(index).state&inAir == 0 {
		p.ledger.violation(BadAck, p.number, "%s message %d: refused, but was answered before or never sent", side, index)
		return false
	}
	m := f.at(index)
	m.state &^= inAir
	f.cursor = min(f.cursor, index)
	return true
}

// Received takes a message that arrived at a side. fresh is true if it is the other side's and arrived for the first time; due is then
// when it was to be sent.
func (p *Pair) Received(side Direction, m *frame.Message) (due int64, fresh bool) {
	if m.Conv != p.conv {
		p.ledger.violation(Misdelivered, p.number, "the %s got a message of conversation %s", side, m.Conv)
		return 0, false
	}
	if m.Kind == frame.KindEvent {
		p.link(side, m)
		return 0, false
	}
	tag, ok := ParseBody(m.Body, p.size)
	if !ok || m.ID != tag.ID() {
		p.ledger.violation(Altered, p.number, "the %s got sequence %d, id %s, %d bytes: not a body that was sent", side, m.Seq, m.ID, len(m.Body))
		return 0, false
	}
	if tag.Run != p.run || int(tag.Pair) != p.number || tag.Direction > FromAgent || string(m.Sender) != p.names[tag.Direction] {
		p.ledger.violation(Misdelivered, p.number, "the %s got message %d of the %s of pair %d from %q", side, tag.Index, tag.Direction, tag.Pair, m.Sender)
		return 0, false
	}
	if tag.Direction == side {
		p.returned(side, &tag, m)
		return 0, false
	}
	return p.delivered(side, &tag, m)
}

// delivered takes a message of the other side.
func (p *Pair) delivered(side Direction, tag *Tag, m *frame.Message) (due int64, fresh bool) {
	f := &p.flows[tag.Direction]
	switch {
	case tag.Index >= f.next:
		p.ledger.violation(Altered, p.number, "the %s got message %d, only %d were sent", side, tag.Index, f.next)
		return 0, false
	case tag.Index < f.first || f.at(tag.Index).state&delivered != 0:
		p.ledger.violation(Duplicated, p.number, "the %s got message %d again, with sequence %d", side, tag.Index, m.Seq)
		return 0, false
	}
	msg := f.at(tag.Index)
	if tag.Due != msg.Due {
		p.ledger.violation(Altered, p.number, "the %s got message %d with another time", side, tag.Index)
	}
	if tag.Index < f.highest {
		p.ledger.violation(Reordered, p.number, "the %s got message %d, sequence %d, after message %d", side, tag.Index, m.Seq, f.highest-1)
	}
	f.highest = max(f.highest, tag.Index+1)
	msg.state |= delivered
	p.ledger.Delivered++
	p.name(tag.Direction, tag.Index, m.Seq, "its delivery")
	p.link(side, m)
	due = msg.Due
	p.settle(f, msg)
	return due, true
}

// returned takes a side's own message, as a resume replays it. Its ack may have come before, or comes with the next retry.
func (p *Pair) returned(side Direction, tag *Tag, m *frame.Message) {
	f := &p.flows[side]
	if tag.Index >= f.next {
		p.ledger.violation(Altered, p.number, "the %s got its own message %d back, only %d were sent", side, tag.Index, f.next)
		return
	}
	if f.holds(tag.Index) {
		p.name(side, tag.Index, m.Seq, "its replay")
		if msg := f.at(tag.Index); msg.state&acked == 0 {
			msg.state |= replayed
		}
	}
	if m.Seq > p.chains[side].last { // else it was accounted for by its ack
		p.link(side, m)
	}
}

// link checks the numbers of a message that arrived.
func (p *Pair) link(side Direction, m *frame.Message) {
	c := &p.chains[side]
	last := c.last
	if wrong := c.received(m.Seq, m.Prev); wrong != "" {
		kind := BadSequence
		if m.Seq <= last {
			kind = Reordered
		}
		p.ledger.violation(kind, p.number, "the %s got sequence %d, prev %d, after %d: %s", side, m.Seq, m.Prev, last, wrong)
	}
}

// name notes the sequence of a message; whatever names it must agree.
func (p *Pair) name(d Direction, index, seq uint64, by string) {
	m := p.flows[d].at(index)
	if m.seq != 0 && m.seq != seq {
		p.ledger.violation(BadSequence, p.number, "%s message %d has sequence %d by %s, and %d by what came before", d, index, seq, by, m.seq)
	}
	m.seq = seq
}

func (p *Pair) settle(f *flow, m *Message) {
	if m.state&(acked|delivered) == acked|delivered {
		p.ledger.Settled++
		f.retire()
	}
}

// Unrecovered says that a side was told it cannot have what it missed, or that the conversation is gone.
func (p *Pair) Unrecovered(side Direction, detail string) {
	p.ledger.violation(Unrecovered, p.number, "the %s resumed after sequence %d: %s", side, p.chains[side].last, detail)
}

// Finish judges what is still open. Call it once, when nothing more is expected.
func (p *Pair) Finish() {
	for d := FromVisitor; d <= FromAgent; d++ {
		f := &p.flows[d]
		for i := f.first; i < f.next; i++ {
			switch m := f.at(i); {
			case m.state&acked == 0:
				p.ledger.violation(Unanswered, p.number, "%s message %d", d, i)
			case m.state&delivered == 0:
				p.ledger.violation(Lost, p.number, "%s message %d, accepted with sequence %d", d, i, m.seq)
			}
		}
		if missing := p.chains[d].missing; len(missing) > 0 && f.unacked == 0 {
			p.ledger.violation(BadSequence, p.number, "the %s never got sequence %d (and %d more)", d, missing[0], len(missing)-1)
		}
	}
}
