package dispatch

import (
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// recipient is somebody who has to ack what is in a conversation.
type recipient struct {
	conv frame.ID
	user string
}

// lateAck is kept for lateKeep: marks are in the store after two seconds, or the store is away, and then the lanes are not read either.
type lateAck struct {
	seq uint64
	at  time.Time
}

const lateKeep = time.Minute

// acked tells the machine of a mark. One that comes after something fired counts from now on for those who send, though the store may not have it yet.
func (e *escalation) acked(conv frame.ID, user string, seq uint64) {
	if !e.machine.Acked(now(), conv, user, seq) {
		return
	}
	e.stats.late.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.late[recipient{conv, user}] = lateAck{seq: seq, at: time.Now()}
}

// forgetLate drops acks that the store has.
func (e *escalation) forgetLate(before time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for r, ack := range e.late {
		if ack.at.Before(before) {
			delete(e.late, r)
		}
	}
}

// Acked tells up to which message somebody has everything in a conversation; ok is false if nothing there has to be acked by this user any more. For those
// who send notifications, before they do; any goroutine. It reads the store.
func (c *Center) Acked(conv frame.ID, user string) (seq uint64, ok bool, err error) {
	state, _, found, err := c.store.LoadConversation(conv, 0)
	if err != nil || !found {
		return 0, false, err
	}
	_, _, list, err := core.NewOpenDecoder().Recipients(conv, state)
	if err != nil {
		return 0, false, err
	}
	for _, r := range list {
		if r.User.String() == user {
			return max(r.Delivered, c.escalation.lateAck(conv, user)), true, nil
		}
	}
	return 0, false, nil
}

func (e *escalation) lateAck(conv frame.ID, user string) uint64 {
	if e == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.late[recipient{conv, user}].seq
}
