package chat

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// pair is one conversation with both its ends. Owned by its loop.
type pair struct {
	share  *share
	number int // in the run
	group  string
	conv   frame.ID // zero until it is opened
	judge  *oracle.Pair
	sides  [2]*side
	ready  bool
	broken bool // gave up after a violation that leaves nothing to go on with

	turn     oracle.Direction // who writes next
	admitted int64            // open loop: how many messages were due and have been added
}

// pump adds the messages that the pair may and should send now.
func (p *pair) pump() {
	s := p.share
	if !s.running || p.broken {
		return
	}
	for p.judge.Unacked() < s.cfg.Inflight && p.judge.Room(p.turn) {
		due, ok := s.due(p)
		if !ok || s.closedLoop() && !p.sides[p.turn].live() {
			return // in the closed loop nothing is due while nobody could send it
		}
		p.judge.Add(p.turn, due)
		p.admitted++
		p.sides[p.turn].conn.Wake()
		if !s.cfg.VisitorOnly {
			p.turn = p.turn.Other()
		}
	}
}

// open sets the conversation, which either side may be told of first.
func (p *pair) open(conv frame.ID) {
	if !p.conv.IsZero() && p.conv != conv {
		p.share.run.fail(fmt.Errorf("chat: group %s has two conversations, %s and %s", p.group, p.conv, conv))
		return
	}
	p.conv = conv
	p.judge.Opened(conv)
}

// becameLive is called when a side can send.
func (p *pair) becameLive() {
	if !p.ready && p.sides[0].live() && p.sides[1].live() {
		p.ready = true
		p.share.ready++
	}
	p.pump()
}

// give up on a conversation that cannot be continued; the oracle has been told why.
func (p *pair) giveUp() {
	p.broken = true
	for _, s := range p.sides {
		s.stop()
	}
}

// user is the name of one of its users.
func (p *pair) user(d oracle.Direction) string { return p.group + "-" + d.String()[:1] }

// newPair makes a pair of the share, with its agent about to connect.
func newPair(s *share, l *client.Loop, number int) (*pair, error) {
	run := s.run
	p := &pair{share: s, number: number, group: fmt.Sprintf("bench-%08x-%d", run.id, number)}
	visitor, agent := p.user(oracle.FromVisitor), p.user(oracle.FromAgent)
	p.judge = oracle.NewPair(&s.ledger, run.id, number, s.cfg.Size, visitor, agent)
	if run.audited != nil && run.audited[number] {
		p.judge.Remember()
	}
	for d, user := range []string{visitor, agent} {
		side, err := newSide(p, l, oracle.Direction(d), user)
		if err != nil {
			return nil, err
		}
		p.sides[d] = side
	}
	s.pairs = append(s.pairs, p)
	return p, nil
}
