package dispatch

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// watchers are the connections that follow queues. Owned by the desk's goroutine.
type watchers struct {
	desk   *desk.Desk
	groups map[string]*watched
	conns  map[frame.ConnID][]string // the groups of each
	sent   time.Time
	due    atomic.Bool // something waits and its time has come; set by a timer
	armed  bool        // the timer runs
}

// watched is a queue that somebody follows, and what has not been sent of it.
type watched struct {
	conns   map[frame.ConnID]struct{}
	changes []byte // frames
	count   int
}

// Changes are sent together, ten times a second at most; and if there are more than a client's window is long, only the last of them: the client sees the
// gap and asks for the window, which is less than what it missed.
const (
	watchEvery = 100 * time.Millisecond
	watchMost  = 200
)

func newWatchers(d *desk.Desk) *watchers {
	return &watchers{desk: d, groups: map[string]*watched{}, conns: map[frame.ConnID][]string{}}
}

// join lets a connection follow a group's queue.
func (w *watchers) join(group string, conn frame.ConnID) {
	g := w.groups[group]
	if g == nil {
		g = &watched{conns: map[frame.ConnID]struct{}{}}
		w.groups[group] = g
		w.desk.Watch(group)
	}
	if _, known := g.conns[conn]; !known {
		g.conns[conn] = struct{}{}
		w.conns[conn] = append(w.conns[conn], group)
	}
}

// leave ends that.
func (w *watchers) leave(group string, conn frame.ConnID) {
	g := w.groups[group]
	if g == nil {
		return
	}
	delete(g.conns, conn)
	if w.conns[conn] = slices.DeleteFunc(w.conns[conn], func(s string) bool { return s == group }); len(w.conns[conn]) == 0 {
		delete(w.conns, conn)
	}
	if len(g.conns) == 0 {
		delete(w.groups, group)
		w.desk.Unwatch(group)
	}
}

// gone tells that a connection was closed.
func (w *watchers) gone(conn frame.ConnID) {
	for _, group := range slices.Clone(w.conns[conn]) {
		w.leave(group, conn)
	}
}

// send takes what has changed, and sends it if it is time; else wake is called when it is, from another goroutine.
func (w *watchers) send(now time.Time, write func(frame.ConnID, []byte), wake func()) {
	w.gather()
	w.due.Store(false)
	if wait := watchEvery - now.Sub(w.sent); wait > 0 {
		if !w.armed && w.waits() {
			w.armed = true
			time.AfterFunc(wait, func() { w.due.Store(true); wake() })
		}
		return
	}
	w.armed = false
	for _, g := range w.groups {
		if g.count > 0 {
			for conn := range g.conns {
				write(conn, g.changes)
			}
			g.changes, g.count, w.sent = nil, 0, now // the loops read the bytes
		}
	}
}

func (w *watchers) waits() bool {
	for _, g := range w.groups {
		if g.count > 0 {
			return true
		}
	}
	return false
}

func (w *watchers) gather() {
	for _, c := range w.desk.TakeDeltas() {
		g := w.groups[c.Group]
		if g == nil {
			continue
		}
		if g.count++; g.count > watchMost {
			g.changes = g.changes[:0]
		}
		op := frame.QueueAdded
		if c.Op == desk.Removed {
			op = frame.QueueRemoved
		}
		g.changes = appendEntry(g.changes, c.Group, c.Version, op, c.Total, &c.Entry)
	}
}

func appendEntry(dst []byte, group string, version uint64, op frame.QueueOp, total int, e *desk.Entry) []byte {
	f := frame.QueueChange{
		Group: []byte(group), Version: version, Op: op, Total: uint64(total), Conv: e.Conv, Visitor: []byte(e.Visitor),
		SinceMS: uint64(max(e.AtMS, 0)), RankMS: uint64(max(e.RankMS, 0)), Priority: uint64(max(e.Priority, 0)), Front: e.Front,
	}
	return f.Append(dst)
}

// snapshot is the queue frame that answers a watch.
func snapshot(s desk.Snapshot, ref uint64) []byte {
	var entries []byte
	for i := range s.Entries {
		entries = appendEntry(entries, s.Group, s.Version, frame.QueueAdded, s.Total, &s.Entries[i])
	}
	f := frame.Queue{Ref: ref, Group: []byte(s.Group), Version: s.Version, Total: uint64(s.Total), Count: len(s.Entries), Entries: entries}
	return f.Append(nil)
}
