package dispatch

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// onlyConn is a server with one connection.
type onlyConn frame.ConnID

func (onlyConn) Deliver(int, *frame.Parcel) {}
func (o onlyConn) Post(id frame.ConnID, f func(Conn)) {
	if id == frame.ConnID(o) {
		f(nil)
	}
}

// TestReplaysOfClosedConnections: replays that are put off wait until the pool has room, but not longer than their connections live.
func TestReplaysOfClosedConnections(t *testing.T) {
	stats, err := newPoolMetrics(prometheus.NewRegistry(), "test", func() int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	full := &pool{queue: make(chan task), stats: stats} // nobody takes anything
	js := &jobs{center: &Center{conns: onlyConn(2)}, pool: full}
	for conn := range frame.ConnID(4) {
		js.queue(core.Job{Op: core.JobReplay, Conn: conn})
	}
	if len(js.delayed) != 4 {
		t.Errorf("%d replays are put off", len(js.delayed))
	}
	for range 2 {
		js.again()
		if len(js.delayed) != 1 || js.delayed[0].Conn != 2 {
			t.Errorf("%+v are put off", js.delayed)
		}
	}
}

// partialStore keeps the older part of a history where it cannot be read.
type partialStore struct{ Store }

func (partialStore) ReadBefore(dst []byte, conv frame.ID, _ uint64, _, _ int) ([]byte, int, bool, error) {
	m := frame.Message{Conv: conv, Seq: 8, Prev: 7}
	return m.Append(dst), 1, true, &PartialError{From: 8, Err: errors.New("away")}
}

// pageConn remembers what was written.
type pageConn struct {
	Conn
	written []byte
}

func (c *pageConn) Deliver(int, *frame.Parcel)        {}
func (c *pageConn) Post(_ frame.ConnID, f func(Conn)) { f(c) }
func (c *pageConn) Write(b []byte)                    { c.written = append(c.written, b...) }

// TestPartialPage: what can be read is answered, and says from where on it is complete.
func TestPartialPage(t *testing.T) {
	conn := &pageConn{}
	js := &jobs{center: &Center{conns: conn, store: partialStore{}}}
	js.page(core.Job{Op: core.JobPage, Conv: frame.ID{1}, Ref: 3, Limit: 50})
	_, f, _, err := frame.Next(conn.written)
	var p frame.Page
	if err == nil {
		err = p.Parse(f)
	}
	if err != nil || p.Ref != 3 || p.PartialFrom != 8 || p.Count != 1 || !p.More {
		t.Errorf("%+v, %v", p, err)
	}
}
