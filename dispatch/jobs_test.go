package dispatch

import (
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
