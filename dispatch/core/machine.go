package core

import (
	"github.com/switchyard-im/switchyard/frame"
)

// Config bounds a machine. The zero value means the defaults.
type Config struct {
	ResumeMax   int   // messages that a resume replays; one that missed more gets recovered=false (default 5,000)
	LookbackMax int   // messages that a retry is compared with when it names an old base (default 4,096)
	EvictMS     int64 // a conversation that nobody is attached to leaves memory after this time (default 60,000 ms)
	RetryMS     int64 // the wait that refused clients are told (default 1,000 ms)

	Escalate     Escalate
	Groups       map[string]GroupRules // by name
	DefaultGroup GroupRules            // of groups that are not in Groups
}

func (c Config) withDefaults() Config {
	set := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	if c.ResumeMax == 0 {
		c.ResumeMax = 5000
	}
	if c.LookbackMax == 0 {
		c.LookbackMax = 4096
	}
	set(&c.EvictMS, 60_000)
	set(&c.RetryMS, 1000)
	return c
}

// Origin is who sent a frame.
type Origin struct {
	Conn frame.ConnID
	Who  *Identity
}

// Machine holds the conversations and users of one runner. It is not safe for concurrent use: one runner owns it.
//
// A batch is Begin, any number of events, End. The Effects of a batch are complete after End.
type Machine struct {
	cfg     Config
	convs   map[frame.ID]*conversation
	chunks  chunks // where they lie
	records *recordReader
	users   users
	groups  map[string]*group // so that conversations share them; at most groupsKept
	staff   staff             // who follows notes

	// Of the current batch.
	now       int64 // Unix milliseconds
	available bool  // the store takes writes
	quiet     bool  // presence is withheld; set by Withhold, between batches
	out       *Effects
	touched   []touched       // the conversations that it concerns
	forgotten []*conversation // dropped in it, given back at its end
	messages  []messageRef
	signals   []signal
	leaver    int8   // the member whom the next event takes the conversation from; 0: nobody
	name      []byte // a user's name, for encoding
	scratch   []byte // gathers the frames of one conversation, and state records; Writes borrow from it

	dirty []*conversation // became marksDirty, in this order; some have been written since
	due   int             // the first so many of them were there at the last Tick

	stalled map[*conversation]struct{} // their load failed and something still waits for it; Tick asks again
	unsaid  map[*conversation]struct{} // presence was withheld; Tick tells it when it may
	tickets uint64                     // the last that was given to a hand-over
}

// messageRef is one message of the batch in Effects.Buf; next links the messages of one conversation.
type messageRef struct{ off, len, next int32 }

// New makes an empty machine.
func New(cfg Config) *Machine {
	return &Machine{
		cfg:     cfg.withDefaults(),
		convs:   make(map[frame.ID]*conversation),
		records: newRecordReader(),
		users:   newUsers(),
		groups:  make(map[string]*group),
		staff:   make(staff),

		stalled: make(map[*conversation]struct{}),
		unsaid:  make(map[*conversation]struct{}),
	}
}

// Begin starts a batch at nowMS (Unix milliseconds) whose effects go to out, which must be empty. If the store is not available,
// whatever needs a write is refused.
func (m *Machine) Begin(nowMS int64, available bool, out *Effects) {
	m.now, m.available, m.out = nowMS, available, out
	m.scratch = m.scratch[:0]
}

// End completes the batch's effects: what was merged goes out, and each conversation's messages become one write.
func (m *Machine) End() {
	m.flushSignals()
	if m.available {
		m.writeMarks(min(marksPerBatch, m.due))
	}
	for i := range m.touched {
		m.flushConversation(m.touched[i].conv, &m.touched[i].batch)
	}
	clear(m.touched)
	m.touched, m.messages = m.touched[:0], m.messages[:0]
	m.giveForgotten()
}

// giveForgotten gives back the conversations that the batch dropped: now nothing of the batch names them any more.
func (m *Machine) giveForgotten() {
	for i, c := range m.forgotten {
		delete(m.unsaid, c) // the batch may have kept its presence after it was dropped
		m.chunks.give(c)
		m.forgotten[i] = nil
	}
	m.forgotten = m.forgotten[:0]
}

// Frame handles one client frame, which is borrowed until it returns; arrived is in Unix nanoseconds. The frame was checked by
// frame.Next and its connection is authenticated.
func (m *Machine) Frame(from Origin, typ frame.Type, f []byte, arrived int64) {
	m.request(parked{from: from, typ: typ, frame: f, arrived: arrived})
}

// Call handles the frame of an application, which has no connection: as Frame does, but what it attaches is detached again at once. From.Conn names the
// request; Gone ends what is kept of it.
func (m *Machine) Call(from Origin, typ frame.Type, f []byte, arrived int64) {
	m.request(parked{from: from, typ: typ, frame: f, arrived: arrived, leaves: true})
}

func (m *Machine) request(p parked) {
	switch p.typ {
	case frame.TypeStatus:
		m.status(p.from, p.frame, p.arrived)
		return
	case frame.TypeWatch:
		m.watch(p.from, p.frame, p.arrived)
		return
	case frame.TypeOpen:
		m.openFrame(p)
		return
	}
	conv, ok := frame.PeekConv(p.typ, p.frame)
	if !ok {
		m.refuse(p.from.Conn, 0, frame.ErrorBadFrame, "this frame names no conversation")
		return
	}
	m.deliver(m.conversation(conv), p)
}

// conversation returns the conversation, which may be cold.
func (m *Machine) conversation(id frame.ID) *conversation {
	c := m.convs[id]
	if c == nil {
		c = m.chunks.take(id)
		m.convs[id] = c
	}
	c.usedMS = uint32(m.now)
	return c
}

// deliver handles an event at once if its conversation is loaded, and else keeps it until it is.
func (m *Machine) deliver(c *conversation, p parked) {
	if c.load == loaded {
		m.handle(c, p)
		return
	}
	if c.load == cold {
		c.load = loading
		m.out.Jobs = append(m.out.Jobs, Job{Op: JobLoad, Conv: c.id})
	}
	if len(c.waiting()) >= waitingMax && p.kind != parkedDecision && p.kind != parkedErase {
		if p.typ == frame.TypeDetach {
			m.leave(c, p.from.Conn)
		}
		if p.typ == frame.TypeSend {
			m.refuseAhead(c, p.from.Conn)
		}
		m.refuseForNow(c, p, frame.ErrorOverloaded, textWaiting)
		return
	}
	p.frame = append([]byte(nil), p.frame...) // it is borrowed
	c.wait(append(c.waiting(), p))
}

const textWaiting = "too much waits for this conversation; nothing was done, send it again"

// refuseAhead refuses for now the messages of a connection that wait, in order, before one that finds no room. Else that one would be the first that
// its client has to send again, and those before it, which would come to the barrier later, would be stored after it.
func (m *Machine) refuseAhead(c *conversation, conn frame.ConnID) {
	others := c.waiting()[:0]
	for _, p := range c.waiting() {
		if p.typ == frame.TypeSend && p.from.Conn == conn {
			m.refuseForNow(c, p, frame.ErrorOverloaded, textWaiting)
		} else {
			others = append(others, p)
		}
	}
	c.wait(others)
}

// handle carries out an event of a loaded conversation.
func (m *Machine) handle(c *conversation, p parked) {
	if c.areNotes() && p.kind == parkedFrame && !m.hosted(c, p) {
		return
	}
	switch p.kind {
	case parkedDecision:
		m.decide(c, p.decision)
	case parkedErase:
		c.erase(p.user)
	case parkedShow:
		from := len(m.out.Targets)
		m.show(c, p.from.Conn, 0)
		m.certain(from)
	default:
		m.frame(c, p)
	}
	if p.leaves {
		m.gone(c, p.from.Conn)
	}
}

// frame dispatches a client frame of a loaded conversation.
func (m *Machine) frame(c *conversation, p parked) {
	if p.typ == frame.TypeOpen {
		m.open(c, p)
		return
	}
	if c.areNotes() {
		if !m.admits(c, p) {
			return
		}
	} else if len(c.members) == 0 {
		m.forgetMissing(c)
		m.refuseParked(p, frame.ErrorNotFound, "there is no such conversation")
		return
	}
	switch p.typ {
	case frame.TypeSend:
		m.send(c, p)
	case frame.TypeDelivered, frame.TypeRead:
		m.mark(c, p)
	case frame.TypeSignal:
		m.signal(c, p)
	case frame.TypeAttach:
		m.attachFrame(c, p)
	case frame.TypeResume:
		m.resume(c, p)
	case frame.TypeDetach:
		m.detachFrame(c, p)
	case frame.TypeHistory:
		m.history(c, p)
	case frame.TypeClose:
		m.closeFrame(c, p)
	case frame.TypeReopen:
		m.reopen(c, p)
	case frame.TypeJoin:
		m.join(c, p)
	case frame.TypeClaim:
		m.claim(c, p)
	case frame.TypeTransfer:
		m.transfer(c, p)
	case frame.TypeHold:
		m.hold(c, p)
	case frame.TypeRate:
		m.rate(c, p)
	default:
		m.refuse(p.from.Conn, 0, frame.ErrorUnknownType, "the server does not take this type of frame")
	}
}

// resumeWaiting handles what waited for a load or a lookup, until something makes the conversation wait again.
func (m *Machine) resumeWaiting(c *conversation) {
	for c.load == loaded && len(c.waiting()) > 0 {
		m.handle(c, c.next())
	}
}

// touch puts the conversation on the list that End goes through, and returns what it gathers; valid until another one is touched.
func (m *Machine) touch(c *conversation) *batchState {
	if c.touched == 0 {
		m.touched = append(m.touched, touched{conv: c})
		c.touched = int32(len(m.touched))
	}
	return &m.touched[c.touched-1].batch
}

// to sends the frame that was appended to Buf from off on to one connection.
func (m *Machine) to(conn frame.ConnID, off int) {
	if conn == 0 {
		return // it was closed meanwhile
	}
	m.out.Targets = append(m.out.Targets, frame.Target{Conn: conn, Off: uint32(off), Len: uint32(len(m.out.Buf) - off)})
}

// toAttached sends the bytes Buf[off:off+n] to every live receiver but one connection. Who had the conversation and has it no more is attached until
// that is durable, see Dismiss, and gets nothing but the event that says so.
func (m *Machine) toAttached(c *conversation, off, n int, except frame.ConnID) {
	if c.areNotes() {
		m.toStaff(c, off, n, except)
		return
	}
	for i := range c.attached {
		if a := &c.attached[i]; !a.catching && a.conn != except && (a.member < 0 || c.takesPart(a.member) || a.member == m.leaver) {
			m.out.Targets = append(m.out.Targets, frame.Target{Conn: a.conn, Off: uint32(off), Len: uint32(n)})
		}
	}
}

// ack answers a request; a ref of 0 asked for no answer.
func (m *Machine) ack(conn frame.ConnID, ref, seq, timeMS uint64, arrived int64) {
	m.out.Answers = append(m.out.Answers, Answer{Conn: conn, Ref: ref, Arrived: arrived})
	if ref == 0 {
		return
	}
	off := len(m.out.Buf)
	a := frame.Ack{Ref: ref, Seq: seq, TimeMS: timeMS}
	m.out.Buf = a.Append(m.out.Buf)
	m.to(conn, off)
}

// certain marks the targets from an index on: they do not depend on the batch's writes.
func (m *Machine) certain(from int) {
	for i := from; i < len(m.out.Targets); i++ {
		m.out.Certain = append(m.out.Certain, int32(i))
	}
}

// refuse answers with an error frame. It may depend on what the batch writes, so it is an answer like others.
func (m *Machine) refuse(conn frame.ConnID, ref, code uint64, text string) {
	e := frame.Error{Ref: ref, Code: code, Text: []byte(text)}
	if code == frame.ErrorOverloaded || code == frame.ErrorUnavailable {
		e.RetryMS = uint64(m.cfg.RetryMS)
	}
	off := len(m.out.Buf)
	m.out.Buf = e.Append(m.out.Buf)
	m.to(conn, off)
	m.out.Answers = append(m.out.Answers, Answer{Conn: conn, Ref: ref})
}

// refuseUnavailable refuses a request that would have to be written.
func (m *Machine) refuseUnavailable(conn frame.ConnID, ref uint64) {
	m.refuse(conn, ref, frame.ErrorUnavailable, textUnavailable)
}

const textUnavailable = "the server cannot store messages now; nothing was kept, send it again"

// refuseParked refuses an event that could not be handled; only client frames have somebody to tell.
func (m *Machine) refuseParked(p parked, code uint64, text string) {
	if p.kind == parkedFrame {
		m.refuse(p.from.Conn, frame.PeekRef(p.frame), code, text)
	}
}

// badFrame refuses a frame whose fields do not fit.
func (m *Machine) badFrame(p parked, err error) {
	m.refuse(p.from.Conn, frame.PeekRef(p.frame), frame.ErrorBadFrame, err.Error())
}

// forgetMissing drops a conversation that does not exist, unless something waits, which may be what creates it.
func (m *Machine) forgetMissing(c *conversation) {
	if len(c.waiting()) == 0 {
		m.forget(c)
	}
}

// forgetEmpty drops one of which nothing is known and which nobody follows.
func (m *Machine) forgetEmpty(c *conversation) {
	if c.load == loaded && len(c.members)+len(c.attached)+len(c.waiting()) == 0 && c.touched == 0 {
		m.forget(c)
	}
}

// forget drops a conversation from memory. A place in dirty may outlive it, which another conversation may have by then: its marks are written
// early if they are dirty.
func (m *Machine) forget(c *conversation) {
	if m.convs[c.id] != c {
		return // it was forgotten in this batch
	}
	c.marksDirty = false
	delete(m.stalled, c)
	delete(m.unsaid, c)
	delete(m.convs, c.id)
	m.forgotten = append(m.forgotten, c)
}
