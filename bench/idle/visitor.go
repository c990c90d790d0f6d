package idle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

// The references of the two requests.
const (
	helloRef = 1
	openRef  = 2
	sendRef  = 3
)

// visitor is one connection: it says what its state asks for, and then nothing. Owned by its loop.
type visitor struct {
	run   *run
	conn  *client.Conn
	n     int
	token string
	next  []byte   // what is to be said
	conv  frame.ID // once attached
	id    frame.ID // of its message of the burst
	again client.Timer
}

func (r *run) dial(l *client.Loop, n int) error {
	if r.cfg.State == Upgraded {
		r.start(l, &visitor{run: r, n: n})
		return nil
	}
	text, err := r.cfg.Key.Sign(token.Visitor, fmt.Sprintf("bench-idle-%d", n), "", time.Now(), time.Hour+r.cfg.Hold)
	if err != nil {
		return err
	}
	r.start(l, &visitor{run: r, n: n, token: text})
	return nil
}

func (r *run) start(l *client.Loop, v *visitor) {
	own := &r.visitors[v.n/r.cfg.Of%len(r.visitors)]
	*own = append(*own, v)
	v.conn = l.NewConn(r.target, r.target.SourceFor(v.n, r.cfg.PerSource), v)
	v.conn.Dial()
}

// Opened implements client.Handler.
func (v *visitor) Opened() {
	if v.run.cfg.State == Upgraded {
		v.run.ready <- struct{}{}
		return
	}
	m := frame.Hello{Ref: helloRef, Token: []byte(v.token), Agent: []byte("switchyard-bench")}
	v.token = ""
	v.say(m.Append(nil))
}

func (v *visitor) say(f []byte) {
	v.next = f
	v.conn.Wake()
}

// Flush implements client.Handler.
func (v *visitor) Flush() {
	if v.next != nil {
		v.conn.End(append(v.conn.Begin(ws.OpBinary), v.next...))
		v.next = nil
	}
}

// Message implements client.Handler.
func (v *visitor) Message(_ ws.OpCode, batch []byte) {
	if v.run.cfg.State == Upgraded {
		v.run.ready <- struct{}{} // the burst came back
		return
	}
	for len(batch) > 0 {
		typ, f, rest, err := frame.Next(batch)
		if err != nil {
			v.run.fail(err)
			return
		}
		switch typ {
		case frame.TypeWelcome:
			v.welcome()
		case frame.TypeConversation:
			v.opened(f)
		case frame.TypeAck:
			v.run.ready <- struct{}{}
		case frame.TypeError:
			v.refused(f)
		}
		batch = rest
	}
}

// welcome goes on to the conversation, if there is to be one. Its key is the same in each run, so that the next one finds it again.
func (v *visitor) welcome() {
	if v.run.cfg.State != Attached {
		v.run.ready <- struct{}{}
		return
	}
	m := frame.Open{Ref: openRef, Group: []byte("bench-idle")}
	binary.BigEndian.PutUint64(m.Key[:], uint64(v.n)+1)
	v.say(m.Append(nil))
}

// opened takes the answer to the open frame; other conversation frames are notices.
func (v *visitor) opened(f []byte) {
	var m frame.Conversation
	if err := m.Parse(f); err != nil {
		v.run.fail(err)
	} else if m.Ref == openRef {
		v.conv = m.Conv
		v.run.ready <- struct{}{}
	}
}

// refused ends the run, unless the server has too much to do for a message of the burst: then it is sent again, as every client does.
func (v *visitor) refused(f []byte) {
	var m frame.Error
	if m.Parse(f) == nil && m.Ref == sendRef && m.Code == frame.ErrorOverloaded {
		wait := time.Duration(min(m.RetryMS, 60_000)+1) * time.Millisecond
		v.again.Fire = v.burst
		v.conn.Loop().Arm(&v.again, client.Now()+int64(wait+rand.N(wait)))
		return
	}
	v.run.fail(refusal(f))
}

func refusal(f []byte) error {
	var m frame.Error
	if err := m.Parse(f); err != nil {
		return err
	}
	text := fmt.Sprintf("%s: %s", frame.ErrorName(m.Code), m.Text)
	if m.Code == frame.ErrorUnauthorized {
		text += " (is --key the file that the server checks tokens with?)"
	}
	return errors.New(text)
}

// Closed implements client.Handler.
func (v *visitor) Closed(err error) { v.run.fail(err) }
