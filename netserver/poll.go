package netserver

import (
	_ "unsafe" // for go:linkname

	"github.com/cloudwego/netpoll"
)

// openPoll is netpoll's unexported constructor of a poller; the returned Poll lives until its Close, and its Wait must run on
// exactly one goroutine. netpoll exports everything but this, and its own manager starts pollers with connections of 4 KB and more.
// The version is pinned in go.mod; TestPollerAssumptions checks what this package relies on.
//
//go:linkname openPoll github.com/cloudwego/netpoll.openPoll
func openPoll() (netpoll.Poll, error)

// What a connection is watched for, in netpoll's terms.
const (
	pollReadWrite = netpoll.PollR2RW
	pollRead      = netpoll.PollRW2R
)
