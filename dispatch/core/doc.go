// Package core is the message center as a pure state machine: conversations, their order, deduplication, marks, attachments, and
// who is connected with which devices. State, event and time go in; effects come out. There is no I/O, no clock, no goroutine
// and no lock here, so every rule is tested by text files (testdata/*.txt) that a reviewer can read.
//
// A Machine belongs to one runner goroutine of package dispatch, which feeds it events between Begin and End and then carries
// out the Effects, all of them after what they write is durable, in order. The machine runs ahead of the disk: if a commit
// fails, the runner calls Invalidate for what was not kept.
//
// Which agent takes a conversation is not decided here but by package desk; the two talk through effects and events.
package core
