package desk

import (
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// agent serves the conversations that it is given; it implements owner. Owned by its loop.
type agent struct {
	*line
	load    oracle.Load
	online  bool // its status is durable
	said    bool // the status is on its way
	session int  // connections that it had
	retry   client.Timer
}

// refStatus is the ref of an agent's status; those of parts are greater.
const refStatus = crowd.FirstRef

func newAgent(s *share, group *group, n int) error {
	name := s.scene.Agent(n)
	a := &agent{load: oracle.Load{Ledger: &s.ledger, Agent: name, Number: n, Capacity: s.cfg.Capacity}}
	var err error
	if a.line, err = newLine(s, a, n, crowd.Agent, name, group.name); err != nil {
		return err
	}
	a.List = true // a notice may come while it is away
	a.retry.Fire = a.sayOnline
	s.agents = append(s.agents, a)
	s.names[name] = a
	return nil
}

func (a *agent) number() int { return a.load.Number }

// welcomed implements owner. A status is said once: it is durable, and holds for connections to come.
func (a *agent) welcomed() {
	a.said = false
	a.sayOnline()
}

func (a *agent) sayOnline() {
	if a.Ready && !a.online && !a.said {
		a.said = true
		a.Send(&frame.Status{Ref: refStatus, Status: frame.AgentOnline, Capacity: uint64(a.load.Capacity)})
	}
}

// answered implements owner.
func (a *agent) answered(ref uint64, refused *frame.Error) bool {
	switch {
	case ref != refStatus || a.online:
		return false
	case refused == nil:
		a.online = true
		a.share.online++
	case frame.ErrorRetry(refused.Code):
		a.said = false
		a.share.loop.Arm(&a.retry, client.Now()+retryIn(refused.RetryMS))
	default:
		a.share.scene.Fail(crowd.Refusal(a.name, refused))
	}
	return true
}

// opens implements owner: an agent's parts begin with a resume from the beginning.
func (a *agent) opens(p *part, ref uint64) appender {
	panic("BUG: desk: an agent's part without a reader")
}

// told implements owner: a notice that a conversation is the agent's.
func (a *agent) told(m *frame.Conversation) {
	if m.State != frame.StateAssigned && m.State != frame.StateHeld || string(m.Agent) != a.name {
		return // that it is another one's, or in another group
	}
	t := a.share.find(m)
	if t == nil {
		a.stray("a notice that it has conversation " + m.Conv.String() + " of visitor " + string(m.Visitor))
		return
	}
	t.opened(m.Conv)
	if p := a.convs[m.Conv]; p != nil {
		p.noticed = max(p.noticed, m.Head)
	} else {
		a.serve(t, m.Head)
	}
	t.heard(a, m.Head)
}

// away implements owner: what it was to hear it may have missed.
func (a *agent) away() {
	a.session++
	for _, v := range a.share.seats {
		if v.talk != nil {
			v.talk.finish()
		}
	}
}

// serve begins a part in a conversation that the agent has since a sequence.
func (a *agent) serve(t *talk, head uint64) {
	p := a.join(t, oracle.FromAgent)
	p.reader, p.noticed = t.judge.Agent(a.name, head), head
	t.agents++
	if !t.releasing() {
		p.count()
	}
	p.flush()
}
