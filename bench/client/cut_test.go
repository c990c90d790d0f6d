package client

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// severed dials again each time that its connection ends, and says why that was.
type severed struct {
	conn   *Conn
	opened chan struct{}
	closed chan error
}

func (s *severed) Opened()                   { s.opened <- struct{}{} }
func (s *severed) Message(ws.OpCode, []byte) {}
func (s *severed) Flush()                    {}
func (s *severed) Closed(err error) {
	s.closed <- err
	s.conn.Dial()
}

// TestCutResetsTheShare: about the share of the connections is reset, which the server sees as a reset, and the others stay.
func TestCutResetsTheShare(t *testing.T) {
	const conns = 400
	var resets, orderly atomic.Int64
	url := script(t, func(c net.Conn, r *http.Request) {
		_, _ = c.Write([]byte(switching(r)))
		if _, err := c.Read(make([]byte, 100)); errors.Is(err, syscall.ECONNRESET) {
			resets.Add(1)
		} else {
			orderly.Add(1)
		}
	})
	target, err := ParseTarget(url, "")
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := NewFleet(1)
	if err != nil {
		t.Fatal(err)
	}
	s := &severed{opened: make(chan struct{}, 2*conns), closed: make(chan error, conns)}
	fleet.Each(func(_ int, l *Loop) {
		for range conns {
			one := &severed{opened: s.opened, closed: s.closed}
			one.conn = l.NewConn(target, target.SourceFor(0, 1000), one)
			one.conn.Dial()
		}
	})
	for range conns {
		<-s.opened
	}
	cut := 0
	fleet.Each(func(_ int, l *Loop) { cut = l.Cut(0.1, rand.New(rand.NewPCG(1, 2))) })
	for range cut {
		if err := <-s.closed; !errors.Is(err, ErrCut) {
			t.Error(err)
		}
		<-s.opened // dialled again
	}
	if cut < conns/20 || cut > conns/5 || len(s.closed) != 0 {
		t.Errorf("%d of %d connections were cut, and %d more ended", cut, conns, len(s.closed))
	}
	for resets.Load() < int64(cut) { // the server has yet to read it; a hang is a test that fails by its deadline
		if orderly.Load() > 0 {
			t.Fatal("the server saw an orderly end")
		}
		time.Sleep(time.Millisecond)
	}
	if err := fleet.Stop(); err != nil {
		t.Fatal(err)
	}
}

// TestAConnectionThatIsWokenBeforeItIsOpen costs its loop nothing while the server is silent, and sends when it is open.
func TestAConnectionThatIsWokenBeforeItIsOpen(t *testing.T) {
	open := make(chan struct{})
	url := script(t, func(c net.Conn, r *http.Request) {
		<-open
		_, _ = c.Write([]byte(switching(r)))
		_, _ = c.Read(make([]byte, 100))
	})
	var flushed, waiting int
	_, reason := dial(t, url, "", func(r *recorder) {
		l := r.conn.loop
		looked := &Timer{}
		looked.Fire = func() {
			switch {
			case r.conn.state != stateUpgrading:
				l.Arm(looked, Now()+int64(time.Millisecond))
			case !r.conn.woken:
				r.conn.Wake()
				l.Arm(looked, Now()+int64(20*time.Millisecond))
			default:
				waiting = len(l.dirty)
				close(open)
			}
		}
		l.Arm(looked, 0)
		r.onFlush = func() {
			flushed++
			r.conn.End(append(r.conn.Begin(ws.OpText), "x"...))
		}
	})
	if waiting != 0 || flushed == 0 {
		t.Errorf("%d connections waited for a flush that cannot be, and %d were flushed when they could: %v", waiting, flushed, reason)
	}
}
