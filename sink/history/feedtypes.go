package history

import "github.com/switchyard-im/switchyard/sink"

// What a Feed is made of; see package sink.
type (
	Range   = sink.Range
	Entry   = sink.Entry
	Backlog = sink.Backlog
)

// Gap is history that was given up.
type Gap struct {
	Rows         uint64
	FromMS, ToMS uint64
}
