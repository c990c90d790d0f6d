package dispatch

import (
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// handedOver comes back from a connection's loop behind what was posted there, whether the connection still was there or not. It is a parcel without
// targets, because a parcel always comes back.
type handedOver struct {
	jobs *jobs
	job  core.Job
}

// handOver moves a machine's barrier to the session of its connection, which keeps it as long as the connection lives; it is not called on a loop. The machine hears of it
// through the mailbox, so after all that the loop had put into the ring before.
func (js *jobs) handOver(j core.Job) {
	js.center.conns.Post(j.Conn, func(c Conn) {
		if s, ok := c.Data().(*session); ok {
			js.center.gate.takeOver(c, s, j.Conv, j.Refused)
		}
	})
	js.center.conns.Deliver(j.Conn.Loop(), &frame.Parcel{Owner: &handedOver{jobs: js, job: j}})
}

// Release implements frame.ParcelOwner.
func (h *handedOver) Release(*frame.Parcel) {
	j := &h.job
	h.jobs.put(j.Conv, control{kind: ctlHandedOver, conv: j.Conv, conn: j.Conn, seq: j.Ref})
}
