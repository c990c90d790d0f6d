package netserver

import "time"

// Echo sends every message back as it came, for conformance suites and comparisons with other servers. It needs Config.Raw. Replies to
// what one read brought leave with one write.
type Echo struct{}

// Admit admits everyone.
func (Echo) Admit(*Request) (time.Duration, bool) { return 0, true }

// Open has nothing to prepare.
func (Echo) Open(*Conn, *Request) {}

// Message sends the message back as a WebSocket message of its own.
func (Echo) Message(c *Conn, payload []byte) error {
	c.WriteMessage(c.Text(), payload)
	return nil
}

// Closed has nothing to clean up.
func (Echo) Closed(*Conn, Reason) {}
