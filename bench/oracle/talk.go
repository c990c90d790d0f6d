package oracle

import (
	"fmt"

	"github.com/switchyard-im/switchyard/frame"
)

// Talk judges one conversation between a visitor and whoever is its agent, which may change: what each of them is shown is a Reader, and all
// of them must have been shown the same. Of the promises about messages it wants what a Pair wants, and besides that the conversation
// has one agent at a time, who alone hears of it, and who is shown it from the beginning.
//
// It keeps a note of every message, so that it is for conversations of thousands, not of millions. Owned by one goroutine.
type Talk struct {
	ledger  *Ledger
	run     uint32
	number  int
	size    int
	visitor string
	conv    frame.ID
	flows   [2]flow // nothing is retired: the next agent is shown all of it
	turns   []turn  // who wrote as the agent, the oldest first
	readers []*Reader

	// As the visitor was told.
	agent string // who has it now
	given []turn // who was given it, by the sequence of the event
	blind bool   // it joined late, so that there may have been others
}

// turn is one agent's turn.
type turn struct {
	agent string
	first uint64 // where it begins
}

// at is whose turn it is somewhere, or nobody's.
func at(turns []turn, where uint64) string {
	for i := len(turns) - 1; i >= 0; i-- {
		if turns[i].first <= where {
			return turns[i].agent
		}
	}
	return ""
}

// NewTalk makes a judge that writes to the ledger. Size is the number of bytes of each body.
func NewTalk(ledger *Ledger, run uint32, number, size int, visitor string) *Talk {
	return &Talk{ledger: ledger, run: run, number: number, size: size, visitor: visitor}
}

// Opened sets the conversation, as the visitor was told it. Retries name the same one.
func (t *Talk) Opened(conv frame.ID) {
	if !t.conv.IsZero() && t.conv != conv {
		t.ledger.violation(Misdelivered, t.number, "the same open was answered with conversation %s and with %s", t.conv, conv)
	}
	t.conv = conv
}

// Visitor is what the visitor is shown, after a sequence.
func (t *Talk) Visitor(head uint64) *Reader {
	return t.reader(&Reader{name: t.visitor, side: FromVisitor, chain: chain{last: head}})
}

// Agent is what an agent is shown who was told at a sequence that the conversation is its own; all that was before is shown to it too.
func (t *Talk) Agent(name string, head uint64) *Reader {
	return t.reader(&Reader{name: name, side: FromAgent, told: head})
}

func (t *Talk) reader(r *Reader) *Reader {
	r.talk = t
	t.readers = append(t.readers, r)
	return r
}

// Add makes the next message of a direction, to be sent at due by a user of this name.
func (t *Talk) Add(d Direction, name string, due int64) {
	if d == FromAgent && (len(t.turns) == 0 || t.turns[len(t.turns)-1].agent != name) {
		t.turns = append(t.turns, turn{agent: name, first: t.flows[d].next})
	}
	t.flows[d].add(Message{Due: due})
	t.ledger.Sent++
}

// Unacked is the number of messages of a direction that were added and neither acknowledged nor given up.
func (t *Talk) Unacked(d Direction) int { return t.flows[d].unacked }

// Assigned says that the visitor was told of its agent in another way than by an event: in the answer to an open that was repeated.
func (t *Talk) Assigned(agent string) {
	t.blind, t.agent = true, agent
	t.given = append(t.given, turn{agent: agent, first: t.readers[0].chain.last})
}

// Unserved says that the conversation did not come to its end, and where it stands.
func (t *Talk) Unserved(where string) { t.ledger.violation(Unserved, t.number, "%s", where) }

// Misplaced says that the visitor was told an impossible place in the queue.
func (t *Talk) Misplaced(place, of uint64) {
	t.ledger.violation(Misassigned, t.number, "the visitor was told that it is number %d of %d who wait", place, of)
}

// sender is who wrote a message.
func (t *Talk) sender(d Direction, index uint64) string {
	if d == FromVisitor {
		return t.visitor
	}
	return at(t.turns, index)
}

// name notes the sequence of a message; whatever names it must agree.
func (t *Talk) name(d Direction, index, seq uint64, by string) {
	m := t.flows[d].at(index)
	if m.seq != 0 && m.seq != seq {
		t.ledger.violation(BadSequence, t.number, "%s message %d has sequence %d by %s, and %d by what came before", d, index, seq, by, m.seq)
	}
	m.seq = seq
}

// event follows what the visitor is told of its agents.
func (t *Talk) event(e *Event, seq uint64) {
	switch e.Name {
	case "assigned":
		if t.agent != "" && e.From != t.agent {
			t.ledger.violation(Misassigned, t.number, "given to %q while %q has it (from %q)", e.Agent, t.agent, e.From)
		}
		t.agent = e.Agent
		t.given = append(t.given, turn{agent: e.Agent, first: seq})
	case "queued":
		t.agent = ""
		t.given = append(t.given, turn{first: seq})
	case "closed":
		t.agent = ""
	}
}

// Finish judges what is still open. Call it once, when nothing more is expected.
func (t *Talk) Finish() {
	for d := FromVisitor; d <= FromAgent; d++ {
		f := &t.flows[d]
		for i := f.first; i < f.next; i++ {
			if f.at(i).state&(acked|givenUp) == 0 {
				t.ledger.violation(Unanswered, t.number, "%s message %d", d, i)
			}
		}
	}
	for _, r := range t.readers {
		r.finish()
	}
}

// Stray says that somebody got what is of a conversation that it has no part in.
func (l *Ledger) Stray(number int, who string, what any) {
	l.violation(Misdelivered, number, "%s got %v, and has no part in that conversation", who, what)
}

// Unasked says that somebody got an answer to a request that waits for none.
func (l *Ledger) Unasked(number int, who string, ref uint64) {
	l.violation(BadAck, number, "%s got an answer to request %d, which was answered before or never made", who, ref)
}

// Event is what an event message tells.
type Event struct {
	Name  string `msgpack:"event"`
	Agent string `msgpack:"agent"`
	From  string `msgpack:"from"`
	Group string `msgpack:"group"`

	By     string `msgpack:"by"`     // who did it; empty: the server
	Reason string `msgpack:"reason"` // of what the server did by its rules
}

// Load judges how many conversations an agent has at a time, as it knows for sure: those that it is told are its own, and that nobody has asked to
// end or to give away. The server cannot count fewer. Owned by one goroutine.
type Load struct {
	Ledger   *Ledger
	Agent    string
	Number   int // of the agent, for the reports
	Capacity int

	has int
}

// Took adds a conversation.
func (l *Load) Took() {
	if l.has++; l.has > l.Capacity {
		l.Ledger.violation(OverCapacity, l.Number, "%s has %d conversations and takes %d", l.Agent, l.has, l.Capacity)
	}
}

// Gave takes one away.
func (l *Load) Gave() {
	if l.has--; l.has < 0 {
		panic(fmt.Sprintf("BUG: oracle: %s gave away what it never had", l.Agent))
	}
}

// Has is how many there are.
func (l *Load) Has() int { return l.has }
