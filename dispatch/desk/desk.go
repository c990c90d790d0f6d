// Package desk decides which agent takes which conversation: a pure state machine (events and time in, effects out; no clock, no I/O, no
// goroutine). One goroutine of package dispatch owns it, because an agent may serve many groups and its capacity is counted
// once. The conversations themselves belong to the shards: the desk's memory is built from their records at start, and what it decides
// becomes true only when the conversation's shard has written it.
package desk

import (
	"github.com/switchyard-im/switchyard/frame"
)

// Effect asks the conversation's shard to do what was decided.
type Effect struct {
	Kind    Kind
	Conv    frame.ID
	Life    uint32 // of the Request
	Front   bool   // Queue: it waits before others
	AtMS    int64  // since when it waits, by which the queue is ordered; or waited, if it has an agent
	Group   string // in which it is now: a full queue may have sent it to another one
	Agent   string // Assign, Warn, Close: who serves it
	Reason  Reason
	OpensMS int64 // Queue: it waits until then, when the group opens; Refuse out of hours: when that is; 0: never, or it has nothing to do with that
}

// Kind is the kind of an Effect.
type Kind uint8

// The kinds.
const (
	Assign Kind = iota // the agent has it, and whoever had it has not
	Queue              // it waits, in another group than before, or has no agent any more
	Refuse             // no queue has room for it: the desk knows nothing of it any more
	Warn               // who is late is to be warned; Agent serves it
	Close              // it is to be closed; asked for again until Closed
)

// Reason tells why this was decided now: the strategy of the group, or one of these.
type Reason string

// The reasons beside the strategies.
const (
	NextInQueue  Reason = "next_in_queue" // it was first in the queue, and the agent became free
	LastAgent    Reason = "last_agent"    // the agent served the visitor before
	Claimed      Reason = "claimed"       // the agent took it
	NobodyFree   Reason = "nobody_free"   // it waits: no agent who may serve it can take one more, or the group's agents take for themselves
	QueueFull    Reason = "queue_full"    // the queue of the group that was asked for has no room
	OutOfHours   Reason = "out_of_hours"  // the group that was asked for is closed
	Transferred  Reason = "transferred"
	NoFirstReply Reason = "no_first_reply" // the agent did not write since it got it
	AgentIdle    Reason = "agent_idle"     // the agent did not answer
	VisitorIdle  Reason = "visitor_idle"   // the visitor did not answer
	AgentGone    Reason = "agent_offline"  // the agent did not come back in time
	TakenOver    Reason = "taken_over"     // a supervisor took it; the desk only names it
)

// Desk holds queues and agents. Not safe for concurrent use.
//
// Invariants, checked by Check:
//  1. A conversation that has an agent is in just that agent's list, at its slot.
//  2. No assignment was made beyond an agent's capacity (a lowered capacity or a restart may leave more).
//  3. A conversation is either in its group's queue and its lane, or has an agent: nothing is both, and nothing is lost.
//  4. Nobody waits whom a free agent of the group could take, manual groups aside, and those that wait for their group to open.
//  5. The seats of free agents, and no others, are in the trees of their lanes.
//  6. What was opened or restored is open, closed or refused.
//  7. A deadline is set if, and only if, something is due, and after Tick none is past.
//  8. Just those wait for their group to open, outside their lane, for whom it has been closed since they came.
type Desk struct {
	cfg       Config
	now       int64
	agents    map[string]*agent
	groups    map[string]*group
	convs     map[frame.ID]*conversation
	sticky    sticky
	due       tree[*deadline]
	moved     map[string]struct{} // groups whose queue changed since places were told
	deltas    []Delta
	telling   bool   // somebody asks for places: without one nobody who came is noted for it
	decisions uint64 // counts assignments: who had none for longest goes first among equals
	came      uint64 // conversations opened and restored
	went      uint64 // closed and refused
	out       []Effect
	key       []byte // scratch of laneKey
}

// group is a queue and the agents whose token names it. It is kept while anybody is in it, or watches it.
type group struct {
	name    string
	cfg     GroupConfig
	queue   tree[*conversation] // all that wait, of all lanes
	early   tree[*conversation] // of these, who waits for the group to open
	opening deadline            // when that is, if anybody does
	lanes   map[string]*lane
	agents  map[*agent]struct{} // with a device
	convs   int                 // open, waiting or not

	version  uint64 // of the queue: grows by one with each change
	watchers int

	rate        rate
	busyMS      int64 // in which somebody waited for an agent, up to when nobody did
	busySinceMS int64 // if somebody waits for one
	told        bool  // the visitors were told of their places, at toldMS
	toldMS      int64
	fresh       []*conversation // that came since then, as far as there is room
	cursor      int             // place from which the far part of the queue is looked at next
	unseen      int             // how many to look at until all have been since the last change
}

// New makes an empty desk. The configuration must be valid.
func New(cfg Config) *Desk {
	return &Desk{
		cfg:    cfg.withDefaults(),
		agents: make(map[string]*agent), groups: make(map[string]*group), convs: make(map[frame.ID]*conversation),
		moved: make(map[string]struct{}), due: tree[*deadline]{compare: compareDeadlines},
	}
}

// Take returns what was decided since the last call; it is borrowed until the next event.
func (d *Desk) Take() []Effect {
	out := d.out
	d.out = d.out[:0]
	return out
}

func (d *Desk) emit(kind Kind, c *conversation, why Reason) {
	e := Effect{Kind: kind, Conv: c.id, Life: c.life(), Front: c.front, AtMS: c.atMS, Group: c.group.name, Reason: why, OpensMS: c.opensMS()}
	if c.agent != nil {
		e.Agent = c.agent.name
	}
	d.out = append(d.out, e)
}

func (d *Desk) group(name string) *group {
	g := d.groups[name]
	if g == nil {
		g = &group{name: name, cfg: d.cfg.group(name), lanes: make(map[string]*lane), agents: make(map[*agent]struct{})}
		g.queue.compare, g.early.compare = before, before
		g.opening.group = g
		d.groups[name] = g
	}
	return g
}

// dropGroup forgets a group that nobody is in.
func (d *Desk) dropGroup(g *group) {
	if len(g.agents) == 0 && g.convs == 0 && g.watchers == 0 {
		delete(d.groups, g.name)
		delete(d.moved, g.name)
	}
}
