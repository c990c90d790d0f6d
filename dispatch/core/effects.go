package core

import (
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// Effects is what one batch asks for. The runner owns it between End and the next Begin of the same Effects; everything in it is
// carried out after the Writes are durable. Reset keeps the memory.
type Effects struct {
	Buf     []byte         // encoded frames; Targets and Writes point into it
	Targets []frame.Target // who gets what, in order
	Certain []int32        // indices of Targets that are true even if the Writes are not kept, in order
	Answers []Answer       // requests that are answered by this batch's Targets and depend on its Writes
	Writes  []Write
	Memos   []Memo
	Jobs    []Job       // reads of the store
	Desk    []DeskEvent // for the desk
	Users   []UserEvent // for the machines that own the users
	Left    []frame.ID  // conversations that an agent, or followers of the notes, have left: Dismiss
	Unacked []UnackedEvent

	Audit []Audit // what supervisors did

	Withheld int // presence notices that were due and not made, see Machine.Withhold
	Replayed int // messages beyond the first of those Targets that hold a replay, for the count of frames
}

// Answer remembers a request that is answered by this batch: for its latency, and to tell the sender if the commit fails.
type Answer struct {
	Kind    AnswerKind
	Conn    frame.ConnID
	Ref     uint64
	Arrived int64    // Unix nanoseconds at which the loop had read it; 0: not measured
	Conv    frame.ID // AnswerAccepted, AnswerAttached, AnswerTold
	ID      frame.ID // AnswerAccepted: the client's id of the message
}

// AnswerKind tells what a failed commit means for the machine.
type AnswerKind uint8

// The kinds of answers.
const (
	AnswerOther    AnswerKind = iota
	AnswerAccepted            // a message was accepted: Refused if the commit fails
	AnswerAttached            // the connection was attached: Unattached if the commit fails
	AnswerTold                // the state was told again, to no connection: Invalidate if the commit fails
)

// Write is one change for the store.
type Write struct {
	Op          WriteOp
	Open        bool // PutConversation: keep it in the index of open conversations; PutMember: add (true) or remove
	Conv        frame.ID
	First, Last uint64  // PutMessages
	Data        []byte  // PutMessages: frames in a row; PutConversation: the state record. Borrowed until the next Begin
	User        UserKey // PutMember
}

// WriteOp is the kind of a Write.
type WriteOp uint8

// The kinds of writes.
const (
	PutMessages WriteOp = iota + 1
	PutConversation
	PutMember
	PutUnacked // somebody has not acked everything of this closed conversation
)

// Job is a read of the store that a pool carries out, or a barrier that goes to its connection's loop; its result comes back as an event of the same
// name.
type Job struct {
	Op     JobOp
	Conv   frame.ID
	Conn   frame.ConnID
	Ref    uint64
	After  uint64  // Replay, Lookup: exclusive
	Upto   uint64  // Replay, Lookup: inclusive
	Before uint64  // Page
	Limit  int     // Page
	User   UserKey // Members

	Refused *Refusals // HandOver, and Ref is its ticket; the receiver's
}

// JobOp is the kind of a Job.
type JobOp uint8

// The kinds of jobs.
const (
	JobLoad     JobOp = iota + 1 // read the state record and the head: Loaded
	JobLookup                    // read who sent what in (After, Upto]: LookedUp
	JobReplay                    // read messages in (After, Upto] for Conn: Replayed
	JobPage                      // a history page, sent to Conn by the pool itself
	JobMembers                   // the open conversations of User: a Show event for each
	JobHandOver                  // Conn's loop refuses in this machine's place: HandedOver
)

// DeskEvent is what the desk has to know. Kind tells which fields count.
type DeskEvent struct {
	Kind     DeskKind
	ByAgent  bool // DeskWrote: the agent did, not the visitor
	On       bool // DeskHold
	Conv     frame.ID
	Group    string
	Visitor  string
	AtMS     int64 // DeskOpened: since when it waits
	Life     uint32
	Priority int
	Need     *desk.Need
	Agent    string
	Profile  *desk.Profile // DeskAgentUp; nil: of no group
	Groups   []string      // DeskStatus
	Capacity int           // DeskStatus
	Status   frame.AgentStatus
	Target   desk.Target // DeskTransfer
	Limit    int         // DeskWatch
	For      Request     // DeskClaim, DeskTransfer, DeskWatch: who asks
	Back     *DeskEvent  // DeskTransfer: the desk does not have it; it is opened, and put to the target at once
}

// Lasts tells whether the event is true even if the batch's writes are not kept: who comes and goes, and what a client asks for, which is about what the
// desk has.
func (e *DeskEvent) Lasts() bool {
	switch e.Kind {
	case DeskOpened, DeskClosed, DeskWrote, DeskHold, DeskStatus:
		return false
	}
	return true
}

// DeskKind is the kind of a DeskEvent.
type DeskKind uint8

// The kinds of desk events.
const (
	DeskOpened    DeskKind = iota + 1 // Conv, Group, Visitor, AtMS, Life, Priority, Need: needs an agent, or the desk has to decide again
	DeskClosed                        // Conv
	DeskWrote                         // Conv, Agent (who has it, for the shard), ByAgent
	DeskHold                          // Conv, Agent likewise, On
	DeskClaim                         // Conv, Agent, For: wants to have it
	DeskTransfer                      // Conv, Target, Back, For
	DeskWatch                         // Group, Limit, For: wants to see the queue; Limit 0: no more
	DeskUnwatch                       // For.Conn: was closed
	DeskPlace                         // Conv: its visitor is there and does not know its place
	DeskAgentUp                       // Agent, Profile: has a device
	DeskAgentDown                     // Agent: has none
	DeskSay                           // Agent, Status, Capacity, Groups, For: a supervisor of these groups wants to say this of the agent
	DeskStatus                        // Agent, Status, Capacity: a person said this, and it is durable
)

// UserEvent is a notice for all devices of a user: the frames Off, Len of Buf go to every one but Except.
type UserEvent struct {
	User   UserKey
	Off    uint32
	Len    uint32
	Except frame.ConnID
}

// Reset empties the effects and keeps their memory.
func (e *Effects) Reset() {
	clear(e.Writes) // they hold borrowed slices and strings
	clear(e.Memos)
	clear(e.Jobs)
	clear(e.Desk)
	clear(e.Users)
	clear(e.Unacked)
	clear(e.Audit)
	*e = Effects{
		Left: e.Left[:0], Unacked: e.Unacked[:0],
		Buf: e.Buf[:0], Targets: e.Targets[:0], Certain: e.Certain[:0], Answers: e.Answers[:0],
		Writes: e.Writes[:0], Memos: e.Memos[:0], Jobs: e.Jobs[:0], Desk: e.Desk[:0], Users: e.Users[:0], Audit: e.Audit[:0],
	}
}
