package oracle

import (
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// table is a model of a desk with one conversation, as it should be unless a test changes what somebody is shown.
type table struct {
	t        *testing.T
	ledger   Ledger
	talk     *Talk
	log      []frame.Message
	attached map[string]*Reader
	show     func(to string, m frame.Message) []frame.Message // nil: as it is
}

var talkConv = frame.ID{7}

const talkRun, talkSize = 5, 64

func newTable(t *testing.T) *table {
	d := &table{t: t, attached: map[string]*Reader{}}
	d.talk = NewTalk(&d.ledger, talkRun, 3, talkSize, "vic")
	d.talk.Opened(talkConv)
	d.event("opened")
	d.attached["vic"] = d.talk.Visitor(1)
	return d
}

// put gives a message its place, and shows it to everybody who is attached but its sender.
func (d *table) put(m frame.Message, except string) uint64 {
	m.Conv, m.Prev, m.Seq = talkConv, uint64(len(d.log)), uint64(len(d.log)+1)
	d.log = append(d.log, m)
	for name, r := range d.attached {
		if name != except {
			d.to(name, r, m)
		}
	}
	return m.Seq
}

func (d *table) to(name string, r *Reader, m frame.Message) {
	shown := []frame.Message{m}
	if d.show != nil {
		shown = d.show(name, m)
	}
	for i := range shown {
		r.Received(&shown[i])
	}
}

func (d *table) event(name string, pairs ...string) {
	d.put(frame.Message{Kind: frame.KindEvent, Body: frame.AppendEvent(nil, name, pairs...)}, "")
}

// give assigns the conversation, and replays it to the agent.
func (d *table) give(agent, from string) {
	pairs := []string{"agent", agent}
	if from != "" {
		pairs = append(pairs, "from", from)
	}
	d.event("assigned", pairs...)
	delete(d.attached, from)
	d.join(agent)
}

func (d *table) join(agent string) {
	r := d.talk.Agent(agent, uint64(len(d.log)))
	for _, m := range d.log {
		d.to(agent, r, m)
	}
	d.attached[agent] = r
}

// say has somebody write, and the server ack it.
func (d *table) say(name string) {
	r := d.attached[name]
	d.talk.Add(r.side, name, 100)
	index, m := r.Next()
	if m == nil {
		d.t.Fatalf("%s has nothing to send", name)
	}
	r.HandedOver(index)
	tag := r.Tag(index)
	seq := d.put(frame.Message{Sender: []byte(name), ID: tag.ID(), Body: AppendBody(nil, &tag, talkSize)}, name)
	r.Acked(index, seq)
}

// end closes the conversation and judges it.
func (d *table) end(agent string) {
	d.attached["vic"].Ended(uint64(len(d.log)+1), false)
	d.put(frame.Message{Kind: frame.KindEvent, Body: frame.AppendEvent(nil, "closed", "by", "vic")}, "vic")
	d.talk.Finish()
}

// life is a conversation that is transferred once.
func (d *table) life() {
	d.give("ann", "")
	d.say("vic")
	d.say("ann")
	d.say("vic")
	d.give("bob", "ann")
	d.say("bob")
	d.say("vic")
	d.say("bob")
	d.end("bob")
}

func TestATransferredConversation(t *testing.T) {
	d := newTable(t)
	d.life()
	if d.ledger.Total() != 0 || d.ledger.Sent != 6 || d.ledger.Accepted != 6 || d.ledger.Delivered != 6 {
		t.Errorf("%+v", d.ledger)
	}
}

// TestFaultsOfADesk: each is found under its name, and nothing else is.
func TestFaultsOfADesk(t *testing.T) {
	only := func(who string, seq uint64, change func(m frame.Message) []frame.Message) func(string, frame.Message) []frame.Message {
		return func(to string, m frame.Message) []frame.Message {
			if to == who && m.Seq == seq {
				return change(m)
			}
			return []frame.Message{m}
		}
	}
	for name, c := range map[string]struct {
		kind Kind
		play func(d *table)
	}{
		"the next agent is not shown what was written before": {Lost, func(d *table) {
			d.show = only("bob", 5, func(frame.Message) []frame.Message { return nil })
			d.life()
		}},
		"the next agent is shown a message twice": {Duplicated, func(d *table) {
			d.show = only("bob", 5, func(m frame.Message) []frame.Message {
				again := m
				again.Prev, again.Seq = m.Seq, m.Seq+1
				return []frame.Message{m, again}
			})
			d.life()
		}},
		"the visitor is shown an agent's message as of the other one": {Misdelivered, func(d *table) {
			d.show = only("vic", 7, func(m frame.Message) []frame.Message { m.Sender = []byte("ann"); return []frame.Message{m} })
			d.life()
		}},
		"an altered replay": {Altered, func(d *table) {
			d.show = only("bob", 3, func(m frame.Message) []frame.Message {
				m.Body = append([]byte(nil), m.Body...)
				m.Body[40] ^= 1
				return []frame.Message{m}
			})
			d.life()
		}},
		"the former agent goes on hearing": {Misdelivered, func(d *table) {
			d.give("ann", "")
			ann := d.attached["ann"]
			d.give("bob", "ann")
			d.attached["ann"] = ann
			d.say("vic")
			delete(d.attached, "ann")
			d.end("bob")
		}},
		"the former agent is not told": {Misassigned, func(d *table) {
			d.show = only("ann", 3, func(frame.Message) []frame.Message { return nil })
			d.give("ann", "")
			d.give("bob", "ann")
			d.end("bob")
		}},
		"two agents at a time": {Misassigned, func(d *table) {
			d.give("ann", "")
			d.give("bob", "") // from nobody
			d.end("bob")
		}},
		"an agent is told who was never given it": {Misassigned, func(d *table) {
			d.give("ann", "")
			d.join("eve")
			delete(d.attached, "eve")
			d.end("ann")
		}},
		"an impossible place": {Misassigned, func(d *table) { d.talk.Misplaced(4, 3) }},
		"nobody comes":        {Unserved, func(d *table) { d.talk.Unserved("it waits") }},
		"another conversation": {Misdelivered, func(d *table) {
			d.talk.Opened(frame.ID{8})
		}},
		"a stray message":           {Misdelivered, func(d *table) { d.ledger.Stray(1, "eve", "sequence 3") }},
		"an answer to no request":   {BadAck, func(d *table) { d.ledger.Unasked(1, "eve", 99) }},
		"a message is not answered": {Unanswered, func(d *table) { d.talk.Add(FromVisitor, "vic", 1); d.talk.Finish() }},
		"more than it takes": {OverCapacity, func(d *table) {
			l := Load{Ledger: &d.ledger, Agent: "ann", Capacity: 2}
			l.Took()
			l.Took()
			l.Gave()
			l.Took()
			if d.ledger.Total() != 0 || l.Has() != 2 {
				d.t.Error("counted wrongly")
			}
			l.Took()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newTable(t)
			c.play(d)
			if d.ledger.Count(c.kind) == 0 || !strings.HasPrefix(d.ledger.Cases[0].String(), c.kind.String()+": ") && c.kind != Lost && c.kind != Duplicated {
				t.Errorf("%s is not found: %v", c.kind, d.ledger.Cases)
			}
		})
	}
}

// TestAnAgentIsGivenItAgain: what comes between is no fault of anybody, and neither is what it could not send any more.
func TestAnAgentIsGivenItAgain(t *testing.T) {
	d := newTable(t)
	d.give("ann", "")
	ann := d.attached["ann"]
	d.talk.Add(FromAgent, "ann", 1) // written, and never sent
	d.event("queued", "from", "ann")
	ann.Leave()
	d.say("vic") // ann is still attached
	d.give("ann", "")
	d.say("ann")
	d.say("vic")
	if !d.attached["ann"].Has() || !d.attached["vic"].Has() {
		t.Error("not everything that arrived is known to have")
	}
	d.end("ann")
	// The model's ann was shown sequence 4 while nobody had the conversation.
	if d.ledger.Total() != 1 || d.ledger.Count(Misdelivered) != 1 {
		t.Errorf("%v", d.ledger.Cases)
	}
}
