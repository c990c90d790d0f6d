package desk

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

// stage is how far a conversation is.
type stage uint8

// A conversation goes on from each stage to the next; talking -> waiting with a transfer, closed -> waiting with a reopening.
const (
	arriving stage = iota // its visitor connects and opens it
	waiting               // in the queue
	talking               // with an agent
	ending                // a close is asked for
	closed                // the visitor rates or reopens it
	left                  // the visitor is gone; its agents detach
)

// String says what a conversation waits for.
func (s stage) String() string {
	return [...]string{"is being opened", "waits in the queue", "goes on", "is being closed", "is closed", "was left by its visitor"}[s]
}

// perTurn is how many messages somebody writes in a row at most.
const perTurn = 3

// talk is the script of one conversation. Owned by its loop.
type talk struct {
	share   *share
	visitor *visitor
	mine    *part // the visitor's
	agent   *part // of the agent who speaks, or nil
	agents  int   // parts of agents, of this one and of earlier ones
	owed    map[*agent]owed
	judge   *oracle.Talk
	conv    frame.ID

	due       int64 // when the visitor came
	stage     stage
	over      bool // judged
	served    bool // it had an agent
	waited    bool // what it waited for that is measured
	left      int  // messages that are still to be written
	turn      oracle.Direction
	toSay     int          // of the turn, before they are written
	think     client.Timer // until then
	thinkTill int64

	transferAt  int    // messages left when it is transferred; -1: never, or done
	target      string // the group; empty: the same
	transfering bool   // asked for, and the agent has not lost it yet
	byAgent     bool   // the agent closes it
	asked       bool   // a close is asked for
	rates       bool
	stars       uint8
	reopens     bool
}

// owed is a notice that an agent must get, since the visitor was told that it has the conversation.
type owed struct {
	seq     uint64 // of the event: the head that a notice names is no lower
	told    uint64 // the highest head that notices named
	session int    // the agent's, in which the notice is to come: with the next one it may have missed it
}

// owes tells whether agents are still to be told that they have, or had, the conversation.
func (t *talk) owes() bool {
	for a, o := range t.owed {
		if o.seq > o.told && o.session == a.session && a.Ready {
			return true
		}
	}
	return false
}

// given notes that an agent must hear of an event of which the visitor was told as it happened. An agent that was away then hears of it only if it still has
// the conversation when it comes back; so it may be with one of which the visitor learns by a replay.
func (t *talk) given(name string, seq uint64) {
	if a := t.share.names[name]; a != nil && a.Ready {
		t.owed[a] = owed{seq: seq, told: t.owed[a].told, session: a.session}
	}
}

// heard notes that it did.
func (t *talk) heard(a *agent, head uint64) {
	o := t.owed[a]
	o.told = max(o.told, head)
	t.owed[a] = o
	t.finish()
}

// opened learns the conversation's id, which either side may be told first.
func (t *talk) opened(conv frame.ID) {
	t.judge.Opened(conv)
	if t.conv.IsZero() {
		t.conv = conv
		t.share.convs[conv] = t
	}
}

// speaker is the part that writes in a direction, or nil.
func (t *talk) speaker(d oracle.Direction) *part {
	if d == oracle.FromVisitor {
		return t.mine
	}
	return t.agent
}

// releasing tells whether the server may have taken the conversation from its agent already, since that was asked for.
func (t *talk) releasing() bool { return t.asked || t.transfering || t.stage >= ending }

// assigned goes on: the visitor was told of its agent.
func (t *talk) assigned() {
	if !t.served {
		t.served = true
		t.share.assigned++
		t.waits()
	}
	if t.stage == waiting {
		t.stage = talking
	}
}

// waits measures what the visitor waited for its agent, once.
func (t *talk) waits() {
	if !t.waited {
		t.waited = true
		t.share.notes.assigned(t.due)
	}
}

// event takes what a user was told.
func (t *talk) event(p *part, e *oracle.Event, seq uint64) {
	switch {
	case e.Name == "closed":
		t.unbidden(p, e)
		t.ended(p)
	case p != t.mine:
	case e.Name == "assigned":
		if p.missing == 0 {
			t.given(e.Agent, seq)
		}
		t.assigned()
	case e.Name == "queued" && t.stage == talking:
		t.stage = waiting
	case e.Name == "reopened" && t.stage == closed:
		t.share.reopened++
		t.stage, t.asked, t.reopens = waiting, false, false
		t.left, t.turn, t.agent = 2, oracle.FromVisitor, nil
		t.takeTurn()
	}
}

// joined lets an agent speak.
func (t *talk) joined(p *part) {
	if t.agent == p {
		if !t.releasing() {
			p.count()
		}
		return
	}
	if t.agent == nil {
		t.agent = p
	}
}

// lost takes the conversation from an agent: it was told so. It hears no more of it once it has detached.
func (t *talk) lost(p *part) {
	p.release()
	if t.agent == p {
		p.reader.Leave()
		t.agent = nil
		if t.transfering {
			t.share.transferred++
		}
		t.transfering = false
	}
	p.leave()
	if t.stage == ending && t.asked && t.byAgent {
		t.byAgent = false // who closes it instead?
		t.mine.ask(closing)
	}
	t.succeed()
}

// succeed lets the next agent speak, which may have had the conversation before the one that spoke learned that it has it no more: its connection
// was away.
func (t *talk) succeed() {
	for _, a := range t.share.agents {
		if p := a.convs[t.conv]; t.agent == nil && p != nil && p.talk == t {
			p.caughtUp()
		}
	}
	t.step()
}

// leave detaches an agent.
func (p *part) leave() {
	if p.want != detaching {
		p.leftAt = max(p.reader.Known(), 1)
		p.ask(detaching)
	}
}

// step does what the conversation is ready for.
func (t *talk) step() {
	switch {
	case t.stage == waiting && t.share.hurry && !t.asked && t.judge.Unacked(oracle.FromVisitor) == 0:
		t.giveUp()
	case t.stage == talking:
		t.converse()
	}
}

// giveUp has the visitor go who still waits at the end of the run. What it has waited counts: else the longest waits would not.
func (t *talk) giveUp() {
	if !t.served {
		t.share.gaveUp++
		t.waits()
	}
	t.byAgent = false
	t.end()
}

// converse lets the sides take turns: one writes when everything of the other is accepted and shown to it.
func (t *talk) converse() {
	if t.agent == nil || t.think.Armed() {
		return
	}
	if t.toSay > 0 {
		t.thinkTill = client.Now() + t.share.thinkTime()
		t.share.loop.Arm(&t.think, t.thinkTill)
		return
	}
	listener := t.speaker(t.turn.Other())
	if t.transfering || !listener.reader.Has() {
		return
	}
	t.turn = t.turn.Other()
	switch {
	case t.left == 0 || t.share.hurry:
		t.end()
	case t.turn == oracle.FromAgent && t.left <= t.transferAt && t.agent.attached:
		t.transfer()
	default:
		t.takeTurn()
		t.converse()
	}
}

// takeTurn decides how many messages follow in a row.
func (t *talk) takeTurn() { t.toSay = min(1+t.share.random.IntN(perTurn), t.left) }

// transfer gives the conversation away, while the visitor writes on.
func (t *talk) transfer() {
	t.transferAt, t.transfering = -1, true
	t.agent.release()
	t.agent.ask(transferring)
	t.turn = oracle.FromVisitor
	t.takeTurn()
	t.converse()
}

// say writes the messages of the turn.
func (t *talk) say() {
	p := t.speaker(t.turn)
	if p == nil || t.stage != talking {
		return // the next step begins the turn anew
	}
	p.writes()
	for ; t.toSay > 0; t.toSay-- {
		t.judge.Add(t.turn, p.line.name, t.thinkTill)
		t.left--
	}
	p.flush()
}

// end asks for the close.
func (t *talk) end() {
	t.stage, t.asked = ending, true
	if t.agent == nil || t.transfering {
		t.byAgent = false
	}
	if t.agent != nil {
		t.agent.release()
	}
	if t.byAgent {
		t.agent.ask(closing)
	} else {
		t.mine.ask(closing)
	}
}

// unbidden looks at a close that the visitor is told of: either somebody here has asked for it, or the server has a rule for it and names it.
func (t *talk) unbidden(p *part, e *oracle.Event) {
	switch {
	case p != t.mine || t.asked || t.stage >= closed:
	case e.Reason == "":
		t.judge.Unserved(fmt.Sprintf("it was closed by %q, and nobody asked for that, with %d messages to be written", e.By, t.left))
	case t.served:
		t.share.cutShort++
	}
}

// ended goes on: a user was told that the conversation is closed.
func (t *talk) ended(p *part) {
	if p != t.mine {
		p.release()
		p.leave()
		if t.agent == p {
			p.reader.Leave()
			t.agent = nil
		}
		return
	}
	if t.stage >= closed {
		return // it knew
	}
	if !t.asked && !t.served {
		t.share.turnedAway++
	}
	t.asked, t.stage = true, closed
	t.afterwards()
}

// afterwards does what the visitor does with a closed conversation.
func (t *talk) afterwards() {
	switch {
	case t.rates:
		t.mine.ask(rating)
	case t.reopens && t.served && !t.share.hurry:
		t.mine.ask(reopening)
	default:
		t.mine.over()
	}
}

// done takes the ack of a request.
func (t *talk) done(p *part, r request) {
	switch r {
	case detaching:
		p.over()
	case closing:
		t.ended(p)
	case rating:
		t.share.rated++
		t.rates = false
		t.afterwards()
	}
}

// denied takes a refusal for good; ok is false if it must not be.
func (t *talk) denied(p *part, r request, code uint64) (ok bool) {
	switch {
	case r == transferring && (code == frame.ErrorConflict || code == frame.ErrorForbidden || code == frame.ErrorClosed):
		t.share.transfersRefused++
		t.transfering = false
		if p == t.agent && code == frame.ErrorConflict {
			p.count()
		}
	case r == reopening && code == frame.ErrorClosed:
		t.share.reopensRefused++
		t.reopens = false
	case r == closing && code == frame.ErrorForbidden && p != t.mine:
	case r == detaching && code == frame.ErrorNotFound:
	default:
		return false
	}
	p.want, p.wanted = nothing, false
	if r == reopening {
		t.afterwards()
	}
	t.step()
	return true
}

// parted goes on: a part is over. An agent that was given the conversation anew meanwhile begins a new one.
func (t *talk) parted(p *part) {
	if p == t.mine {
		t.stage = left
		t.visitor.hangUp()
	} else {
		if t.agent == p {
			p.reader.Leave()
			t.agent = nil
			t.succeed()
		}
		t.agents--
		if p.noticed > p.leftAt && p.leftAt > 0 {
			p.line.owner.(*agent).serve(t, p.noticed)
		}
	}
	t.finish()
}

// finish ends the conversation when nobody has a part in it any more, and nobody is to hear of it.
func (t *talk) finish() {
	if t.stage == left && t.agents == 0 && !t.over && !t.owes() {
		t.over = true
		t.judge.Finish()
		t.remember()
		t.share.gone(t)
	}
}

// stuck tells the oracle of a conversation that did not come to its end.
func (t *talk) stuck() {
	text := fmt.Sprintf("after %.1f s it %s, with %d messages to be written; conversation %s, agents %d", float64(client.Now()-t.due)/1e9, t.stage, t.left, t.conv, t.agents)
	for a, o := range t.owed {
		if t.owes() && o.seq > o.told {
			text += fmt.Sprintf("; %s was not told of sequence %d, only of %d", a.name, o.seq, o.told)
		}
	}
	t.judge.Unserved(text)
	t.judge.Finish()
	t.remember()
}

// remember has the conversation read back after the run.
func (t *talk) remember() {
	if t.conv.IsZero() {
		return
	}
	t.share.past.Add(func() audit.Conversation {
		return audit.Conversation{Past: t.judge.Past(), Role: token.Visitor, User: t.visitor.name, Group: t.visitor.group.name}
	})
}
