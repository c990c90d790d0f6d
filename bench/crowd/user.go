package crowd

import (
	"fmt"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

// Handler is a scenario's side of a User. All calls come from the user's loop.
type Handler interface {
	// Welcomed says that the hello was accepted: Send what the user wants.
	Welcomed(m *frame.Welcome)
	// Frame hands over any other frame, borrowed until Frame returns. The error is a malformed one, which ends the run.
	Frame(typ frame.Type, f []byte) error
	// Ended says why the connection is gone. It may be dialled again from here.
	Ended(err error)
}

// refHello is the ref of the user's own request; scenarios choose greater ones.
const refHello = 1

// FirstRef is the least ref that a scenario uses.
const FirstRef = 16

// A batch stays below the server's limits: frames, and bytes of a message.
const (
	batchFrames = frame.MaxFrames - 1
	batchBytes  = frame.MaxMessage
)

// lifetime of a token, longer than any run.
const lifetime = 24 * time.Hour

// User is one connection of one user. Everything on it belongs to its loop.
type User struct {
	Conn  *client.Conn
	Ready bool // welcomed on the present connection
	List  bool // asks for its open conversations with each hello

	scene   *Scene
	handler Handler
	token   []byte
	name    string
	out     []byte // frames for the next Flush
	again   client.Timer
}

// NewUser makes a user on a loop; the caller dials its Conn. Number is the connection's place in the run, which decides its source address.
// Group may be empty for a visitor.
func (s *Scene) NewUser(l *client.Loop, number int, role, name, group string, h Handler) (*User, error) {
	text, err := s.cfg.Key.Sign(role, name, group, time.Now(), lifetime)
	if err != nil {
		return nil, err
	}
	u := &User{scene: s, handler: h, token: []byte(text), name: name}
	u.Conn = l.NewConn(s.Target, s.Target.SourceFor(number, s.cfg.PerSource), u)
	u.again.Fire = u.hello
	return u, nil
}

// Visitor and Agent name a user of this run.
func (s *Scene) Visitor(n int) string { return fmt.Sprintf("bench-%08x-v%d", s.Run, n) }

// Agent names an agent of this run, and the group that only this agent serves.
func (s *Scene) Agent(n int) string { return fmt.Sprintf("bench-%08x-a%d", s.Run, n) }

// Send queues a frame for the end of the turn. Dropped if the connection ends before.
func (u *User) Send(m interface{ Append([]byte) []byte }) {
	u.out = m.Append(u.out)
	u.Conn.Wake()
}

func (u *User) hello() {
	m := frame.Hello{Ref: refHello, Token: u.token, Agent: []byte("switchyard-bench")}
	if u.List {
		m.Flags = frame.HelloList
	}
	u.Send(&m)
}

// Opened implements client.Handler.
func (u *User) Opened() { u.hello() }

// Flush implements client.Handler: what was queued, in as few messages as the limits allow.
func (u *User) Flush() {
	for rest := u.out; len(rest) > 0; {
		n := batchOf(rest)
		u.Conn.End(append(u.Conn.Begin(ws.OpBinary), rest[:n]...))
		rest = rest[n:]
	}
	u.out = nil
}

// batchOf returns how many bytes of whole frames go into one message.
func batchOf(frames []byte) int {
	n := 0
	for count := 0; n < len(frames) && count < batchFrames; count++ {
		_, f, _, err := frame.Next(frames[n:])
		if err != nil {
			panic("BUG: crowd: queued what is no frame: " + err.Error())
		}
		if n > 0 && n+len(f) > batchBytes {
			break
		}
		n += len(f)
	}
	return n
}

// Message implements client.Handler: one batch of frames. Who leaves in the middle is told no more.
func (u *User) Message(op ws.OpCode, batch []byte) {
	for len(batch) > 0 && u.Conn.Open() {
		typ, f, rest, err := frame.Next(batch)
		if err == nil {
			err = u.frame(typ, f)
		}
		if err != nil {
			u.scene.Fail(fmt.Errorf("the server sent what is no frame of the protocol: %w", err))
			return
		}
		batch = rest
	}
}

func (u *User) frame(typ frame.Type, f []byte) error {
	switch typ {
	case frame.TypeWelcome:
		var m frame.Welcome
		if err := m.Parse(f); err != nil {
			return err
		}
		u.Ready = true
		u.handler.Welcomed(&m)
		return nil
	case frame.TypeError:
		if !u.Ready {
			return u.refused(f)
		}
	}
	return u.handler.Frame(typ, f)
}

// refused takes the answer to a hello that was not accepted.
func (u *User) refused(f []byte) error {
	var m frame.Error
	if err := m.Parse(f); err != nil {
		return err
	}
	if frame.ErrorRetry(m.Code) {
		u.Conn.Loop().Arm(&u.again, client.Now()+later(m.RetryMS))
		return nil
	}
	u.scene.Fail(Refusal(u.name, &m))
	return nil
}

// Refusal is the error of a request that no retry helps.
func Refusal(who string, m *frame.Error) error {
	remedy := ""
	if m.Code == frame.ErrorUnauthorized {
		remedy = " (is --key the file that the server checks tokens with?)"
	}
	return fmt.Errorf("the server refused request %d of %s: %s: %s%s", m.Ref, who, frame.ErrorName(m.Code), m.Text, remedy)
}

// Closed implements client.Handler.
func (u *User) Closed(err error) {
	u.Conn.Loop().Disarm(&u.again)
	u.Ready, u.out = false, nil
	u.handler.Ended(err)
}

// Leave closes the connection; its handler is not told.
func (u *User) Leave() {
	u.Conn.Loop().Disarm(&u.again)
	u.Ready, u.out = false, nil
	u.Conn.Close(ws.StatusNormalClosure)
}

// Roles, so that scenarios need not import the signer.
const (
	Visitor = token.Visitor
	Agent   = token.Agent
)
