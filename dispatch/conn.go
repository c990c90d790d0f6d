package dispatch

import "github.com/switchyard-im/switchyard/frame"

// Conn is one connection as its event loop sees it. All methods are called on that loop.
type Conn interface {
	ID() frame.ConnID
	Loop() int
	// Write queues frames; what one turn of the loop queues is sent as one message.
	Write(frames []byte)
	// AfterWriting calls f when all that earlier turns wrote has left, maybe at once; not if the connection ends before.
	AfterWriting(f func())
	// Spend counts n more frames against what the connection may send; its first of a batch counts by itself.
	Spend(n int)
	// Close sends what is queued and closes with a WebSocket close code.
	Close(code uint16, reason string)
	Data() any
	SetData(any)
	// Now is the time of this turn in Unix nanoseconds.
	Now() int64
}

// Conns reaches connections from other goroutines than their loop's; netserver implements it.
type Conns interface {
	// Deliver hands a parcel to a loop. It may wait while the loop has too much to do, and is never called on a loop.
	Deliver(loop int, p *frame.Parcel)
	// Post runs f on the connection's loop, unless the connection is gone.
	Post(id frame.ConnID, f func(Conn))
}
