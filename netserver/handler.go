package netserver

import (
	"fmt"
	"net/netip"
	"time"
)

// Handler decides what messages mean. All its methods run on the loop of the connection they are about; they must not block, and
// they must not call Deliver or Post. Handlers for connections of different loops run at the same time.
type Handler interface {
	// Admit is asked before an upgrade is answered. Anything but ok refuses with 503 and Retry-After (rounded up to seconds).
	Admit(r *Request) (retryAfter time.Duration, ok bool)
	// Open follows a successful upgrade. The request and all its slices are borrowed until the return.
	Open(c *Conn, r *Request)
	// Message gets one complete message: msgpack frames for both subprotocols, or anything in raw mode (see Conn.Text). The payload is
	// borrowed until the return. An error closes the connection, with the code of a *CloseError or else 1011.
	Message(c *Conn, payload []byte) error
	// Closed is called exactly once for each Open, at the end of the turn in which the connection ceased to be usable. It may still
	// read the connection's Data and ID; Write and Close do nothing any more.
	Closed(c *Conn, reason Reason)
}

// Trimmer is a Handler that is told every few seconds, by each loop and on it, that it may give back memory that it keeps for that loop and does
// not need now.
type Trimmer interface{ Trim(loop int) }

// Request is what the upgrade request said. All slices are borrowed and expire when the handler returns.
type Request struct {
	Path        []byte // without the query
	Host        []byte
	Origin      []byte // empty: no browser
	UserAgent   []byte
	Token       []byte         // of Authorization: Bearer; empty: none. Never from the URL, which proxies write into their logs
	Subprotocol string         // the one that was chosen; empty in raw mode
	RemoteAddr  netip.AddrPort // as of Conn.RemoteAddr
}

// CloseError, returned by Handler.Message, closes the connection with this code and reason.
type CloseError struct {
	Code   uint16
	Reason string // UTF-8, cut to 123 bytes
}

// Error tells the code and the reason.
func (e *CloseError) Error() string { return fmt.Sprintf("netserver: close %d: %s", e.Code, e.Reason) }

// Reason tells why a connection ended. Each one is counted in switchyard_connections_closed_total, in loop.leave and nowhere else.
type Reason uint8

// The reasons.
const (
	ReasonClient           Reason = iota // the client sent a close frame
	ReasonEOF                            // the client closed the socket without a close frame
	ReasonReset                          // reading failed
	ReasonRefused                        // the upgrade request was refused with an HTTP answer
	ReasonHandshakeTimeout               // no complete upgrade request in time
	ReasonProtocol                       // the client violated RFC 6455: 1002
	ReasonUnsupported                    // text on the msgpack subprotocol or binary on the JSON one: 1003
	ReasonInvalidText                    // text that is not UTF-8: 1007; or JSON that holds no frames: 4501
	ReasonTooBig                         // a message over the limit: 1009
	ReasonRateLimited                    // it sent more than Limits allow, for too long: 4504
	ReasonHandler                        // the handler closed it
	ReasonSilent                         // nothing heard, not even an answer to a ping
	ReasonVanished                       // the peer acknowledged nothing that was sent
	ReasonMessageTimeout                 // a message began and did not become whole in time
	ReasonSlowConsumer                   // more output waited than the hard bound
	ReasonHeld                           // it held more than its share while all held too much: 4003, 503 or cut off
	ReasonWriteTimeout                   // output waited and made no progress
	ReasonWriteFailed                    // writing failed
	ReasonShutdown                       // the server stops
	ReasonProxyHeader                    // a PROXY header is missing or malformed, or came from who may not send one
	ReasonDirect                         // it did not come through a proxy, as it must
	ReasonDrain                          // the server drains, and the client had not left by its time
	reasonCount
)

var reasonNames = [reasonCount]string{
	"client", "eof", "reset", "refused", "handshake_timeout", "protocol", "unsupported", "invalid_text", "too_big",
	"rate_limited", "handler", "silent", "vanished", "message_timeout", "slow_consumer", "held", "write_timeout", "write_failed", "shutdown",
	"proxy_header", "direct", "drain",
}

// String is the reason's name in metrics and logs.
func (r Reason) String() string {
	if r >= reasonCount {
		return "unknown"
	}
	return reasonNames[r]
}
