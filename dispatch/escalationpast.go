package dispatch

import (
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/escalate"
	"github.com/switchyard-im/switchyard/frame"
)

// sinceMax is how many of the latest messages are looked at for what is unacked: the machine tells no more apart.
const sinceMax = 256

// since tells the machine of what others wrote after the recipient's mark, up to head; it has to be acked since sinceMS at the earliest. What cannot be read is
// taken for one message.
func (e *escalation) since(conv frame.ID, group string, r core.Recipient, head uint64, sinceMS int64) {
	policy := e.cfg.policy(group, r.User.Role)
	if policy == "" || r.Delivered >= head {
		return
	}
	after := max(r.Delivered, head-min(head, sinceMax))
	msg := escalate.Message{Conv: conv, User: r.User.String(), Policy: policy}
	for after < head {
		frames, last, n, err := e.center.store.ReadAfter(nil, conv, after, head, sinceMax, pageBytes)
		if err != nil || n == 0 {
			e.center.log.Warn("dispatch: messages cannot be read to see what is unacked; they count as unacked", "conversation", conv.String(), "cause", err)
			msg.Seq, msg.AtMS = head, now()
			e.machine.Sent(now(), msg)
			return
		}
		for len(frames) > 0 {
			var m frame.Message
			_, f, rest, err := frame.Next(frames)
			if err == nil {
				err = m.Parse(f)
			}
			if err != nil {
				break // the next start of a client finds the damage
			}
			if m.Kind == frame.KindChat && string(m.Sender) != r.User.Name {
				msg.Seq, msg.AtMS = m.Seq, max(int64(m.TimeMS), sinceMS)
				e.machine.Sent(now(), msg)
			}
			frames = rest
		}
		after = last
	}
}

// load puts the stored records back, and finds the conversations that have to be read. Before run; nothing else uses the store yet.
func (e *escalation) load() error {
	var noted []frame.ID
	err := e.center.store.Escalations(func(conv frame.ID, user string, record []byte) error {
		if user == "" {
			noted = append(noted, conv)
			return nil
		}
		return e.machine.Restore(conv, user, record)
	})
	if err == nil {
		err = e.center.store.OpenConversations(func(conv frame.ID, _ []byte) error {
			e.restore = append(e.restore, conv)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("dispatch: read what is unacked: %w", err)
	}
	e.restore, e.noted = append(e.restore, noted...), noted
	return nil
}

// readPast tells the machine of what is unacked in each conversation that was open, or closed and not known to be. It tries until it can; false: the end came.
func (e *escalation) readPast() bool {
	began := time.Now()
	for _, conv := range e.restore {
		if !e.untilRead(func() error { return e.past(conv) }) {
			return false
		}
	}
	var queued map[string]bool
	if !e.untilRead(func() (err error) { queued, err = e.cfg.Queued(); return err }) {
		return false
	}
	if queued != nil {
		e.machine.Reconcile(func(conv frame.ID, user, step string, last uint64) bool {
			return queued[escalate.NotificationID(conv, user, step, last)]
		})
	}
	e.center.log.Info("dispatch: unacked messages restored", "conversations", len(e.restore), "waiting", e.machine.Watched(), "took", time.Since(began))
	e.restore = nil
	return true
}

// untilRead reads until the store can. What it reads and cannot be understood is left out, or the others would wait for it for ever. False: the end
// came.
func (e *escalation) untilRead(read func() error) bool {
	for {
		err := read()
		if err == nil {
			return true
		}
		e.center.log.Error("dispatch: what is unacked cannot be read; who has not acked it may not be told", "cause", err)
		if !errors.Is(err, ErrUnavailable) {
			return true
		}
		select {
		case <-e.quit:
			return false
		case <-time.After(time.Second):
		}
	}
}

func (e *escalation) past(conv frame.ID) error {
	state, tail, ok, err := e.center.store.LoadConversation(conv, 1)
	if err != nil || !ok {
		return err
	}
	access, err := core.DecodeAccess(conv, state, tail)
	if err != nil {
		return err
	}
	group, closed, list, err := core.NewOpenDecoder().Recipients(conv, state)
	if err != nil {
		return err
	}
	for _, r := range list {
		e.since(conv, group, r, access.Head, 0)
		e.acked(conv, r.User.String(), r.Delivered)
		if closed {
			e.machine.Closed(now(), conv, r.User.String())
		}
	}
	return nil
}
