package desk

import (
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// request is what a part asks the server for. Its number is the low part of its ref; sends count from firstSend.
type request uint64

const (
	nothing request = iota
	attaching
	detaching
	closing
	transferring
	reopening
	rating

	firstSend = 16
)

// A ref is the number of a part, and in its low bits the request or the message.
const (
	refBits = 20
	refMask = 1<<refBits - 1
)

// part is what one user has to do with one conversation: the visitor from its open to the end, an agent from the notice that it is given the
// conversation until nothing more of it comes. Owned by its loop.
type part struct {
	// Fixed after construction.
	line   *line
	talk   *talk
	side   oracle.Direction
	number uint64 // of the share, never used twice

	reader   *oracle.Reader // nil until the conversation is known
	asked    bool           // the request to attach is on its way
	attached bool           // what happens comes to the present connection
	missing  uint64         // messages of the replay that are still to come
	want     request        // what else is to be asked for
	wanted   bool           // it is on its way on the present connection
	repeated bool           // it was before, and what became of it is not known
	onWay    uint           // requests that are on their way, one bit each: one may have been given up for another
	repeats  uint           // those of them that were asked for before
	barred   bool           // a message was refused: nothing is sent until all that is under way is answered
	hold     client.Timer   // armed: ask nothing now
	counted  bool           // agent: it is one of those of its load
	noticed  uint64         // agent: the head of the last notice that it has the conversation
	leftAt   uint64         // agent: the sequence at which it decided to leave

	seen      uint64 // the highest sequence that came
	marked    uint64 // the highest that a mark named on the present connection
	markTimer client.Timer
}

// ask makes a request, now or when that is possible.
func (p *part) ask(r request) {
	p.want, p.wanted, p.repeated = r, false, false
	p.flush()
}

// flush sends what is due.
func (p *part) flush() {
	if !p.line.Ready || p.hold.Armed() || p.line.parts[p.number] != p {
		return
	}
	if !p.attached {
		if !p.asked {
			p.asked = true
			p.line.Send(p.attach())
		}
		return
	}
	if p.missing > 0 {
		return // what comes may be the answer
	}
	p.send()
	if p.want != nothing && !p.wanted {
		p.wanted = true
		p.onWay |= 1 << p.want
		if p.repeats &^= 1 << p.want; p.repeated {
			p.repeats |= 1 << p.want
		}
		p.line.Send(p.request())
	}
}

func (p *part) ref(low uint64) uint64 { return p.number<<refBits | low }

func (p *part) attach() appender {
	if p.reader == nil {
		return p.line.owner.opens(p, p.ref(uint64(attaching)))
	}
	return &frame.Resume{Ref: p.ref(uint64(attaching)), Conv: p.talk.conv, After: p.reader.Known()}
}

func (p *part) request() appender {
	ref, conv := p.ref(uint64(p.want)), p.talk.conv
	switch p.want {
	case detaching:
		return &frame.Detach{Ref: ref, Conv: conv}
	case closing:
		return &frame.Close{Ref: ref, Conv: conv}
	case transferring:
		return &frame.Transfer{Ref: ref, Conv: conv, Group: []byte(p.talk.target)}
	case reopening:
		return &frame.Reopen{Ref: ref, Conv: conv}
	case rating:
		return &frame.Rate{Ref: ref, Conv: conv, Stars: p.talk.stars, Comment: []byte("as it should be")}
	}
	panic(fmt.Sprintf("BUG: desk: no frame for request %d", p.want))
}

// send writes the messages that wait, if the part is the one who speaks. After a refusal they wait until everything under way is answered, or a
// new one could overtake one whose refusal is still on its way.
func (p *part) send() {
	if p.talk.speaker(p.side) != p || p.barred && p.reader.UnderWay() {
		return
	}
	p.barred = false
	s := p.line.share
	for index, m := p.reader.Next(); m != nil; index, m = p.reader.Next() {
		if m.Resent() {
			s.resent++
		}
		tag := p.reader.Tag(index)
		s.body = oracle.AppendBody(s.body[:0], &tag, s.cfg.Size)
		p.line.Send(&frame.Send{Ref: p.ref(firstSend + index), Conv: p.talk.conv, Level: 2, ID: tag.ID(), Base: m.Base, Body: s.body})
		p.reader.HandedOver(index)
	}
}

// note has a mark sent after a while: one of many messages costs as much as of one.
func (p *part) note(seq uint64) {
	if p.seen = max(p.seen, seq); p.seen > p.marked && !p.markTimer.Armed() {
		p.line.share.loop.Arm(&p.markTimer, p.line.share.loop.Time()+int64(p.line.share.cfg.MarkDelay))
	}
}

// mark names what arrived.
func (p *part) mark() {
	if p.attached && p.line.Ready && p.seen > p.marked {
		p.appendMark(frame.TypeDelivered)
	}
}

func (p *part) appendMark(typ frame.Type) {
	p.marked = p.seen
	p.line.share.loop.Disarm(&p.markTimer)
	p.line.share.marks++
	p.line.Send(&frame.Mark{Type: typ, Conv: p.talk.conv, Seq: p.seen})
}

// writes shows that the user has read everything, and is typing; the messages follow.
func (p *part) writes() {
	if !p.attached || !p.line.Ready {
		return
	}
	if p.seen > p.marked {
		p.appendMark(frame.TypeRead)
	}
	p.line.Send(&frame.Signal{Conv: p.talk.conv, Name: []byte("typing"), Body: []byte{0xc3}})
}

// message takes one that came.
func (p *part) message(m *frame.Message) {
	due, fresh, event := p.reader.Received(m)
	if fresh {
		p.line.share.notes.delivered(due)
	}
	if m.Kind != frame.KindEvent && m.Conv == p.talk.conv {
		p.note(m.Seq)
	}
	if event.Name != "" {
		p.talk.event(p, &event, m.Seq)
	}
	if p.side == oracle.FromAgent && p.reader.Lost() {
		p.talk.lost(p)
	}
	if p.missing > 0 {
		p.missing--
		p.flush()
	}
	p.caughtUp()
	p.talk.step()
}

// resumed begins to take what was missed.
func (p *part) resumed(m *frame.Resumed) {
	if !m.Recovered {
		p.unrecovered(fmt.Sprintf("not recovered, the head is %d", m.Head))
		return
	}
	p.attached, p.missing = true, m.Count
	p.note(p.seen) // the server may have forgotten
	p.caughtUp()
	p.flush()
	p.talk.step()
}

// caughtUp lets an agent speak that has seen everything, and goes on after a replay.
func (p *part) caughtUp() {
	if p.attached && p.missing == 0 && p.side == oracle.FromAgent && p.want != detaching && !p.reader.Lost() {
		p.talk.joined(p)
	}
}

// unrecovered ends the user's part: there is nothing to go on with.
func (p *part) unrecovered(text string) {
	p.reader.Unrecovered(text)
	p.over()
}

// acked takes the answer to a request or a message.
func (p *part) acked(low, seq uint64) {
	switch {
	case low >= firstSend && p.reader != nil:
		if due, ok := p.reader.Acked(low-firstSend, seq); ok {
			p.line.share.notes.accepted(due)
		}
		p.flush()
		p.talk.step()
	case low < firstSend && p.onWay&(1<<low) != 0:
		p.onWay &^= 1 << low
		r := request(low)
		if r == closing {
			p.reader.Ended(seq, p.repeats&(1<<r) != 0)
		}
		if r == p.want {
			p.want, p.wanted = nothing, false
			p.talk.done(p, r)
		}
	default:
		p.line.share.ledger.Unasked(p.line.owner.number(), p.line.name, p.ref(low))
	}
}

// refused takes an error.
func (p *part) refused(low uint64, m *frame.Error) {
	later, mine := frame.ErrorRetry(m.Code), request(low) == p.want
	if low < firstSend && request(low) != attaching {
		if p.onWay&(1<<low) == 0 {
			p.line.share.ledger.Unasked(p.line.owner.number(), p.line.name, p.ref(low))
			return
		}
		p.onWay &^= 1 << low
	}
	switch {
	case low == uint64(attaching) && later:
		p.again(m.RetryMS)
	case low >= firstSend && later && p.reader != nil:
		p.reader.Refused(low - firstSend)
		p.barred = true
		p.later(m.RetryMS)
	case later && mine:
		p.wanted, p.repeated = false, true
		p.later(m.RetryMS)
	case !later && (mine || low >= firstSend || low == uint64(attaching)):
		p.denied(low, m)
	}
}

// denied takes a refusal for good. An agent learns in this way, too, that somebody else has the conversation.
func (p *part) denied(low uint64, m *frame.Error) {
	agent := p.side == oracle.FromAgent
	switch r := request(low); {
	case agent && m.Code == frame.ErrorForbidden && r == attaching:
		p.reader.Cut()
		p.talk.lost(p)
		p.leftAt = p.noticed
		p.over()
	case agent && m.Code == frame.ErrorForbidden && low >= firstSend:
		p.talk.lost(p) // what it was shown follows
	case m.Code == frame.ErrorClosed && low >= firstSend:
		p.reader.Leave()
	case r == p.want && p.talk.denied(p, r, m.Code):
	case p.reader != nil && r == attaching:
		p.unrecovered(frame.ErrorName(m.Code) + ": " + string(m.Text))
	default:
		p.line.share.scene.Fail(crowd.Refusal(p.line.name, m))
	}
}

// again attaches anew, after a while.
func (p *part) again(ms uint64) {
	p.attached, p.asked, p.missing = false, false, 0
	p.later(ms)
}

// later asks nothing until a time that the server named, at least a moment from now.
func (p *part) later(ms uint64) {
	wait := min(max(time.Duration(min(ms, 60_000))*time.Millisecond, 10*time.Millisecond), time.Minute)
	if !p.hold.Armed() {
		p.line.share.loop.Arm(&p.hold, client.Now()+int64(wait))
	}
}

// disconnected makes everything that was not answered wait to be asked again.
func (p *part) disconnected() {
	p.repeated = p.repeated || p.wanted
	p.attached, p.asked, p.wanted, p.barred, p.onWay, p.missing, p.marked = false, false, false, false, 0, 0, 0
	p.line.share.loop.Disarm(&p.hold)
	p.line.share.loop.Disarm(&p.markTimer)
	p.release()
	if p.reader != nil && p.talk.speaker(p.side) == p {
		p.reader.Disconnected()
	}
	if p.want == detaching {
		p.over() // the end of the connection did it
	}
}

// release takes the conversation out of the agent's load: from now on the server may count it or not.
func (p *part) release() {
	if p.counted {
		p.counted = false
		p.line.owner.(*agent).load.Gave()
	}
}

// count puts it into the load.
func (p *part) count() {
	if !p.counted {
		p.counted = true
		p.line.owner.(*agent).load.Took()
	}
}

// over ends the part: nothing more of the conversation may come to this user.
func (p *part) over() {
	p.release()
	p.line.share.loop.Disarm(&p.hold)
	p.line.share.loop.Disarm(&p.markTimer)
	delete(p.line.parts, p.number)
	if p.line.convs[p.talk.conv] == p {
		delete(p.line.convs, p.talk.conv)
	}
	p.talk.parted(p)
}
