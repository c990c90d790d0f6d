package idle

import (
	"errors"
	"fmt"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

// visitor is one connection: it says hello and then nothing. Owned by its loop.
type visitor struct {
	run   *run
	conn  *client.Conn
	token string
	said  bool
}

func (r *run) dial(l *client.Loop, n int) error {
	text, err := r.cfg.Key.Sign(token.Visitor, fmt.Sprintf("bench-idle-%d", n), "", time.Now(), time.Hour+r.cfg.Hold)
	if err != nil {
		return err
	}
	v := &visitor{run: r, token: text}
	v.conn = l.NewConn(r.target, r.target.SourceFor(n, r.cfg.PerSource), v)
	v.conn.Dial()
	return nil
}

// Opened implements client.Handler.
func (v *visitor) Opened() { v.conn.Wake() }

// Flush implements client.Handler.
func (v *visitor) Flush() {
	if v.said {
		return
	}
	v.said = true
	m := frame.Hello{Ref: 1, Token: []byte(v.token), Agent: []byte("switchyard-bench")}
	v.conn.End(m.Append(v.conn.Begin(ws.OpBinary)))
	v.token = ""
}

// Message implements client.Handler.
func (v *visitor) Message(_ ws.OpCode, batch []byte) {
	for len(batch) > 0 {
		typ, f, rest, err := frame.Next(batch)
		if err != nil {
			v.run.fail(err)
			return
		}
		switch typ {
		case frame.TypeWelcome:
			v.run.welcomed <- struct{}{}
		case frame.TypeError:
			v.run.fail(refusal(f))
		}
		batch = rest
	}
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
