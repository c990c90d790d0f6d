package chat

import (
	"fmt"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// Message implements client.Handler: one batch of frames.
func (s *side) Message(op ws.OpCode, batch []byte) {
	if op != ws.OpBinary {
		s.share.run.fail(fmt.Errorf("chat: the server sent a message with opcode %d, want binary", op))
		return
	}
	for len(batch) > 0 && s.phase != stopped {
		typ, f, rest, err := frame.Next(batch)
		if err == nil {
			err = s.frame(typ, f)
		}
		if err != nil {
			s.share.run.fail(fmt.Errorf("chat: the server sent what is no frame of the protocol: %w", err))
			return
		}
		batch = rest
	}
}

// frame handles one frame; the error is a malformed one.
func (s *side) frame(typ frame.Type, f []byte) error {
	switch typ {
	case frame.TypeMessage:
		return s.onMessage(f)
	case frame.TypeAck:
		return s.onAck(f)
	case frame.TypeReceipt:
		var m frame.Receipt
		return m.Parse(f)
	case frame.TypeError:
		return s.onError(f)
	case frame.TypeWelcome:
		return s.onWelcome(f)
	case frame.TypeConversation:
		return s.onConversation(f)
	case frame.TypeResumed:
		return s.onResumed(f)
	case frame.TypeDrain:
		return s.onDrain(f)
	}
	return nil // presence and whatever later versions add
}

func (s *side) onMessage(f []byte) error {
	var m frame.Message
	if err := m.Parse(f); err != nil {
		return err
	}
	s.missing = max(s.missing, 1) - 1
	due, fresh := s.pair.judge.Received(s.me, &m)
	if fresh {
		s.share.noteDelivered(due)
	}
	s.received(m.Seq)
	s.pair.pump()
	return nil
}

func (s *side) onAck(f []byte) error {
	var m frame.Ack
	if err := m.Parse(f); err != nil {
		return err
	}
	if m.Ref == refClose {
		s.share.closed++
		return nil
	}
	sent := s.pair.judge.SentAt(s.me, m.Ref-refSends)
	if due, ok := s.pair.judge.Acked(s.me, m.Ref-refSends, m.Seq); ok {
		s.share.noteAccepted(due, sent)
		s.answered(true)
		s.pair.pump()
	}
	if s.again {
		s.conn.Wake()
	}
	return nil
}

func (s *side) onWelcome(f []byte) error {
	var m frame.Welcome
	if err := m.Parse(f); err != nil {
		return err
	}
	s.backoff.Welcomed(&m, s.share.cfg.retry())
	switch {
	case !s.pair.conv.IsZero():
		s.enter(resume)
	case s.me == oracle.FromVisitor:
		s.enter(opening)
	default:
		s.enter(waiting)
		if visitor := s.pair.sides[oracle.FromVisitor]; visitor.conn.Idle() && !visitor.redial.Armed() {
			visitor.conn.Dial()
		}
	}
	return nil
}

// onConversation takes the answer to open, or the notice that tells an agent of its conversation.
func (s *side) onConversation(f []byte) error {
	var m frame.Conversation
	if err := m.Parse(f); err != nil {
		return err
	}
	switch {
	case string(m.Group) != s.pair.group:
		s.share.run.fail(fmt.Errorf("chat: the %s of group %q was told of a conversation in group %q", s.me, s.pair.group, m.Group))
	case s.phase == opening && m.Ref == refOpen:
		s.pair.open(m.Conv)
		s.pair.judge.Attached(s.me, m.Head)
		s.enter(live)
	case s.me == oracle.FromAgent && m.State == frame.StateAssigned:
		s.pair.open(m.Conv)
		if s.phase == waiting {
			s.enter(resume)
		}
	}
	return nil
}

func (s *side) onResumed(f []byte) error {
	var m frame.Resumed
	if err := m.Parse(f); err != nil {
		return err
	}
	if !m.Recovered {
		s.pair.judge.Unrecovered(s.me, fmt.Sprintf("not recovered, the head is %d", m.Head))
		s.pair.giveUp()
		return nil
	}
	s.missing = m.Count
	if s.phase == resume {
		s.enter(live)
	}
	return nil
}

func (s *side) onDrain(f []byte) error {
	var m frame.Drain
	if err := m.Parse(f); err != nil {
		return err
	}
	ms := int64(m.DelayMS) + s.share.random.Int64N(int64(m.WindowMS)+1)
	s.notBefore = client.Now() + ms*1e6
	s.share.loop.Arm(&s.leave, s.notBefore)
	return nil
}

// onError retries where the server allows it; anything else ends the run or the pair.
func (s *side) onError(f []byte) error {
	var m frame.Error
	if err := m.Parse(f); err != nil {
		return err
	}
	if m.Ref == refClose {
		s.share.closed++
		return nil
	}
	if !frame.ErrorRetry(m.Code) {
		s.refusedForGood(&m)
		return nil
	}
	switch {
	case m.Ref == 0 && s.missing > 0 && s.phase == live:
		s.enter(resume) // the replay broke off
	case m.Ref == 0:
		return nil // a mark: the next one says it all again
	case m.Ref >= refSends:
		s.pair.judge.Refused(s.me, m.Ref-refSends)
		s.answered(false)
		s.again = true
	default:
		s.asked = false
	}
	s.later(m.RetryMS)
	return nil
}

func (s *side) refusedForGood(m *frame.Error) {
	text := fmt.Sprintf("%s: %s", frame.ErrorName(m.Code), m.Text)
	switch {
	case m.Ref == refResume:
		s.pair.judge.Unrecovered(s.me, text)
		s.pair.giveUp()
	case m.Code == frame.ErrorUnauthorized:
		s.share.run.fail(fmt.Errorf("chat: the server refuses the token: %s (is --key the file that the server checks tokens with?)", text))
	default:
		s.share.run.fail(fmt.Errorf("chat: the server refused request %d of the %s of pair %d: %s", m.Ref, s.me, s.pair.number, text))
	}
}
