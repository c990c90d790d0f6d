package switchyard

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// What methods return, alone or wrapped.
var (
	// ErrClosed: the application closed the client.
	ErrClosed = errors.New("switchyard: the client is closed")
	// ErrDetached: the application left the conversation.
	ErrDetached = errors.New("switchyard: detached from the conversation")
	// ErrReassigned: another agent has the conversation now, or it waits for one.
	ErrReassigned = errors.New("switchyard: the conversation was taken from this agent")
	// ErrTaken: somebody else was first to claim it; the Text of the ServerError is the name.
	ErrTaken = errors.New("switchyard: another agent has the conversation")
	// ErrUnanswered: the connection was lost before the answer to a request that may not be repeated; it may have been carried out.
	ErrUnanswered = errors.New("switchyard: the connection was lost before the answer; it may have been carried out")
	// ErrConversationClosed: the conversation has ended; its history can still be read.
	ErrConversationClosed = errors.New("switchyard: the conversation is closed")
	// ErrTooLarge: the message would exceed what the server accepts in one WebSocket message.
	ErrTooLarge = errors.New("switchyard: message too large")
	// ErrSilent: no byte came from the server for two heartbeat intervals, so the connection was given up.
	ErrSilent = errors.New("switchyard: no sign of the server for two heartbeats")
	// errSearch: the history is too long to look through it for a message.
	errSearch = errors.New("switchyard: too many messages came since it was sent to find out whether it was accepted")
	// errPartial: the part of the history in which the message would be cannot be read now.
	errPartial = errors.New("switchyard: the server cannot read the history now, to find out whether the message was accepted")
	// ErrDrained: the connection was changed because the server asked for it.
	ErrDrained = errors.New("switchyard: the server is going away")
)

// ServerError is an error frame: the server's answer to a request that it did not carry out.
type ServerError struct {
	Code       uint64 // of the table of errors in PROTOCOL.md
	Text       string
	RetryAfter time.Duration // 0: a retry is no use
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("switchyard: the server refuses: %s: %s (code %d)", frame.ErrorName(e.Code), e.Text, e.Code)
}

// Is lets errors.Is find ErrConversationClosed and ErrTaken.
func (e *ServerError) Is(target error) bool {
	return target == ErrConversationClosed && e.Code == frame.ErrorClosed || target == ErrTaken && e.Code == frame.ErrorTaken
}

// defaultRetry is for errors that pass but do not say when.
const defaultRetry = time.Second

func newServerError(f *frame.Error) *ServerError {
	e := &ServerError{Code: f.Code, Text: string(f.Text), RetryAfter: milliseconds(f.RetryMS)}
	if e.RetryAfter == 0 && frame.ErrorRetry(e.Code) {
		e.RetryAfter = defaultRetry
	}
	return e
}

// CloseError is the WebSocket close frame with which the server ended a connection. https://www.rfc-editor.org/rfc/rfc6455#section-7.4
type CloseError struct {
	Code   int // frame.CloseDrain and so on; 4000-4499 reconnect, 4500-4999 do not
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("switchyard: the server closed the connection: %s: %s (code %d)", frame.CloseName(e.Code), e.Reason, e.Code)
}

// Permanent tells whether the server asks not to come back.
func (e *CloseError) Permanent() bool { return !frame.CloseReconnects(e.Code) }

// HandshakeError is an HTTP answer other than 101 to the WebSocket upgrade.
type HandshakeError struct {
	Status     int
	RetryAfter time.Duration // 0: not said
}

func (e *HandshakeError) Error() string {
	if e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests {
		return fmt.Sprintf("switchyard: the server answers %d to the upgrade: it has too much to do, or restarts; try again later", e.Status)
	}
	return fmt.Sprintf("switchyard: the server answers %d to the upgrade; check the address, it should end in /v1/ws", e.Status)
}

// GapError is returned by Receive where messages were missed that the server can no longer replay. The conversation goes on
// after Head; History gives what lies before.
type GapError struct {
	After uint64 // the last sequence received before the gap
	Head  uint64 // the last sequence within the gap
}

func (e *GapError) Error() string {
	return fmt.Sprintf("switchyard: the messages after sequence %d up to %d were missed: read them with History", e.After, e.Head)
}

// SendError says that Send or Wait ended without the server's answer to the message.
type SendError struct {
	Err error
	// Pending is the message, to go on waiting for it. If MayArrive is false, it was withdrawn or refused, and will never be stored.
	Pending   *Pending
	MayArrive bool
}

func (e *SendError) Error() string {
	if e.MayArrive {
		return fmt.Sprintf("switchyard: message %v may still be accepted: %v", e.Pending.id, e.Err)
	}
	return fmt.Sprintf("switchyard: message %v was not accepted: %v", e.Pending.id, e.Err)
}

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

// earlyDrain is the end of a connection that the server sent away before it welcomed it.
type earlyDrain struct {
	cause         error
	delay, window time.Duration
}

// Error tells the cause.
func (e *earlyDrain) Error() string { return e.cause.Error() }

// Unwrap returns the cause, whose close code decides whether to come back.
func (e *earlyDrain) Unwrap() error { return e.cause }
