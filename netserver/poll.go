package netserver

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe" // for go:linkname, and for the type of a hook

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

// maxEvents bounds what one epoll_wait returns.
const maxEvents = 1024

// newPoll opens a poller that is lean. Netpoll keeps 1.3 KB of I/O vectors for each event, for its own connections, and doubles the
// number of events whenever they are all used: a burst on 15,000 connections would leave 21 MB behind. Its Reset hook is an exported field
// of an unexported type, so it is wrapped by reflection: no vectors, and no growth beyond maxEvents.
func newPoll() (netpoll.Poll, error) {
	poll, err := openPoll()
	if err != nil {
		return nil, fmt.Errorf("netserver: opening a poller: %w", err)
	}
	field := reflect.ValueOf(poll).Elem().FieldByName("Reset")
	reset, ok := field.Interface().(func(size, caps int))
	if !ok {
		return nil, fmt.Errorf("netserver: this version of netpoll has no Reset hook; build with the version in go.mod")
	}
	field.Set(reflect.ValueOf(func(size, _ int) {
		if size <= maxEvents {
			reset(size, 0)
		}
	}))
	return poll, nil
}

// afterTurns has f called on the poller's goroutine each time it has handled the events of one epoll_wait, before Wait begins. Netpoll has no hook for
// that, but what handles the events is an exported field of the poller, which Wait calls. Its argument is a slice of an unexported type; ours is
// passed through without being looked at, and slices of all types are passed alike. TestPollerAssumptions covers it.
func afterTurns(poll netpoll.Poll, f func()) error {
	field := reflect.ValueOf(poll).Elem().FieldByName("Handler")
	if !field.IsValid() || !isHandler(field.Type()) {
		return errors.New("netserver: this version of netpoll has no Handler hook; build with the version in go.mod")
	}
	handler := (*func(events []byte) (closed bool))(unsafe.Pointer(field.UnsafeAddr()))
	handle := *handler
	*handler = func(events []byte) bool {
		closed := handle(events)
		if !closed {
			f()
		}
		return closed
	}
	return nil
}

func isHandler(t reflect.Type) bool {
	return t.Kind() == reflect.Func && t.NumIn() == 1 && t.In(0).Kind() == reflect.Slice && t.NumOut() == 1 && t.Out(0).Kind() == reflect.Bool
}
