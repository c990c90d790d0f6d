package desk

import (
	"encoding/binary"

	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// visitor comes with one conversation after the other, each over a connection of its own; it implements owner. Owned by its loop.
type visitor struct {
	*line
	group  *group
	seat   int
	visits uint64
	talk   *talk // or nil: nobody is there
}

func newVisitor(s *share, group *group) (*visitor, error) {
	v := &visitor{group: group, seat: s.cfg.Agents + s.index + len(s.seats)*s.cfg.loops()}
	var err error
	if v.line, err = newLine(s, v, v.seat, crowd.Visitor, s.scene.Visitor(v.seat), group.name); err != nil {
		return nil, err
	}
	s.seats = append(s.seats, v)
	s.visitors[v.name] = v
	return v, nil
}

func (v *visitor) number() int { return v.seat }

// come begins a conversation that was to begin at due.
func (v *visitor) come(due int64) {
	v.visits++
	v.talk = v.share.newTalk(v, due)
	v.talk.mine = v.join(v.talk, oracle.FromVisitor)
	v.dial()
}

// welcomed implements owner.
func (v *visitor) welcomed() {}

// away implements owner.
func (v *visitor) away() {}

// answered implements owner.
func (v *visitor) answered(uint64, *frame.Error) bool { return false }

// opens implements owner. A repeated open finds the same conversation by its key.
func (v *visitor) opens(p *part, ref uint64) appender {
	var key frame.ID
	binary.BigEndian.PutUint32(key[:], v.share.scene.Run)
	binary.BigEndian.PutUint32(key[4:], uint32(v.seat))
	binary.BigEndian.PutUint64(key[8:], v.visits)
	return &frame.Open{Ref: ref, Key: key, Group: []byte(v.group.name), Details: p.line.share.details}
}

// told implements owner: the answer to the open.
func (v *visitor) told(m *frame.Conversation) {
	t, p := v.talk, v.parts[m.Ref>>refBits]
	if p == nil || !p.asked || p.reader != nil || m.Ref&refMask != uint64(attaching) {
		return // a notice
	}
	t.opened(m.Conv)
	v.convs[m.Conv] = p
	p.reader = t.judge.Visitor(m.Head)
	p.attached = true
	v.share.notes.opened(t.due)
	t.stage = waiting
	switch m.State {
	case frame.StateAssigned, frame.StateHeld: // it was opened before the connection ended
		t.judge.Assigned(string(m.Agent))
		t.assigned()
	case frame.StateClosed:
		t.ended(p)
	}
	p.flush()
	t.step()
}
