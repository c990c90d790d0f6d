package core

import (
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// Loaded brings the result of a JobLoad: the state record and the last message (a row of Message frames, the last one counts), or ok false
// if the conversation does not exist, or an error. What waited is handled now.
func (m *Machine) Loaded(conv frame.ID, state, tail []byte, ok bool, err error) {
	c := m.convs[conv]
	if c == nil || c.load != loading {
		return // it was invalidated meanwhile, and asked for again
	}
	if err == nil && ok {
		err = m.restore(c, state, tail)
	}
	switch {
	case err != nil:
		m.loadFailed(c)
		m.hostLoaded(conv, err)
		return
	case !ok && c.areNotes():
		m.noNotes(c)
	case !ok:
		m.missing(c)
	default:
		c.group = m.groupOf(c.group.name)
		if c.marksDirty {
			m.dirty = append(m.dirty, c)
		}
		if c.resync() {
			m.resynchronise(c)
		}
	}
	c.load = loaded
	m.hostLoaded(conv, nil)
	m.resumeWaiting(c)
	m.forgetEmpty(c)
}

// restore fills a conversation from what the store has.
func (m *Machine) restore(c *conversation, state, tail []byte) error {
	before := slices.Clone(c.members) // after a failed commit
	likely := ""
	if w := c.waiting(); len(w) > 0 && w[0].from.Who != nil {
		likely = w[0].from.Who.User
	}
	if err := m.records.restore(c, state, likely); err != nil {
		return err
	}
	head, err := lastSequence(tail)
	if err != nil {
		return err
	}
	c.head = head
	c.forgetRecent()
	c.keepMarks(before)
	return nil
}

// lastSequence is that of the last of a row of message frames; 0 if there is none.
func lastSequence(frames []byte) (seq uint64, err error) {
	var msg frame.Message
	for len(frames) > 0 {
		_, f, rest, err := frame.Next(frames)
		if err == nil {
			err = msg.Parse(f)
		}
		if err != nil {
			return 0, err
		}
		seq, frames = msg.Seq, rest
	}
	return seq, nil
}

// keepMarks raises the marks to what they were before a failed commit: they were shown, and no client will repeat them.
func (c *conversation) keepMarks(before []member) {
	for _, b := range before {
		i := c.memberOf(b.user)
		if i < 0 {
			continue
		}
		mb := &c.members[i]
		delivered, read := max(mb.delivered, min(b.delivered, c.head)), max(mb.read, min(b.read, c.head))
		if delivered != mb.delivered || read != mb.read {
			mb.delivered, mb.read, c.marksDirty = delivered, read, true
		}
	}
}

// loadFailed refuses the frames that waited. What the server itself wants waits on: Tick asks again.
func (m *Machine) loadFailed(c *conversation) {
	c.load = cold
	waiting := c.waiting()[:0]
	for _, p := range c.waiting() {
		if p.typ == frame.TypeDetach {
			m.detachFrame(c, p)
		} else if p.kind == parkedFrame {
			m.refuseForNow(c, p, frame.ErrorUnavailable, textUnavailable)
		} else {
			waiting = append(waiting, p)
		}
	}
	c.wait(waiting)
	if len(c.attached) == 0 && c.trouble == nil {
		m.forget(c)
		return
	}
	m.stalled[c] = struct{}{}
}

// missing empties a conversation that the store does not have: it was never created, or its creation was not kept.
func (m *Machine) missing(c *conversation) {
	if c.touched != 0 {
		m.touched[c.touched-1].batch = batchState{}
	}
	waiting, load, usedMS := c.waiting(), c.load, c.usedMS
	delete(m.staff, c.id)
	c.empty(c.id)
	c.load, c.usedMS = load, usedMS
	c.wait(waiting)
}

// Invalidate tells that a commit with changes of the conversation failed: what the machine believes of it was not kept, or was kept
// but not released. Every delivery up to released went out; math.MaxUint64 if the commit held none of its messages. It is called
// between Begin and End, after every commit that was under way has ended.
func (m *Machine) Invalidate(conv frame.ID, released uint64) {
	c := m.convs[conv]
	if c == nil {
		return
	}
	t := c.troubled()
	if !t.resync {
		t.resync, t.released = true, released
	}
	t.released = min(t.released, released)
	c.load, c.marksDirty = cold, false
	c.window = nil
	m.reload(c)
}

// reload asks the store for a cold conversation.
func (m *Machine) reload(c *conversation) {
	c.load = loading
	delete(m.stalled, c)
	m.out.Jobs = append(m.out.Jobs, Job{Op: JobLoad, Conv: c.id})
}

// resynchronise brings those who watched a failed commit to what the store really has: messages that turned out durable are delivered,
// and the desk and the members' devices are told the state again.
func (m *Machine) resynchronise(c *conversation) {
	released := min(c.trouble.released, c.head)
	c.trouble.resync = false
	c.settle()
	m.out.Answers = append(m.out.Answers, Answer{Kind: AnswerTold, Conv: c.id})
	attached := c.attached[:0]
	for _, a := range c.attached {
		unkept := int(a.member) >= len(c.members)
		if unkept && m.staff[c.id][a.conn] != nil {
			a.member, unkept = -1, false // it follows, as it did before it took part
		}
		if unkept || !m.mayStay(c, &a) { // its membership was not kept, or has ended
			m.staff.remove(c.id, a.conn)
			if a.member < 0 {
				m.show(c, a.conn, 0)
			}
			continue
		}
		if !a.catching {
			a.after = released
		}
		a.after = min(a.after, c.head)
		a.catching = a.after < c.head
		if a.catching {
			m.out.Jobs = append(m.out.Jobs, Job{Op: JobReplay, Conv: c.id, Conn: a.conn, After: a.after, Upto: c.head})
		}
		attached = append(attached, a)
	}
	c.attached = attached
	if c.areNotes() {
		return
	}
	m.dismissStaff(c)
	for i := range c.members {
		m.notify(c, int8(i), 0)
	}
	m.tellUnacked(c)
	if c.state == frame.StateClosed || c.takenOver() {
		m.out.Desk = append(m.out.Desk, DeskEvent{Kind: DeskClosed, Conv: c.id})
	} else {
		m.out.Desk = append(m.out.Desk, c.opened())
	}
}

// Tick writes marks that are due (see marksPerTick), asks again for loads that failed, tells withheld presence, and lets go of what nobody
// uses. The runner calls it once a second.
func (m *Machine) Tick() {
	if m.available {
		m.writeMarks(max(marksPerTick, m.due))
		m.due = len(m.dirty)
	}
	for c := range m.stalled {
		m.reload(c)
	}
	m.sayUnsaid()
	m.evict()
	m.chunks.trim()
}

// rests tells whether nothing is under way for the conversation and nothing waits.
func (c *conversation) rests() bool {
	return c.load == loaded || c.load == cold && len(c.waiting()) == 0
}

// evict looks at a sixtieth of the conversations, in the random order of the map.
func (m *Machine) evict() {
	budget := max(64, len(m.convs)/60)
	for _, c := range m.convs {
		if budget--; budget < 0 {
			return
		}
		idle := int32(uint32(m.now) - c.usedMS) // negative: the clock was set back
		switch {
		case int64(idle) < m.cfg.EvictMS || c.touched != 0 || c.marksDirty || !c.rests() || c.resync():
		case c.trouble != nil && m.handOver(c, c.trouble.barriers): // later, when they are with their loops
		case len(c.attached) == 0 && !m.staff.followed(c.id):
			m.forget(c)
		case c.window != nil:
			c.forgetRecent()
		}
	}
}
