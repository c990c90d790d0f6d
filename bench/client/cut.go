package client

import (
	"errors"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// ErrCut is what a connection closes with that Cut has reset.
var ErrCut = errors.New("client: reset by the run itself")

// Cut resets each open connection with the probability share, and returns how many. Only on the loop's goroutine.
func (l *Loop) Cut(share float64, random *rand.Rand) (n int) {
	for _, c := range l.conns {
		if c.state == stateOpen && random.Float64() < share {
			c.cut()
			n++
		}
	}
	return n
}

// cut ends an open connection as a network does that loses it: with a reset, and without a word to the server. The handler is told.
func (c *Conn) cut() {
	_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // without it the close is an orderly one
	c.fail(ErrCut)
}
