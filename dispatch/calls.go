package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// CallRef is the ref that the frame of a call has.
const CallRef = 1

// ErrOverloaded is what Call returns when the server has too much to do; nothing was done.
var ErrOverloaded = errors.New("dispatch: the server has too much to do")

// Call does what a frame asks for, for an application, which has no connection: with the checks of any other frame, and answered when it is durable. It
// returns the frame that answers: ack, conversation or error. The frame's ref is CallRef. Any goroutine; if ctx ends before the answer comes, it may be
// done or not. Whoever calls waits, so there are never more calls than those who may call.
func (c *Center) Call(ctx context.Context, who *core.Identity, f []byte) ([]byte, error) {
	if c.governor.sheds(classConnections) {
		return nil, ErrOverloaded
	}
	r, conv, err := c.callee(who, f)
	if err != nil {
		return nil, err
	}
	call := c.calls.begin()
	defer func() {
		c.calls.end(call)
		r.inbox.put(control{kind: ctlGone, conv: conv, conn: call.id})
	}()
	r.inbox.put(control{kind: ctlCall, conn: call.id, who: who, frames: f, after: uint64(time.Now().UnixNano())})
	select {
	case answer := <-call.answer:
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.quit:
		return nil, errStopped
	}
}

// callee finds the runner, and the conversation that the frame is about, if there is one.
func (c *Center) callee(who *core.Identity, f []byte) (*runner, frame.ID, error) {
	typ, f, rest, err := frame.Next(f)
	switch {
	case err != nil:
		return nil, frame.ID{}, err
	case len(rest) > 0:
		return nil, frame.ID{}, errors.New("dispatch: a call has one frame")
	case typ == frame.TypeStatus:
		return c.ownerOfUser(who.Key()), frame.ID{}, nil
	}
	conv, ok := frame.PeekConv(typ, f)
	if typ == frame.TypeOpen {
		var o frame.Open
		if err := o.Parse(f); err != nil {
			return nil, frame.ID{}, err
		}
		conv, ok = core.ConversationID(who.User, o.Key), true
	}
	if !ok {
		return nil, frame.ID{}, errors.New("dispatch: a call about no conversation")
	}
	return c.owner(conv), conv, nil
}

// calls are the calls that wait for their answers. Each has the address of a connection, on a loop that there is not: so whatever answers a connection
// answers them too. They stand before the connections, whose addresses they pass on. Safe for concurrent use.
type calls struct {
	conns Conns
	loop  int // behind the loops of the server

	mu      sync.Mutex
	last    uint64                 // guarded by mu
	waiting map[frame.ConnID]*call // guarded by mu
}

func newCalls(conns Conns, loop int) *calls {
	return &calls{conns: conns, loop: loop, waiting: map[frame.ConnID]*call{}}
}

// begin makes a call that can be answered.
func (cs *calls) begin() *call {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.last++
	c := &call{id: frame.MakeConnID(0, cs.loop, int(cs.last>>24)&0xffffff, int(cs.last)&0xffffff), answer: make(chan []byte, 1)}
	c.data = &session{}
	cs.waiting[c.id] = c
	return c
}

func (cs *calls) end(c *call) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.waiting, c.id)
}

func (cs *calls) find(id frame.ConnID) *call {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.waiting[id]
}

// Deliver implements Conns.
func (cs *calls) Deliver(loop int, p *frame.Parcel) {
	if loop != cs.loop {
		cs.conns.Deliver(loop, p)
		return
	}
	for _, t := range p.Targets {
		if c := cs.find(t.Conn); c != nil {
			c.Write(p.Buf[t.Off : t.Off+t.Len])
		}
	}
	p.Owner.Release(p)
}

// Post implements Conns.
func (cs *calls) Post(id frame.ConnID, f func(Conn)) {
	if id.Loop() != cs.loop {
		cs.conns.Post(id, f)
		return
	}
	if c := cs.find(id); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		f(c)
	}
}

// call is a call as a connection that takes one frame: the one with its ref.
type call struct {
	id     frame.ConnID
	answer chan []byte // capacity 1
	mu     sync.Mutex  // stands for the loop
	data   any         // guarded by mu
}

func (c *call) ID() frame.ConnID      { return c.id }
func (c *call) Loop() int             { return c.id.Loop() }
func (c *call) AfterWriting(f func()) { f() }
func (c *call) Spend(int)             {}
func (c *call) Close(uint16, string)  {}
func (c *call) Data() any             { return c.data }
func (c *call) SetData(v any)         { c.data = v }
func (c *call) Now() int64            { return time.Now().UnixNano() }

// Write takes the answer; other frames, and what comes after it, are of no use to a call.
func (c *call) Write(frames []byte) {
	for len(frames) > 0 {
		typ, f, rest, err := frame.Next(frames)
		if err != nil {
			panic("BUG: dispatch: what is sent is no frame: " + err.Error())
		}
		if answers(typ) && frame.PeekRef(f) == CallRef {
			select {
			case c.answer <- append([]byte(nil), f...):
			default:
			}
			return
		}
		frames = rest
	}
}

func answers(typ frame.Type) bool {
	return typ == frame.TypeAck || typ == frame.TypeError || typ == frame.TypeConversation
}
