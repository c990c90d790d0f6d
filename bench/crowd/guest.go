package crowd

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/frame"
)

// Resume asks for what the guest missed, or opens its conversation the first time.
func (g *Guest) Resume() {
	if !g.opened {
		g.Send(&frame.Open{Ref: FirstRef, Key: g.key, Group: []byte(g.ward.agent)})
		return
	}
	g.Send(&frame.Resume{Ref: FirstRef, Conv: g.speech.conv, After: g.Stream.Known()})
}

// begin counts the guest once its conversation is open and assigned.
func (g *Guest) begin() {
	if g.opened && g.assigned {
		g.ward.Attached++
	}
}

// GoAway closes the guest's connection as a client does that means it.
func (g *Guest) GoAway() {
	g.away()
	g.Leave()
}

// away forgets what belonged to the connection.
func (g *Guest) away() {
	g.ward.loop.Disarm(&g.timer)
	if g.welcomed {
		g.ward.Welcome--
	}
	if g.live {
		g.ward.Live--
	}
	g.welcomed, g.resumed, g.live = false, false, false
}

// act is what the timer is for: the next dial, or the request that was refused.
func (g *Guest) act() {
	switch {
	case g.Conn.Idle():
		g.Conn.Dial()
	case g.Ready:
		g.Resume()
	}
}

// Welcomed implements Handler.
func (g *Guest) Welcomed(m *frame.Welcome) {
	g.tries.Welcomed(m, g.ward.Retry)
	g.welcomed = true
	g.ward.Welcome++
	if !g.opened || !g.ward.Hold {
		g.Resume()
	}
}

// Ended implements Handler.
func (g *Guest) Ended(err error) {
	g.away()
	w := g.ward
	if w.Dropped != nil {
		w.Dropped(g, err)
	}
	if w.mayDial("a guest", err) {
		w.loop.Arm(&g.timer, max(client.Now()+w.wait(&g.tries, err), g.notBefore))
	}
}

// Frame implements Handler.
func (g *Guest) Frame(typ frame.Type, f []byte) error {
	switch typ {
	case frame.TypeMessage:
		return g.message(f)
	case frame.TypeConversation:
		return g.conversation(f)
	case frame.TypeResumed:
		return g.onResumed(f)
	case frame.TypeError:
		return g.refused(f)
	case frame.TypeDrain:
		return g.drain(f)
	}
	return nil
}

func (g *Guest) message(f []byte) error {
	var m frame.Message
	if err := m.Parse(f); err != nil {
		return err
	}
	w := g.ward
	if due, fresh := g.Stream.Received(&w.Ledger, w.scene.Run, w.Size, &m); fresh && w.Heard != nil {
		w.Heard(g, due)
	}
	g.caughtUp()
	return nil
}

// caughtUp makes the guest live when it has everything that its resume promised.
func (g *Guest) caughtUp() {
	if g.live || !g.resumed || g.Stream.Known() < g.upto {
		return
	}
	g.live = true
	g.ward.Live++
	if g.ward.Back != nil {
		g.ward.Back(g)
	}
}

func (g *Guest) conversation(f []byte) error {
	var m frame.Conversation
	if err := m.Parse(f); err != nil {
		return err
	}
	if m.Ref != FirstRef || g.live {
		return nil
	}
	if !g.opened {
		g.opened, g.speech.conv = true, m.Conv
		g.Stream.Attached(m.Head)
		g.begin()
	}
	g.live, g.resumed = true, true
	g.ward.Live++
	return nil
}

func (g *Guest) onResumed(f []byte) error {
	var m frame.Resumed
	if err := m.Parse(f); err != nil {
		return err
	}
	if !m.Recovered {
		g.Stream.Unrecovered(&g.ward.Ledger, fmt.Sprintf("not recovered, the head is %d", m.Head))
		g.Stream.Attached(m.Head)
	}
	g.resumed, g.upto = true, m.Head
	g.caughtUp()
	return nil
}

func (g *Guest) refused(f []byte) error {
	var m frame.Error
	if err := m.Parse(f); err != nil {
		return err
	}
	if !frame.ErrorRetry(m.Code) {
		g.ward.scene.Fail(Refusal("a guest", &m))
		return nil
	}
	g.ward.loop.Arm(&g.timer, client.Now()+later(m.RetryMS))
	return nil
}

func (g *Guest) drain(f []byte) error {
	var m frame.Drain
	if err := m.Parse(f); err != nil {
		return err
	}
	ms := int64(m.DelayMS) + g.ward.random.Int64N(int64(m.WindowMS)+1)
	g.notBefore = client.Now() + ms*1e6
	return nil
}
