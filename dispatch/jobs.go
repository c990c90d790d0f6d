package dispatch

import (
	"errors"
	"fmt"
	"sync"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

var errOverloaded = errors.New("dispatch: too many reads of the store wait")

// jobs carries out the machines' reads of the store in the pool of reads, and brings the results back as events.
type jobs struct {
	center *Center
	pool   *pool
	out    frameStats // pages and errors

	mu      sync.Mutex
	delayed []core.Job // guarded by mu; replays for which the pool had no room, at most one a connection
}

// A replay brings this much at a time, so that one client that missed much does not hold a runner or a loop up. JSON may be six times as
// long, which must stay below netserver's bound for what waits for a connection.
const (
	replayCount = 512
	replayBytes = 128 << 10
	pageBytes   = 48 << 10 // a page stays well below the 64 KiB that many clients accept
)

// again gives the replays that were put off another try, but for those whose connection is gone; called each second.
func (js *jobs) again() {
	js.mu.Lock()
	delayed := js.delayed
	js.delayed = nil
	js.mu.Unlock()
	for _, j := range delayed {
		js.center.conns.Post(j.Conn, func(Conn) { js.queue(j) })
	}
}

// do takes a job. A job that cannot be done ends with an error, never silently: something waits for it, unless its connection is gone.
func (js *jobs) do(j core.Job) {
	switch j.Op {
	case core.JobReplay:
		js.center.conns.Post(j.Conn, func(c Conn) { js.pace(c, j) })
	case core.JobHandOver:
		js.handOver(j)
	default:
		js.queue(j)
	}
}

// read is a job in the pool.
type read struct {
	jobs *jobs
	job  core.Job
}

func (r *read) do()   { r.jobs.run(r.job) }
func (r *read) late() { r.jobs.refused(r.job) }

func (js *jobs) queue(j core.Job) {
	if !js.pool.submit(&read{js, j}) {
		js.refused(j)
	}
}

// refused ends a job for which the pool has no room or no time. A replay is put off instead: its client could do nothing but ask for it
// again, and would make more work.
func (js *jobs) refused(j core.Job) {
	if j.Op != core.JobReplay {
		js.fail(j, errOverloaded)
		return
	}
	js.mu.Lock()
	js.delayed = append(js.delayed, j)
	js.mu.Unlock()
}

func (js *jobs) run(j core.Job) {
	switch j.Op {
	case core.JobLoad:
		js.load(j)
	case core.JobLookup:
		js.lookup(j)
	case core.JobReplay:
		js.replay(j)
	case core.JobPage:
		js.page(j)
	case core.JobMembers:
		js.members(j)
	}
}

func (js *jobs) fail(j core.Job, err error) {
	switch j.Op {
	case core.JobLoad:
		js.put(j.Conv, control{kind: ctlLoaded, conv: j.Conv, err: err})
	case core.JobLookup:
		js.put(j.Conv, control{kind: ctlLookedUp, conv: j.Conv, after: j.After, seq: j.Upto, err: err})
	case core.JobReplay:
		js.put(j.Conv, control{kind: ctlReplayed, conv: j.Conv, conn: j.Conn, after: j.After, err: err})
	case core.JobPage, core.JobMembers:
		code := uint64(frame.ErrorUnavailable)
		if errors.Is(err, errOverloaded) {
			code = frame.ErrorOverloaded
		}
		e := frame.Error{Ref: j.Ref, Code: code, Text: []byte("the history cannot be read now; ask again"),
			RetryMS: uint64(js.center.cfg.RetryAfter.Milliseconds())}
		js.write(j.Conn, e.Append(nil))
	}
}

func (js *jobs) put(conv frame.ID, e control) { js.center.owner(conv).inbox.put(e) }

// write sends frames that need no order to a connection.
func (js *jobs) write(conn frame.ConnID, frames []byte) {
	js.out.written(frames, 1)
	js.center.conns.Post(conn, func(c Conn) { c.Write(frames) })
}

func (js *jobs) load(j core.Job) {
	state, tail, ok, err := js.center.store.LoadConversation(j.Conv, 1)
	js.put(j.Conv, control{kind: ctlLoaded, conv: j.Conv, state: state, frames: tail, ok: ok, err: err})
}

func (js *jobs) replay(j core.Job) {
	frames, last, _, err := js.center.store.ReadAfter(nil, j.Conv, j.After, j.Upto, replayCount, replayBytes)
	js.put(j.Conv, control{kind: ctlReplayed, conv: j.Conv, conn: j.Conn, after: j.After, frames: frames, seq: last, err: err})
}

// lookup reads who sent what in (After, Upto].
func (js *jobs) lookup(j core.Job) {
	e := control{kind: ctlLookedUp, conv: j.Conv, after: j.After, seq: j.Upto}
	for after := j.After; after < j.Upto && e.err == nil; {
		frames, last, _, err := js.center.store.ReadAfter(nil, j.Conv, after, j.Upto, replayCount, replayBytes)
		if err == nil && last == after {
			err = fmt.Errorf("dispatch: the store has no message after %d of conversation %s", after, j.Conv)
		}
		if err == nil {
			e.seen, err = appendSeen(e.seen, frames)
		}
		after, e.err = last, err
	}
	js.put(j.Conv, e)
}

// appendSeen adds the messages of a row of frames.
func appendSeen(seen []core.Seen, frames []byte) ([]core.Seen, error) {
	var msg frame.Message
	sender := ""
	for len(frames) > 0 {
		_, f, rest, err := frame.Next(frames)
		if err == nil {
			err = msg.Parse(f)
		}
		if err != nil {
			return nil, err
		}
		if sender != string(msg.Sender) {
			sender = string(msg.Sender) // few different ones: made when it changes
		}
		seen = append(seen, core.Seen{Seq: msg.Seq, TimeMS: msg.TimeMS, ID: msg.ID, Sender: sender})
		frames = rest
	}
	return seen, nil
}

func (js *jobs) page(j core.Job) {
	frames, count, more, err := js.center.store.ReadBefore(nil, j.Conv, j.Before, j.Limit, pageBytes)
	var partial *PartialError
	if err != nil && !errors.As(err, &partial) {
		js.fail(j, err)
		return
	}
	p := frame.Page{Ref: j.Ref, Conv: j.Conv, More: more, Count: count, Messages: frames}
	if partial != nil {
		p.PartialFrom = partial.From
	}
	js.write(j.Conn, p.Append(nil))
}

func (js *jobs) members(j core.Job) {
	err := js.center.store.Members(j.User.String(), func(conv frame.ID) error {
		js.put(conv, control{kind: ctlShow, conv: conv, conn: j.Conn})
		return nil
	})
	if err != nil {
		js.fail(j, err)
	}
}
