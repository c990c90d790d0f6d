package desk

import "github.com/switchyard-im/switchyard/frame"

// Entry is a waiting conversation as agents and supervisors see it. The order of a queue is: Front before others, then RankMS, then Conv.
type Entry struct {
	Conv     frame.ID
	Visitor  string
	AtMS     int64 // since when it waits
	RankMS   int64 // AtMS, earlier by what its priority counts
	Priority int
	Front    bool // it was put back to the front
}

// Snapshot is the beginning of a queue.
type Snapshot struct {
	Group   string
	Version uint64
	Total   int     // that wait
	Entries []Entry // the first of them, in their order
}

// Op is what happened to an entry.
type Op uint8

// What may happen. Nothing else changes an entry: one that moves is removed and added.
const (
	Added Op = iota
	Removed
)

// Delta is one change of a queue. A receiver whose version is not the one before has missed something, and asks for a new snapshot; one who
// has a snapshot of that version or a later one has it already.
type Delta struct {
	Group   string
	Version uint64
	Op      Op
	Total   int // that wait after it
	Entry   Entry
}

// Watch begins the deltas of a group's queue for one more receiver. Until Unwatch the group's versions only grow.
func (d *Desk) Watch(group string) { d.group(group).watchers++ }

// Unwatch ends what one Watch began.
func (d *Desk) Unwatch(group string) {
	if g := d.groups[group]; g != nil && g.watchers > 0 {
		g.watchers--
		d.dropGroup(g)
	}
}

// Snapshot returns the first of a queue. Whoever keeps a window of it takes in what is added before its end, and asks again when it runs short.
func (d *Desk) Snapshot(group string, limit int) Snapshot {
	s := Snapshot{Group: group}
	g := d.groups[group]
	if g == nil {
		return s
	}
	s.Version, s.Total = g.version, g.queue.len()
	s.Entries = make([]Entry, 0, min(limit, s.Total))
	for n := g.queue.first(); n != nil && len(s.Entries) < limit; n = n.next() {
		s.Entries = append(s.Entries, n.value.entry())
	}
	return s
}

// TakeDeltas returns what happened to watched queues since the last call, in order; it is borrowed until the next event.
func (d *Desk) TakeDeltas() []Delta {
	deltas := d.deltas
	d.deltas = d.deltas[:0]
	return deltas
}

func (c *conversation) entry() Entry {
	return Entry{Conv: c.id, Visitor: c.visitor, AtMS: c.atMS, RankMS: c.rankMS(), Priority: int(c.priority), Front: c.front}
}
