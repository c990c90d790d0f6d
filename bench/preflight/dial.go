package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/frame"
)

// errSilent is of a server that takes the connection and does not answer.
var errSilent = errors.New("no answer")

// probe is one connection that goes as far as it should. Its methods are called by its loop.
type probe struct {
	conn  *client.Conn
	hello []byte     // the frame; nil: the upgrade is enough
	ended chan error // gets one result; later ones are dropped
}

func (p *probe) end(err error) {
	select {
	case p.ended <- err:
	default:
	}
}

// dial connects, upgrades, and says hello if there is a key.
func dial(ctx context.Context, target *client.Target, cfg *Config) error {
	p := &probe{ended: make(chan error, 1)}
	if cfg.Key != nil {
		signed, err := visitor(cfg.Key)
		if err != nil {
			return err
		}
		m := frame.Hello{Ref: 1, Token: []byte(signed), Agent: []byte("switchyard-bench")}
		p.hello = m.Append(nil)
	}
	fleet, err := client.NewFleet(1)
	if err != nil {
		return err
	}
	fleet.Each(func(_ int, l *client.Loop) {
		p.conn = l.NewConn(target, target.SourceFor(0, 1), p)
		p.conn.Dial()
	})
	late := time.NewTimer(cfg.Within)
	defer late.Stop()
	select {
	case err = <-p.ended:
	case <-late.C:
		err = fmt.Errorf("%w within %s", errSilent, cfg.Within)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return errors.Join(err, fleet.Stop())
}

// Opened implements client.Handler.
func (p *probe) Opened() {
	if p.hello == nil {
		p.end(nil)
		return
	}
	p.conn.Wake()
}

// Flush implements client.Handler.
func (p *probe) Flush() { p.conn.End(append(p.conn.Begin(ws.OpBinary), p.hello...)) }

// Message implements client.Handler: the first frame decides.
func (p *probe) Message(op ws.OpCode, batch []byte) {
	typ, f, _, err := frame.Next(batch)
	if err != nil || op != ws.OpBinary {
		p.end(errForeign)
		return
	}
	switch typ {
	case frame.TypeWelcome:
		var m frame.Welcome
		err = m.Parse(f)
	case frame.TypeError:
		var m frame.Error
		if err = m.Parse(f); err == nil {
			p.end(&refused{m.Code, string(m.Text)})
			return
		}
	default:
		err = errForeign
	}
	if err != nil {
		err = errForeign
	}
	p.end(err)
}

// Closed implements client.Handler.
func (p *probe) Closed(err error) { p.end(err) }

// is fits errors of these kinds.
func is(kinds ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
	}
}

// status fits refused upgrades of these codes, or of all.
func status(codes ...int) func(error) bool {
	return func(err error) bool {
		var refused *client.UpgradeError
		return errors.As(err, &refused) && (len(codes) == 0 || slices.Contains(codes, refused.Status))
	}
}

// code fits refused hellos.
func code(codes ...uint64) func(error) bool {
	return func(err error) bool {
		var r *refused
		return errors.As(err, &r) && slices.Contains(codes, r.code)
	}
}

// closed fits close frames of these codes.
func closed(codes ...int) func(error) bool {
	return func(err error) bool {
		var c *client.CloseError
		return errors.As(err, &c) && slices.Contains(codes, c.Code)
	}
}
