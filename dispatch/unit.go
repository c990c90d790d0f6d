package dispatch

import (
	"math"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// unit is one batch of a runner under way: filled by the runner, then owned by the store until Committed, then by the loops until the
// last parcel is released; then it goes back to the runner's free list. There is a fixed number of them (Config.Units), which is
// what limits how far a runner runs ahead of the disk: while all are under way the runner waits, its rings fill, and what comes next
// becomes one larger batch.
type unit struct {
	runner  *runner
	effects core.Effects
	parcels []frame.Parcel // one per loop, all of them reading effects.Buf
	refs    frame.Refs     // parcels that are under way, plus one for Committed itself
	taken   []int          // by loop: frames of its ring that are in this batch
	peak    int            // bytes of effects.Buf that recent batches needed
	oldest  int64          // arrival of the oldest answered request, Unix nanoseconds; 0: none

	replayed []replayed // replays of which this batch has a piece, or the end
}

// replayed tells of one piece of a replay; sent, that the connection gets it with this batch.
type replayed struct {
	conv frame.ID
	conn frame.ConnID
	sent bool
}

// unitKeep is the buffer that an idle unit may hold; what large batches needed beyond it is given back when they have not come for a while. A
// unit is begun each second at least, for the tick, and they take turns.
const unitKeep = 1 << 20

func newUnit(r *runner, loops int) *unit {
	u := &unit{runner: r, parcels: make([]frame.Parcel, loops), taken: make([]int, loops)}
	for i := range u.parcels {
		u.parcels[i].Owner = u
	}
	return u
}

// reset empties the unit for the next batch.
func (u *unit) reset() {
	u.peak = max(len(u.effects.Buf), u.peak/4*3)
	if size := cap(u.effects.Buf); size > unitKeep && size > 4*u.peak {
		u.effects.Buf = nil
	}
	u.effects.Reset()
	for i := range u.parcels {
		p := &u.parcels[i]
		*p = frame.Parcel{Targets: p.Targets[:0], Owner: u}
	}
	u.oldest = 0
	u.replayed = u.replayed[:0]
}

// commit hands the batch to the store. Everything that the machine lent is copied into the transaction here.
func (u *unit) commit() {
	e := &u.effects
	for _, t := range e.Targets {
		u.address(t)
		u.runner.out.written(e.Buf[t.Off:t.Off+t.Len], 1)
	}
	u.runner.out.add(frame.TypeMessage, e.Replayed, 0)
	for i := range e.Answers {
		if at := e.Answers[i].Arrived; at != 0 && (u.oldest == 0 || at < u.oldest) {
			u.oldest = at
		}
	}
	tx := u.runner.center.store.Begin(u.runner.generation)
	for i := range e.Writes {
		switch w := &e.Writes[i]; w.Op {
		case core.PutMessages:
			tx.Messages(w.Conv, w.First, w.Last, w.Data)
		case core.PutConversation:
			tx.Conversation(w.Conv, w.Data, w.Open)
		case core.PutMember:
			tx.Member(w.User.String(), w.Conv, w.Open)
		case core.PutUnacked:
			tx.Escalation(w.Conv, "", closedNote)
		}
	}
	for _, m := range e.Memos {
		tx.Memo(m.Key, m.Value)
	}
	tx.Commit(u)
}

// closedNote is the record of a conversation, without a user, that was closed with something unacked; what it holds does not matter.
var closedNote = []byte{1}

// address puts a delivery into the parcel of its loop.
func (u *unit) address(t frame.Target) {
	p := &u.parcels[t.Conn.Loop()]
	p.Targets = append(p.Targets, t)
}

// Committed implements Completion: it releases what the batch promised, on the store's completion goroutine.
func (u *unit) Committed(err error) {
	if err != nil {
		u.refuse()
	}
	u.route(err)
	if err == nil {
		u.runner.center.audit(u.effects.Audit)
		u.runner.center.metrics.accepted(u.effects.Answers, time.Now().UnixNano())
	}
	u.send()
}

// send hands the parcels to their loops.
func (u *unit) send() {
	n := 1
	for i := range u.parcels {
		if len(u.parcels[i].Targets) > 0 {
			n++
		}
	}
	u.refs.Set(n)
	for i := range u.parcels {
		if p := &u.parcels[i]; len(p.Targets) > 0 {
			p.Buf = u.effects.Buf
			u.runner.center.conns.Deliver(i, p)
		}
	}
	for _, r := range u.replayed {
		u.runner.center.conns.Post(r.conn, u.runner.center.jobs.paced)
	}
	u.done()
}

// Release implements frame.ParcelOwner: a loop has written, or copied, everything in the parcel.
func (u *unit) Release(*frame.Parcel) {
	if u.oldest != 0 {
		u.runner.center.metrics.deliver.Observe(float64(time.Now().UnixNano()-u.oldest) / 1e9)
	}
	u.done()
}

func (u *unit) done() {
	if u.refs.Done() {
		u.finish()
	}
}

// finish tells the rings that their frames are done, and gives the unit back.
func (u *unit) finish() {
	for i, n := range u.taken {
		if n > 0 {
			u.runner.rings[i].finished(n)
			u.taken[i] = 0
		}
	}
	u.runner.free <- u
}

// refuse turns a batch whose commit failed into error answers, and remembers what the machine must forget.
func (u *unit) refuse() {
	e := &u.effects
	for i := range u.parcels {
		u.parcels[i].Targets = u.parcels[i].Targets[:0]
	}
	for _, r := range u.replayed {
		if r.sent { // the client would wait for this piece for ever
			e.Answers = append(e.Answers, core.Answer{Kind: core.AnswerAttached, Conn: r.conn, Conv: r.conv})
		}
	}
	for _, i := range e.Certain {
		u.address(e.Targets[i])
	}
	for _, a := range e.Answers {
		if a.Conn == 0 {
			continue
		}
		off := len(e.Buf)
		refusal := frame.Error{
			Ref: a.Ref, Code: frame.ErrorUnavailable, RetryMS: uint64(u.runner.center.cfg.RetryAfter.Milliseconds()),
			Text: []byte("the store failed while it wrote this; send it again with the same id"),
		}
		e.Buf = refusal.Append(e.Buf)
		u.address(frame.Target{Conn: a.Conn, Off: uint32(off), Len: uint32(len(e.Buf) - off)})
	}
	u.runner.center.metrics.refused.Add(float64(len(e.Answers)))
	u.oldest = 0
	u.runner.failed(u.failures())
}

// failure is one thing that the machine has to take back after a failed commit.
type failure struct {
	answer   core.Answer // what was promised; Kind AnswerOther: this is about a write
	conv     frame.ID    // what was written
	released uint64
}

// failures lists what the machine has to take back, promises first.
func (u *unit) failures() []failure {
	var list []failure
	for _, a := range u.effects.Answers {
		if a.Kind != core.AnswerOther {
			list = append(list, failure{answer: a})
		}
	}
	for i := range u.effects.Writes {
		switch w := &u.effects.Writes[i]; w.Op {
		case core.PutMessages:
			list = append(list, failure{conv: w.Conv, released: w.First - 1})
		case core.PutConversation:
			list = append(list, failure{conv: w.Conv, released: math.MaxUint64})
		}
	}
	return list
}

// route passes on what the batch asks of others. After a failed commit only that which does not depend on it: reads, and the coming and
// going of agents; the machine tells the rest again when it has loaded what was really kept.
func (u *unit) route(err error) {
	c, e := u.runner.center, &u.effects
	for _, j := range e.Jobs {
		c.jobs.do(j)
	}
	for _, d := range e.Desk {
		if d.Kind == core.DeskPlace && c.desk.crowded() {
			continue // a visitor that does not know its place hears it with the next change
		}
		if err == nil || d.Lasts() {
			c.desk.inbox.put(d)
		}
	}
	if len(e.Unacked) > 0 {
		c.escalation.told(e.Unacked, err)
	}
	if err != nil {
		return
	}
	for _, conv := range e.Left {
		c.owner(conv).inbox.put(control{kind: ctlDismiss, conv: conv})
	}
	for _, n := range e.Users {
		frames := append([]byte(nil), e.Buf[n.Off:n.Off+n.Len]...)
		c.ownerOfUser(n.User).inbox.put(control{kind: ctlNotify, user: n.User, frames: frames, conn: n.Except})
	}
}
