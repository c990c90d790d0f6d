package crowd

import (
	"encoding/binary"
	"fmt"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// authorWindow is how many messages an author has under way.
const authorWindow = 64

// Author is one visitor with one conversation that nobody serves, in which it writes by itself. Everything on it belongs to one loop.
type Author struct {
	*User
	Number   int
	Conv     frame.ID // zero until it is open
	Head     uint64   // of the conversation when it was opened
	Messages uint64   // how many it writes
	Page     func(m *frame.Page, refused *frame.Error)

	scene  *Scene
	loop   *client.Loop
	size   int
	speech speech
	again  client.Timer // opens, or sends what is open, again
	body   []byte
	closed bool
}

// refs of an author; those of its messages follow.
const (
	refOpen    = FirstRef
	refClose   = FirstRef + 1
	refHistory = FirstRef + 2
	refWrites  = FirstRef + 16
)

// NewAuthor makes an author on a loop that writes so many messages with bodies of size bytes. Its Conn is to be dialled. Number tells it from others of the
// run, which finds the conversation of an author with the same number again (Config.Run).
func (s *Scene) NewAuthor(l *client.Loop, number int, messages uint64, size int) (*Author, error) {
	a := &Author{Number: number, Messages: messages, scene: s, loop: l, size: size, speech: speech{pair: uint32(number)}}
	a.again.Fire = a.repeat
	var err error
	a.User, err = s.NewUser(l, number, Visitor, a.Name(), "", a)
	return a, err
}

// Name is the visitor.
func (a *Author) Name() string { return a.scene.Visitor(a.Number) }

// Written is how many messages were accepted.
func (a *Author) Written() uint64 { return a.speech.accepted }

// Closed tells whether the conversation is.
func (a *Author) Closed() bool { return a.closed }

// CloseConversation leaves no open conversation behind for the next run on this server.
func (a *Author) CloseConversation() { a.Send(&frame.Close{Ref: refClose, Conv: a.Conv}) }

// Ask asks for the page before a sequence; Page gets it, or why not.
func (a *Author) Ask(before uint64, limit int) {
	a.Send(&frame.History{Ref: refHistory, Conv: a.Conv, Before: before, Limit: uint64(limit)})
}

// Welcomed implements Handler.
func (a *Author) Welcomed(*frame.Welcome) { a.open() }

func (a *Author) open() {
	var key frame.ID
	binary.BigEndian.PutUint32(key[:], a.scene.Run)
	binary.BigEndian.PutUint32(key[4:], uint32(a.Number))
	a.Send(&frame.Open{Ref: refOpen, Key: key, Group: []byte(a.scene.Agent(a.Number))})
}

// Ended implements Handler.
func (a *Author) Ended(err error) {
	a.scene.Fail(err)
}

// Frame implements Handler.
func (a *Author) Frame(typ frame.Type, f []byte) error {
	switch typ {
	case frame.TypeConversation:
		var m frame.Conversation
		if err := m.Parse(f); err != nil {
			return err
		}
		if m.Ref == refOpen && a.Conv.IsZero() {
			a.Conv, a.speech.conv, a.Head, a.speech.known = m.Conv, m.Conv, m.Head, m.Head
			a.write()
		}
	case frame.TypeAck:
		var m frame.Ack
		if err := m.Parse(f); err != nil {
			return err
		}
		a.acked(&m)
	case frame.TypePage:
		var m frame.Page
		if err := m.Parse(f); err != nil {
			return err
		}
		if a.Page == nil {
			return fmt.Errorf("a page that answers request %d, which was never made", m.Ref)
		}
		a.Page(&m, nil)
	case frame.TypeError:
		var m frame.Error
		if err := m.Parse(f); err != nil {
			return err
		}
		a.refused(&m)
	}
	return nil
}

func (a *Author) acked(m *frame.Ack) {
	if m.Ref == refClose {
		a.closed = true
	}
	if m.Ref >= refWrites && a.speech.acked(m.Ref-refWrites, m.Seq) {
		a.write()
	}
}

// write sends what may be under way.
func (a *Author) write() {
	for a.speech.said < a.Messages && len(a.speech.open) < authorWindow && !a.again.Armed() {
		a.send(a.speech.say(client.Now()))
	}
}

func (a *Author) send(s saying) {
	var send frame.Send
	send, a.body = a.speech.frame(a.scene.Run, a.size, s, refWrites+s.index, a.body)
	a.Send(&send)
}

func (a *Author) refused(m *frame.Error) {
	switch {
	case m.Ref == refHistory && a.Page != nil:
		a.Page(nil, m)
	case m.Ref == refClose:
		a.closed = true // what nobody could close is the next run's
	case !frame.ErrorRetry(m.Code):
		a.scene.Fail(Refusal(a.Name(), m))
	case !a.again.Armed():
		a.loop.Arm(&a.again, client.Now()+later(m.RetryMS))
	}
}

// repeat does again what was refused: everything that is open, in order.
func (a *Author) repeat() {
	if a.Conv.IsZero() {
		a.open()
		return
	}
	for _, s := range a.speech.open {
		a.send(s)
	}
	a.write()
}

// Judge is what pages of the conversation are compared with. Known tells that the author wrote all of it in this run.
func (a *Author) Judge(l *oracle.Ledger, known, backwards bool) *oracle.Walk {
	messages := a.Messages
	if !known {
		messages = 0
	}
	return oracle.NewWalk(l, oracle.Written{Run: a.scene.Run, Number: a.Number, Size: a.size, Conv: a.Conv, Sender: a.Name(), Messages: messages}, backwards)
}
