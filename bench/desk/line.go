package desk

import (
	"errors"
	"fmt"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/frame"
)

// line is one user's connection, which is dialled again when it ends, and the user's parts in conversations; it implements crowd.Handler. Owned
// by its loop.
type line struct {
	*crowd.User

	// Fixed after construction.
	share *share
	name  string
	owner owner

	// Owned by the loop.
	wanted    bool // there ought to be a connection
	parts     map[uint64]*part
	convs     map[frame.ID]*part
	tries     retry.Backoff
	redial    client.Timer
	notBefore int64        // a drain's time to come back
	leave     client.Timer // at that time, if the server has not closed by then
}

// owner is the visitor or the agent at a line.
type owner interface {
	// welcomed says that requests may go out; the parts of the line have sent theirs.
	welcomed()
	// away says that the connection ended.
	away()
	// told takes a conversation frame.
	told(m *frame.Conversation)
	// answered takes the ack or the refusal (nil: an ack) of a request of the user's own, not of a part. ok is false if there was none.
	answered(ref uint64, refused *frame.Error) (ok bool)
	// opens writes the request by which a part gets to its conversation first.
	opens(p *part, ref uint64) appender
	// number is for the reports.
	number() int
}

// appender is a frame to send.
type appender interface{ Append([]byte) []byte }

func newLine(s *share, o owner, conn int, role, name, group string) (*line, error) {
	l := &line{share: s, owner: o, name: name, parts: map[uint64]*part{}, convs: map[frame.ID]*part{}, tries: retry.New(s.cfg.Retry)}
	var err error
	if l.User, err = s.scene.NewUser(s.loop, conn, role, name, group, l); err != nil {
		return nil, err
	}
	l.redial.Fire, l.leave.Fire = l.Conn.Dial, l.drained
	return l, nil
}

// dial connects, for good.
func (l *line) dial() {
	l.wanted = true
	l.tries = retry.New(l.share.cfg.Retry)
	l.Conn.Dial()
}

// hangUp ends the connection for good.
func (l *line) hangUp() {
	l.wanted = false
	l.share.loop.Disarm(&l.redial)
	l.share.loop.Disarm(&l.leave)
	l.Leave()
}

// Welcomed implements crowd.Handler.
func (l *line) Welcomed(m *frame.Welcome) {
	l.tries.Welcomed(m, l.share.cfg.Retry)
	for _, p := range l.parts {
		p.flush()
	}
	l.owner.welcomed()
}

// errDrained ends a connection that the server asked to leave.
var errDrained = errors.New("the server is going away")

// drained leaves the connection at the time that the server gave, although it still works.
func (l *line) drained() {
	l.Leave()
	l.Ended(errDrained)
}

// Ended implements crowd.Handler: it dials again, or ends the run if that cannot help.
func (l *line) Ended(err error) {
	l.share.loop.Disarm(&l.leave)
	for _, p := range l.parts {
		p.disconnected()
	}
	l.owner.away()
	if !l.wanted {
		return
	}
	remedy, fatal := retry.Hopeless(err)
	if retry.Unreachable(err) {
		remedy, fatal = ": is the server running, and is --url its address?", !l.share.running
	}
	if fatal {
		l.share.scene.Fail(fmt.Errorf("desk: the connection of %s ended: %w%s", l.name, err, remedy))
		return
	}
	l.share.reconnects++
	wait := l.tries.Next(l.share.random)
	var refused *client.UpgradeError
	if errors.As(err, &refused) {
		wait = max(wait, refused.RetryAfter)
	}
	l.share.loop.Arm(&l.redial, max(client.Now()+int64(wait), l.notBefore))
}

// Frame implements crowd.Handler.
func (l *line) Frame(typ frame.Type, f []byte) error {
	switch typ {
	case frame.TypeMessage:
		return l.message(f)
	case frame.TypeAck:
		return l.ack(f)
	case frame.TypeResumed:
		return l.resumed(f)
	case frame.TypeConversation:
		var m frame.Conversation
		if err := m.Parse(f); err != nil {
			return err
		}
		l.owner.told(&m)
	case frame.TypeError:
		return l.refused(f)
	case frame.TypePosition:
		return l.position(f)
	case frame.TypeReceipt:
		var m frame.Receipt
		if err := m.Parse(f); err != nil {
			return err
		}
		l.noted(m.Conv, "a receipt")
	case frame.TypeSignaled:
		var m frame.Signaled
		if err := m.Parse(f); err != nil {
			return err
		}
		l.noted(m.Conv, "a signal")
	case frame.TypeDrain:
		return l.drain(f)
	}
	return nil // presence, the agent's status, and whatever later versions add
}

// noted takes a notice about a conversation, in which the user must have a part.
func (l *line) noted(conv frame.ID, what string) {
	if l.convs[conv] == nil {
		l.stray(what + " of conversation " + conv.String())
		return
	}
	l.share.notices++
}

// stray is of a conversation in which the user has no part.
func (l *line) stray(what string) { l.share.ledger.Stray(l.owner.number(), l.name, what) }

func (l *line) message(f []byte) error {
	var m frame.Message
	if err := m.Parse(f); err != nil {
		return err
	}
	if p := l.convs[m.Conv]; p != nil && p.reader != nil {
		p.message(&m)
	} else {
		l.stray(fmt.Sprintf("sequence %d of conversation %s", m.Seq, m.Conv))
	}
	return nil
}

func (l *line) ack(f []byte) error {
	var m frame.Ack
	if err := m.Parse(f); err != nil {
		return err
	}
	if p := l.parts[m.Ref>>refBits]; p != nil {
		p.acked(m.Ref&refMask, m.Seq)
	} else if !l.owner.answered(m.Ref, nil) {
		l.share.ledger.Unasked(l.owner.number(), l.name, m.Ref)
	}
	return nil
}

func (l *line) resumed(f []byte) error {
	var m frame.Resumed
	if err := m.Parse(f); err != nil {
		return err
	}
	switch p := l.parts[m.Ref>>refBits]; {
	case m.Ref == 0 && l.convs[m.Conv] != nil:
		l.convs[m.Conv].unrecovered(fmt.Sprintf("not recovered after all, the head is %d", m.Head))
	case p != nil && p.asked && !p.attached:
		p.resumed(&m)
	default:
		l.share.ledger.Unasked(l.owner.number(), l.name, m.Ref)
	}
	return nil
}

func (l *line) refused(f []byte) error {
	var m frame.Error
	if err := m.Parse(f); err != nil {
		return err
	}
	if m.Ref == 0 {
		l.failed(&m)
		return nil
	}
	if frame.ErrorRetry(m.Code) {
		l.share.refusals++
	}
	if p := l.parts[m.Ref>>refBits]; p != nil {
		p.refused(m.Ref&refMask, &m)
	} else if !l.owner.answered(m.Ref, &m) {
		l.share.ledger.Unasked(l.owner.number(), l.name, m.Ref)
	}
	return nil
}

// failed takes an error that answers no request: of a mark or a signal, which the next one makes good, or of a replay that broke off.
func (l *line) failed(m *frame.Error) {
	if !frame.ErrorRetry(m.Code) {
		if m.Code != frame.ErrorForbidden && m.Code != frame.ErrorClosed { // it was given to somebody else meanwhile, or closed
			l.share.scene.Fail(crowd.Refusal(l.name, m))
		}
		return
	}
	for _, p := range l.parts {
		if p.missing > 0 {
			p.again(m.RetryMS)
		}
	}
}

func (l *line) position(f []byte) error {
	var m frame.Position
	if err := m.Parse(f); err != nil {
		return err
	}
	switch p := l.convs[m.Conv]; {
	case p == nil:
		l.stray("a position of conversation " + m.Conv.String())
	case m.Place < 1 || m.Place > m.Of:
		p.talk.judge.Misplaced(m.Place, m.Of)
	default:
		l.share.positions++
	}
	return nil
}

func (l *line) drain(f []byte) error {
	var m frame.Drain
	if err := m.Parse(f); err != nil {
		return err
	}
	ms := int64(m.DelayMS) + l.share.random.Int64N(int64(min(m.WindowMS, 3_600_000))+1)
	l.notBefore = client.Now() + ms*1e6
	l.share.loop.Arm(&l.leave, l.notBefore)
	return nil
}

// join gives the user a part in a conversation.
func (l *line) join(t *talk, side oracle.Direction) *part {
	l.share.numbers++
	p := &part{line: l, talk: t, side: side, number: l.share.numbers}
	p.hold.Fire, p.markTimer.Fire = p.flush, p.mark
	l.parts[p.number] = p
	if !t.conv.IsZero() {
		l.convs[t.conv] = p
	}
	return p
}
