package chat

import (
	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// A batch stays below the server's limits: frames, and bytes of a message (the default; a smaller limit is not supported).
const (
	batchFrames = frame.MaxFrames - 1
	batchBytes  = frame.MaxMessage
	sendRoom    = 96 // bytes of a send frame around its body, at most
)

// flushLive sends what is due in as few batches as the limits allow: messages, and the mark with the first of them. After a refusal the
// messages wait until everything under way is answered, or a new one could overtake one whose refusal is still on its way.
func (s *side) flushLive() {
	if s.again && s.pair.judge.UnderWay(s.me) {
		return
	}
	s.again = false
	markDue := s.markDue()
	for {
		index, m := s.next()
		if m == nil && !markDue && !s.closing {
			return
		}
		b := s.conn.Begin(ws.OpBinary)
		limit := len(b) + batchBytes - sendRoom - s.share.cfg.Size
		frames := 0
		if markDue {
			b = s.appendMark(b)
			markDue = false
		}
		for ; m != nil && frames < batchFrames && len(b) < limit; frames++ {
			b = s.appendSend(b, index, m)
			index, m = s.next()
		}
		if s.closing && m == nil {
			s.closing = false
			closing := frame.Close{Ref: refClose, Conv: s.pair.conv}
			b = closing.Append(b)
		}
		s.conn.End(b)
	}
}

// next is the next message to send, if one may go.
func (s *side) next() (uint64, *oracle.Message) {
	if s.window > 0 && s.underWay >= s.window {
		return 0, nil
	}
	return s.pair.judge.Next(s.me)
}

// answered counts a message that is not under way any more. A server that has too much to do is not sent all again that it refused, only to refuse
// it again: the first message goes alone, and with each ack one more may be under way.
func (s *side) answered(accepted bool) {
	s.underWay = max(0, s.underWay-1)
	switch {
	case !accepted:
		s.window = 1
	case s.window > 0:
		if s.window++; s.window > s.share.cfg.Inflight {
			s.window = 0
		}
		s.conn.Wake()
	}
}

func (s *side) appendSend(b []byte, index uint64, m *oracle.Message) []byte {
	share := s.share
	if m.Resent() {
		share.resent++
	}
	tag := s.pair.judge.Tag(s.me, index)
	share.body = oracle.AppendBody(share.body[:0], &tag, share.cfg.Size)
	send := frame.Send{Ref: refSends + index, Conv: s.pair.conv, Level: 2, ID: tag.ID(), Base: m.Base, Body: share.body}
	s.pair.judge.HandedOver(s.me, index)
	m.Sent = share.loop.Time()
	s.underWay++
	return send.Append(b)
}

// received notes what a delivered mark has to name, and has it sent after a while: the mark of many messages costs as much as of one.
func (s *side) received(seq uint64) {
	if s.mark = max(s.mark, seq); !s.markTimer.Armed() {
		s.share.loop.Arm(&s.markTimer, s.share.loop.Time()+int64(s.share.cfg.MarkDelay))
	}
}

// markDue tells whether a mark may go out now: one in MarkDelay at most.
func (s *side) markDue() bool {
	return s.mark > s.marked && s.share.loop.Time()-s.markedAt >= int64(s.share.cfg.MarkDelay)
}

func (s *side) appendMark(b []byte) []byte {
	s.marked, s.markedAt = s.mark, s.share.loop.Time()
	s.share.loop.Disarm(&s.markTimer)
	s.share.marks++
	m := frame.Mark{Type: frame.TypeDelivered, Conv: s.pair.conv, Seq: s.mark}
	return m.Append(b)
}
